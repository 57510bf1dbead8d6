//! `Handshake`: a client that has said Hello to a server, and has no session yet.

use std::{
    fmt,
    future::{self, poll_fn},
    pin::pin,
    time::Duration,
};

use super::{
    Driver, Transport,
    first_frame::Reading,
    goodbye::{say_goodbye, tell},
    resume::Token,
    start::begin,
    trace::{Names, trace_packet},
};
use crate::{
    config::Config,
    error::ConnectionError,
    peer::{ConnectionInfo, Session, SessionId, now},
    proto::{Connection, HelloReader, Newcomer},
    service::Hosting,
    status::Status,
    wire::Hello,
};
use futures::FutureExt;

/// A client that has said Hello over a link to this server, and has no session yet: [`Self::read`] waits for the Hello.
/// The server looks at what the Hello says, and then begins a session ([`Self::accept`]) or turns the client away
/// ([`Self::refuse`]).
///
/// Decide soon: until you do, nothing more is read from the link, and the time of
/// [`Config::hello_timeout`](crate::Config::hello_timeout) runs on. Dropping a handshake drops the link, and the client
/// is told nothing.
///
/// ```
/// # use rpc_core::{Config, ConnectionError, ConnectionInfo, Hosting, session::{Handshake, connect, memory}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ConnectionError> {
/// # let (hosting, config) = (Hosting::default(), Config::default());
/// # let (near, far) = memory();
/// # let (_client, driver) = connect(far, &Hosting::default(), &config, ConnectionInfo::default());
/// # tokio::spawn(driver);
/// let handshake = Handshake::read(near, &config).await?;
/// let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
/// tokio::spawn(driver);
/// session.established().await
/// # }
/// ```
pub struct Handshake {
    transport: Box<dyn Transport>,
    newcomer: Newcomer,
    config: Config,
    /// Nothing is granted to a client that asks to resume the session later.
    ends_with_link: bool,
}

impl Handshake {
    /// Waits for the client's Hello on a link that begins now.
    ///
    /// Dropping the future drops the link, and the client is told nothing. To give the wait up and tell the client, use
    /// [`Self::read_unless`].
    ///
    /// # Errors
    ///
    /// If the link is lost, or the client breaks the protocol, speaks another version of it or does not say Hello
    /// within [`Config::hello_timeout`](crate::Config::hello_timeout). The client has been told before this returns, or
    /// [`Config::close_timeout`](crate::Config::close_timeout) is over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its time enabled.
    pub async fn read(transport: impl Transport, config: &Config) -> Result<Self, ConnectionError> {
        Self::read_unless(transport, config, future::pending()).await
    }

    /// As [`Self::read`], and gives up when `stop` is ready, because the server shuts down: the client gets close code
    /// 1012, so that it may come back later, and the error is [`ConnectionError::ShutDown`]. If the Hello has come as
    /// well, `stop` wins, because the session would end as soon as it began. The goodbye to the client is cut short, so
    /// that it is over before [`Config::drain_timeout`](crate::Config::drain_timeout), which counts from `stop`.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    ///
    /// # Panics
    ///
    /// As [`Self::read`].
    pub async fn read_unless(
        transport: impl Transport,
        config: &Config,
        stop: impl Future<Output = ()>,
    ) -> Result<Self, ConnectionError> {
        let mut stop = pin!(stop.fuse());
        let mut reading = Reading::new(transport.boxed(), HelloReader::new(config.clone(), now()));
        let hello = tokio::select! {
            biased;
            () = &mut stop => Err(ConnectionError::ShutDown),
            hello = poll_fn(|cx| reading.poll(cx)) => hello,
        };
        let Reading { mut transport, reader, .. } = reading;
        let newcomer = hello.and_then(|hello| reader.into_newcomer(hello).map_err(ConnectionError::Protocol));
        match newcomer {
            Ok(newcomer) => {
                let handshake = Self { transport, newcomer, config: config.clone(), ends_with_link: false };
                match handshake.newcomer.check_version() {
                    Ok(()) => Ok(handshake),
                    Err(status) => Err(handshake.refuse_unless(status, stop).await),
                }
            }
            Err(error) => {
                let told = say_goodbye(&mut *transport, &error);
                match error {
                    ConnectionError::ShutDown => tell(told, future::ready(()), config).await,
                    _ => tell(told, stop, config).await,
                }
                Err(error)
            }
        }
    }

