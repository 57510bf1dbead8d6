//! How a session goes on over another link: at a client that asks for it, and at a server that is asked.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use futures::FutureExt;
use tokio::time::timeout;

use super::{
    Driver, Transport,
    first_frame::Reading,
    goodbye::{close_in_background, close_replaced, turn_away},
    handshake::Handshake,
    start::begin,
    trace::trace_packet,
};
use crate::{
    config::Config,
    credential::Credential,
    error::{CloseCode, ConnectionError},
    panics::Caught,
    peer::{ConnectionInfo, NextFacts, Session, SessionId, SessionShared, now},
    proto::{Connection, Newcomer, ResumeVerdict, WelcomeReader},
    service::{Hosting, Resume},
    status::Status,
    text::excerpt,
    wire,
};

/// Why a link is closed with which a session cannot go on yet.
const TOO_MANY_LINKS: &str = "the session has had too many links in a short time, and may have another one in a second";

/// What a client's attempt to go on with a session has led to.
#[derive(Debug)]
pub enum Resumed {
    /// The session goes on.
    Same,
    /// The server does not know the session any more, which is over, and has begun another one. The driver is a future
    /// that does all the work: spawn it.
    Other(Session, Box<Driver>),
}

/// At a client whose session has lost its link: asks the server over this transport to go on with the session.
///
/// # Errors
///
/// If the server refuses the client, breaks the protocol or does not answer in time. Unless the session
/// [is over](Session::closed), another attempt may follow. [`ConnectionError::ClosedLocally`] if the session has a link
/// already, which it keeps, or if a later attempt has been made meanwhile; of a session that is over, how it ended. The
/// transport is closed with code 1000 then. Dropping the future drops the link.
///
/// # Panics
///
/// Outside a tokio runtime that has its time enabled.
pub async fn resume(
    session: &Session,
    credential: Option<&Credential>,
    transport: impl Transport,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> Result<Resumed, ConnectionError> {
    let shared = session.shared();
    let asked = shared.look(|connection| {
        let not_now = connection.ended().cloned().unwrap_or(ConnectionError::ClosedLocally);
        connection.resume_hello(hosting.announced()).ok_or(not_now)
    });
    let mut hello = match asked {
        Ok(hello) => hello,
        Err(error) => {
            close_in_background(transport.boxed(), CloseCode::NORMAL, String::new(), config.close_timeout());
            return Err(error);
        }
    };
    let epoch = hello.resume.as_ref().map_or(0, |resume| resume.epoch);
    if let Some(credential) = credential.filter(|credential| credential.is_in_hello()) {
        credential.expose().clone_into(&mut hello.credentials);
    }
    let mut reader = WelcomeReader::new(config.clone(), hello, now());
    let mut transport = transport.boxed();
    if let Some(packet) = reader.poll_transmit() {
        trace_packet(Some(shared.id), "out", &packet);
        poll_fn(|cx| transport.poll_ready(cx)).await?;
        transport.start_send(packet)?;
        poll_fn(|cx| transport.poll_flush(cx)).await?;
    }
    let mut reading = Reading::new(transport, reader);
    let welcome = poll_fn(|cx| reading.poll(cx)).await;
    let Reading { mut transport, reader, .. } = reading;
    let welcomed = welcome.and_then(|welcome| reader.into_welcomed(welcome));
    let welcomed = match welcomed {
        Ok(welcomed) => welcomed,
        Err(error) => {
            close_in_background(transport, error.close_code(), error.close_reason(), config.close_timeout());
            return Err(error);
        }
    };
    transport.handshake_done();
    if welcomed.welcome().resumed {
        let mut refused = None;
        let rest = shared.attach(transport, |connection| {
            // A later attempt has been made meanwhile, or the session has ended.
            let is_current = connection.epoch() == epoch && connection.detached().is_some();
            is_current && connection.attach_to(now(), welcomed).map_err(|error| refused = Some(error)).is_ok()
        });
        let Err(transport) = rest else { return Ok(Resumed::Same) };
        let error = refused.unwrap_or(ConnectionError::ClosedLocally);
        close_in_background(transport, error.close_code(), error.close_reason(), config.close_timeout());
        return Err(error);
    }
    shared.act(|connection| connection.give_up_unresumed(now()));
    let id = SessionId::next();
    let resumability = config.resumability();
    let connection = Connection::welcomed(id.number(), welcomed, &hosting.announced(), resumability, now());
    let (session, driver) = begin(transport, id, connection, hosting, config, info);
    Ok(Resumed::Other(session, Box::new(driver)))
}

/// The sessions of a server that outlive their links, by the tokens with which their clients come back.
#[derive(Default)]
pub struct ResumableSessions {
    by_token: Mutex<HashMap<Token, Weak<SessionShared>>>,
}

/// What became of a client that wants to go on with a session.
#[derive(Debug)]
pub enum ResumeOutcome {
    /// Its session goes on.
    Done(Session),
    /// The link has been closed: there is nothing to go on with, and the client wants no other session; or the link is
    /// not the newest one of the session, or came too soon after others; or the server shuts down.
    Closed,
    /// The client did not ask for a session, or there is none with which it can go on: it gets a new one.
    New(Box<Handshake>),
}

/// What a client shows to resume its session.
pub(super) type Token = [u8; 16];

/// The token by which a session of a server is resumed, if it can be.
fn token_of(session: &Session) -> Option<Token> {
    session.shared().look(|connection| connection.token().and_then(|token| token.try_into().ok()))
}

impl ResumableSessions {
    /// No sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Weak<SessionShared>>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets clients come back to this session, until [`Self::remove`]. A session that cannot be resumed is left out.
    pub fn insert(&self, session: &Session) {
        if let Some(token) = token_of(session) {
            self.lock().insert(token, Arc::downgrade(session.shared()));
        }
    }

    /// The session is over.
    pub fn remove(&self, session: &Session) {
        if let Some(token) = token_of(session) {
            self.lock().remove(&token);
        }
    }

    fn find(&self, newcomer: &Newcomer) -> Option<Arc<SessionShared>> {
        let resume = newcomer.hello().resume.as_ref()?;
        let token = Token::try_from(&*resume.token).ok()?;
        self.lock().get(&token).and_then(Weak::upgrade)
    }

    /// Goes on with the session that the client of this handshake has asked for, if it is the client's: see
    /// [`SessionHooks::resuming`](crate::SessionHooks::resuming), which the hooks of `hosting` have. `info` is what is
    /// known of the client's new connection. When `stop` is ready while hooks run, the server shuts down: the link is
    /// closed with code 1012, and the hooks are dropped.
    ///
    /// A link that gets no session has been closed when the future is ready, after [`Config::close_timeout`] at the
    /// latest: until then it needs its place at the server. Dropping the future drops the link.
    pub async fn resume(
        &self,
        handshake: Handshake,
        hosting: &Hosting,
        info: &ConnectionInfo,
        stop: impl Future<Output = ()>,
    ) -> ResumeOutcome {
        let Some(resume) = handshake.newcomer().hello().resume.clone() else {
            return ResumeOutcome::New(Box::new(handshake));
        };
        let wants_other = handshake.newcomer().hello().resume_window_ms > 0;
        let (config, decide_by) = (handshake.config().clone(), handshake.newcomer().decide_by());
        let mut stop = pin!(stop.fuse());
        let found = match self.find(handshake.newcomer()) {
            Some(shared) => {
                let is_allowed = tokio::select! {
                    biased;
                    () = &mut stop => {
                        handshake.shut_out().await;
                        return ResumeOutcome::Closed;
                    }
                    is_allowed = is_allowed(&shared, hosting, info, decide_by) => is_allowed,
                };
                is_allowed.then_some(shared)
            }
            None => None,
        };
        let Some(shared) = found.filter(|shared| shared.act(|connection| can_go_on(connection, &resume))) else {
            if wants_other {
                return ResumeOutcome::New(Box::new(handshake));
            }
            let peer = info.peer_addr.map(tracing::field::display);
            tracing::debug!(peer, "a client has no session with which it could go on, and wants no other one");
            turn_away(handshake.into_parts().0, CloseCode::NORMAL, "", stop, &config).await;
            return ResumeOutcome::Closed;
        };
        let (mut transport, newcomer) = handshake.into_parts();
        transport.handshake_done();
        let mut refused = CloseCode::NORMAL;
        let (mut next, mut old) = (Some(NextFacts::new(info.clone())), None);
        let attached = shared.attach(transport, |connection| {
            let is_attached = connection.attach(now(), newcomer).map_err(|code| refused = code).is_ok();
            if is_attached {
                // Under the lock, so that what comes over this link, or over a newer one, finds the link's own facts.
                old = next.take().map(|next| shared.facts.go_on(next));
                connection.expire_at(shared.facts.expires());
            }
            is_attached
        });
        // The drop of a value is users' code, and not for the lock.
        drop((next, old));
        match attached {
            Ok(replaced) => {
                if let Some(transport) = replaced {
                    close_replaced(transport, config.close_timeout());
                }
                ResumeOutcome::Done(Session::new(shared))
            }
            Err(transport) => {
                let why = if refused == CloseCode::TRY_AGAIN_LATER { TOO_MANY_LINKS } else { "" };
                let what = if why.is_empty() { "a newer one has come, or it is over" } else { why };
                tracing::debug!(session = %shared.id, code = refused.0, "the session does not go on over a link: {what}");
                drop(shared);
                turn_away(transport, refused, why, stop, &config).await;
                ResumeOutcome::Closed
            }
        }
    }
}

impl fmt::Debug for ResumableSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumableSessions").field("len", &self.len()).finish()
    }
}

