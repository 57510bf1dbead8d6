//! `connect`: makes a stub or a client from a URL.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
};

use http::HeaderMap;
use rpc_core::{
    Config, Hosting, HostingBuilder, IntoService, Peer, SessionHooks, Stub,
    intercept::Interceptor,
    logging::LogLimit,
    session::{self, WebSocket},
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    client::Client,
    dial::{Opened, Stream, dial},
    error::ConnectError,
    headers::with_header,
    tls::Tls,
};

/// Connects to a server, for programs that use several contracts of the server: `connect(url).await?` gives a
/// [`Client`].
///
/// The URL begins with `ws://` or, for TLS, with `wss://`; the default port is 80, or 443. [`ConnectBuilder`] has the
/// settings that can precede `.await`.
pub fn connect(url: impl Into<String>) -> ConnectBuilder<Client> {
    ConnectBuilder::new(url.into())
}

/// Lets every stub connect: `ChatClient::connect("ws://127.0.0.1:9000/").await?`.
///
/// ```
/// use rpc_client::{Connect, Stub};
/// # #[rpc_client::service]
/// # trait Clock {
/// #     async fn hour(&self) -> u8;
/// # }
/// # struct Tower;
/// # impl Clock for Tower {
/// #     async fn hour(&self) -> u8 {
/// #         12
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = rpc_server::Server::builder().service(Tower.serve()).listen("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr());
/// let clock = ClockClient::connect(url).await?;
/// assert_eq!(clock.hour().await?, 12);
/// clock.session().close().await;
/// # Ok(())
/// # }
/// ```
pub trait Connect: Stub {
    /// Connects to a server that hosts this stub's contract.
    ///
    /// The URL begins with `ws://` or, for TLS, with `wss://`; the default port is 80, or 443. [`ConnectBuilder`] has
    /// the settings that can precede `.await`. The session lives until it is closed, or until the stub and all its
    /// clones have been dropped.
    fn connect(url: impl Into<String>) -> ConnectBuilder<Self> {
        ConnectBuilder::new(url.into())
    }
}

impl<S: Stub> Connect for S {}

/// Settings of a connection, which `.await` makes.
///
/// Awaiting gives a `T`, or a [`ConnectError`] that says what to do. Settings that cannot work are refused before
/// anything is dialled: a URL, a header, callbacks that cannot be hosted together. Reaching the
/// server, the TLS handshake and the HTTP upgrade take at most [`Config::upgrade_timeout`] together, and the handshake
/// of the session at most [`Config::hello_timeout`] and a tenth of it. If this side has `opened` hooks or objects for
/// each session, they take at most [`Config::hook_timeout`] more. Await it within a tokio runtime, in which the session
/// then runs as a task. Dropping the future closes what it has opened.
///
/// # Panics
///
/// If it is awaited outside of a tokio runtime, or in one without IO and time.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_client::{Connect, intercept::TimeoutCap};
///
/// #[rpc_client::callback]
/// trait Screen {
///     async fn confirm(&self, question: &str) -> bool;
/// }
///
/// #[rpc_client::service(callback = Screen)]
/// trait Desk {
///     async fn open(&self, document: &str) -> bool;
/// }
///
/// struct Console;
///
/// impl Screen for Console {
///     async fn confirm(&self, question: &str) -> bool {
///         !question.is_empty()
///     }
/// }
/// # struct Office;
/// # impl Desk for Office {
/// #     async fn open(&self, document: &str) -> bool {
/// #         document == "letter"
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = rpc_server::Server::builder().service(Office.serve()).listen("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr());
/// let desk = DeskClient::connect(url)
///     .callback(Console.serve())
///     .header("authorization", "Bearer 4711")
///     .interceptor(TimeoutCap::outgoing(Duration::from_secs(10)))
///     .await?;
/// assert!(desk.open("letter").await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is connected before `.await`"]
pub struct ConnectBuilder<T> {
    url: String,
    config: Config,
    headers: Result<HeaderMap, ConnectError>,
    hosting: HostingBuilder,
    tls: Option<Tls>,
    gives: PhantomData<fn() -> T>,
}

impl<T> ConnectBuilder<T> {
    fn new(url: String) -> Self {
        Self {
            url,
            config: Config::default(),
            headers: Ok(HeaderMap::new()),
            hosting: Hosting::builder(),
            tls: None,
            gives: PhantomData,
        }
    }

    /// Hosts a callback contract that the server may call: `.callback(ChatEvents::serve(Screen))`. Callbacks of
    /// several contracts are added one after another; two contracts of the same name are an error when connecting.
    pub fn callback(mut self, service: impl IntoService) -> Self {
        self.hosting = self.hosting.service(service);
        self
    }

    /// Runs hooks when the session opens, which may refuse the session, and when it has ended. Of several hooks, the
    /// one that was added first is the first to see the session open, and the last to see it closed.
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        self.hosting = self.hosting.hooks(hooks);
        self
    }

    /// Puts an interceptor around every call of the session: calls that this side makes, and calls that the server
    /// makes back. Of several interceptors, the one that was added first is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.hosting = self.hosting.interceptor(interceptor);
        self
    }

    /// Sets the limits and times of the session.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sends a header with the HTTP upgrade, for instance `.header("authorization", "Bearer …")`. The server's handlers
    /// see it in their context. A header that is not valid, that the WebSocket handshake sets itself, or that announces
    /// a body, is an error when connecting.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.headers = self.headers.and_then(|headers| with_header(headers, name.as_ref(), value.as_ref()));
        self
    }

    /// Sets whom to trust, and who this client is, for a `wss://` URL. Without it, the authorities that the operating
    /// system trusts are trusted, and no certificate is shown ([`Tls::platform`]). With a `ws://` URL it is an error
    /// when connecting.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    async fn open(self) -> Result<Peer, ConnectError> {
        let hosting = self.hosting.build()?;
        let config = &self.config;
        let Opened { stream, leftover, info, .. } = dial(&self.url, self.tls, &self.headers?, config).await?;
        let peer_addr = info.peer_addr;
        let (session, driver) = match stream {
            Stream::Plain(io) => session::connect(WebSocket::client(io, leftover, config), &hosting, config, info),
            Stream::Tls(io) => session::connect(WebSocket::client(io, leftover, config), &hosting, config, info),
        };
        // If this peer is dropped, with this future or after a refusal, the driver ends.
        let peer = session.keep_open();
        tokio::spawn(driver);
        session.established().await?;
        debug!(session = %session.id(), peer = peer_addr.map(tracing::field::display), "connected");
        Ok(peer)
    }
}

/// The future that awaiting a [`ConnectBuilder`] runs.
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectError>> + Send>>;

impl<S: Stub> IntoFuture for ConnectBuilder<S> {
    type Output = Result<S, ConnectError>;
    type IntoFuture = Connecting<S>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let url = self.url.clone();
            let peer = self.open().await?;
            let contract = S::CONTRACT.name();
            match peer.session().hosts_same(S::CONTRACT) {
                None => return Err(ConnectError::NotHosted { url, contract }),
                Some(false) => {
                    static OTHER_VERSION: LogLimit = LogLimit::new();
                    if let Some(more) = OTHER_VERSION.admit(Instant::now().into_std()) {
                        warn!(contract, "the server was built from another version of this contract{more}");
                    }
                }
                Some(true) => {}
            }
            Ok(S::from_peer(peer))
        })
    }
}

impl IntoFuture for ConnectBuilder<Client> {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = Connecting<Client>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(Client::new(self.open().await?)) })
    }
}

impl<T> fmt::Debug for ConnectBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("ConnectBuilder").field("url", &self.url).field("config", &self.config).finish_non_exhaustive()
    }
}