    /// The client at the other end of `transport`, whose Hello has been handed over.
    pub(super) fn greeted(transport: impl Transport, hello: Box<Hello>, config: &Config) -> Self {
        let newcomer = HelloReader::new(config.clone(), now()).into_newcomer(hello);
        let newcomer = newcomer.expect("limits of a checked configuration and contracts of a hosting fit together");
        Self { transport: transport.boxed(), newcomer, config: config.clone(), ends_with_link: false }
    }

    /// The names of the contracts that the client says it hosts, as it has written them.
    pub fn contracts(&self) -> impl Iterator<Item = &str> {
        self.newcomer.hello().contracts.iter().map(|contract| contract.name.as_str())
    }

    /// The client's credentials, which mean nothing to this crate; empty if it has sent none.
    pub fn credentials(&self) -> &[u8] {
        &self.newcomer.hello().credentials
    }

    /// Begins the session. The driver is a future that does all the work: spawn it. It runs the `opened` hooks and
    /// makes the session's objects, and then the session is open; see [`Session::established`]. A service of `hosting`
    /// whose callback contract the client does not host is not offered to the client.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its time enabled.
    pub fn accept(self, hosting: &Hosting, info: ConnectionInfo) -> (Session, Driver) {
        let Self { transport, newcomer, config, ends_with_link } = self;
        let id = SessionId::next();
        let contracts = &newcomer.hello().contracts;
        tracing::debug!(session = %id, contracts = %Names(contracts), "a client said hello");
        hosting.compare(contracts);
        let window = Duration::from_millis(newcomer.hello().resume_window_ms);
        let (mut connection, early) = Connection::server(id.number(), newcomer, now());
        let resumability = config.resumability().at_most(window);
        if !resumability.window.is_zero() && !ends_with_link {
            connection.make_resumable(resumability, &new_token());
        }
        let (session, mut driver) = begin(transport, id, connection, hosting, &config, info);
        driver.begin_opening(Some(early));
        (session, driver)
    }

    /// The session will end with its link, also if the client would like to resume it.
    pub fn end_with_link(&mut self) {
        self.ends_with_link = true;
    }

    /// Whether the client wants to go on with a session.
    pub fn asks_to_resume(&self) -> bool {
        self.newcomer.hello().resume.is_some()
    }

    /// Closes the link with code 1012, without a word before: the server shuts down. The client may come back, to this
    /// address or another one. Returns the reason, for the log, as [`Self::refuse`] does, and soon enough for a drain.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its time enabled.
    pub async fn shut_out(mut self) -> ConnectionError {
        let error = ConnectionError::ShutDown;
        tell(say_goodbye(&mut *self.transport, &error), future::ready(()), &self.config).await;
        error
    }

    pub(super) fn newcomer(&self) -> &Newcomer {
        &self.newcomer
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The link and what the client has said on it.
    pub(super) fn into_parts(self) -> (Box<dyn Transport>, Newcomer) {
        (self.transport, self.newcomer)
    }

    /// Turns the client away: the client gets the status with the Welcome, and then close code 4400. Returns the
    /// reason, for the log, when both have been written and the client has answered, or when
    /// [`Config::close_timeout`](crate::Config::close_timeout) is over.
    ///
    /// Nothing happens before the first poll. Dropping the future drops the link, and the client may not have been
    /// told.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its time enabled.
    pub async fn refuse(self, status: Status) -> ConnectionError {
        self.refuse_unless(status, future::pending()).await
    }

    /// As [`Self::refuse`], and once `stop` is ready takes no longer than a drain may.
    async fn refuse_unless(self, status: Status, stop: impl Future<Output = ()>) -> ConnectionError {
        let Self { mut transport, newcomer, config, .. } = self;
        let (packet, error) = newcomer.refuse(status);
        trace_packet(None, "out", &packet);
        let told = async {
            if poll_fn(|cx| transport.poll_ready(cx)).await.is_ok() && transport.start_send(packet).is_ok() {
                let _ = poll_fn(|cx| transport.poll_flush(cx)).await;
            }
            say_goodbye(&mut *transport, &error).await;
        };
        tell(told, stop, &config).await;
        error
    }
}

/// A token that cannot be guessed.
fn new_token() -> Token {
    rand::random()
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contracts = Names(&self.newcomer.hello().contracts);
        f.debug_struct("Handshake")
            .field("version", &self.newcomer.hello().version)
            .field("contracts", &format_args!("{contracts}"))
            .finish_non_exhaustive()
    }
}