/// Whether a session can go on over a link on which the client says this. If it never can again, it ends here, before
/// the client gets a new one.
fn can_go_on(connection: &mut Connection, resume: &wire::Resume) -> bool {
    match connection.judge_resume(resume) {
        ResumeVerdict::Possible | ResumeVerdict::Stale => true,
        ResumeVerdict::Over => false,
        ResumeVerdict::Impossible => {
            connection.end_unresumed();
            false
        }
    }
}

/// Whether a client with this connection may go on with a session. Hooks have to decide by this time.
async fn is_allowed(
    shared: &Arc<SessionShared>,
    hosting: &Hosting,
    info: &ConnectionInfo,
    decide_by: Option<Instant>,
) -> bool {
    let is_same = shared.facts.is_of(info);
    // Hooks have nothing to say of a session that is over and has only its last words to say again.
    if hosting.hooks().is_empty() || shared.look(|connection| connection.ended().is_some()) {
        return is_same;
    }
    let (session, mut is_allowed) = (Session::new(shared.clone()), is_same);
    let asked = async {
        for hooks in hosting.hooks() {
            is_allowed |= hooks.resuming(&session, info).await? == Resume::Allow;
        }
        Ok::<_, Status>(())
    };
    let asked = Caught::new("a `resuming` hook", || asked.boxed());
    let (limit, left) = (shared.config.hook_timeout(), decide_by.map(|by| by.saturating_duration_since(now())));
    let left = left.unwrap_or_default();
    match timeout(limit.min(left), asked).await {
        Ok(Ok(Ok(()))) => is_allowed,
        refused => {
            let why = match refused {
                Ok(Ok(Err(status))) => status.to_string(),
                Ok(Err(_)) | Ok(Ok(Ok(()))) => "it panicked".to_owned(),
                Err(_) if left < limit => "it took too long (Config::hello_timeout)".to_owned(),
                Err(_) => "it took too long (Config::hook_timeout)".to_owned(),
            };
            tracing::debug!(session = %shared.id, "a hook has refused the client that wanted to resume: {}", excerpt(&why));
            false
        }
    }
}
