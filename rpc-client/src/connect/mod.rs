//! `connect`: makes a stub or a client from a URL.

mod plan;

#[cfg(unix)]
use std::path::PathBuf;
use std::{
    fmt,
    future::{Future, IntoFuture},
    io,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
};

use rpc_core::{
    Config, Hosting, HostingBuilder, IntoService, Session, SessionHooks, Stub, contract::ContractDescriptor,
    intercept::Interceptor, observe::Observer,
};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::plan::Plan;

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    client::{Client, Reconnect, SessionMaker, Setup, SetupError},
    credentials::Credentials,
    dial::{DialSettings, OwnStream, shown},
    error::ConnectError,
    proxy::Proxy,
};

/// Connects to a server, for programs that use several contracts of the server: `connect(url).await?` gives a
/// [`Client`].
///
/// The URL begins with `ws://` or, for TLS, with `wss://`; the default port is 80, or 443. The server is told the path
/// and the query. The zone of an IPv6 address stands behind `%25` (RFC 6874), as in `ws://[fe80::1%25eth0]:9000/`, and
/// stays on this machine. No error and no log shows the query, which may hold a token. [`ConnectBuilder`] has the
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
    /// Connects to a server that hosts this stub's contract. If the contract has a callback contract that is not
    /// `optional`, the client must host it: `.callback(ChatEvents::serve(object))`.
    ///
    /// The URL begins with `ws://` or, for TLS, with `wss://`; the default port is 80, or 443. [`ConnectBuilder`] has
    /// the settings that can precede `.await`, and [`connect`] says more of URLs. The session lives until it is closed,
    /// or until the stub and all its clones have been dropped. Before `main` returns, await `stub.session().close()`;
    /// otherwise what was sent last goes out only as far as the socket takes it at once.
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
    settings: DialSettings,
    config: Config,
    hosting: HostingBuilder,
    credentials: Option<Arc<dyn Credentials>>,
    /// What the caller wants, if it has said so.
    reconnect: Option<Reconnect>,
    setup: Option<Setup>,
    gives: PhantomData<fn() -> T>,
}

impl<T> ConnectBuilder<T> {
    fn new(url: String) -> Self {
        Self {
            settings: DialSettings::new(url),
            config: Config::default(),
            hosting: Hosting::builder(),
            credentials: None,
            reconnect: None,
            setup: None,
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
    /// first that was added is the first to see the session open, and the last to see it closed.
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        self.hosting = self.hosting.hooks(hooks);
        self
    }

    /// Puts an interceptor around every call of the session: calls that this side makes, and calls that the server
    /// makes back. Of several interceptors, the first that was added is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.hosting = self.hosting.interceptor(interceptor);
        self
    }

    /// Adds an observer, such as [`Metrics`](rpc_core::observe::Metrics): it hears of all calls and sessions, and
    /// changes nothing.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.hosting = self.hosting.observer(observer);
        self
    }

    /// Sets the limits and times of the session.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Shows a credential to the server: `.credentials(|| async { fetch_token().await.map(Credential::bearer) })`. The
    /// source is asked before the connection is made. If the server says that the identity expires, the source is asked
    /// again when 80 % of the time are over, and the session goes on with the newer credential, without a new
    /// connection. If a renewal fails, it is tried again until the server closes with
    /// [`CloseCode::EXPIRED`](rpc_core::CloseCode::EXPIRED).
    ///
    /// A [`Credential::bearer`](rpc_core::Credential::bearer) goes with the HTTP upgrade; a header `authorization` that
    /// is set besides is an error when connecting. A [`Credential::in_hello`](rpc_core::Credential::in_hello) goes with
    /// the first frame. Use either within a trusted network or with TLS: otherwise others can read it on its way.
    pub fn credentials(mut self, credentials: impl Credentials) -> Self {
        self.credentials = Some(Arc::new(credentials));
        self
    }

    /// Sends a header with the HTTP upgrade, for instance `.header("authorization", "Bearer …")`. The server's
    /// handlers see it in their context. A header that is not valid, that the WebSocket handshake sets itself, or that
    /// announces a body, is an error when connecting.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.settings = self.settings.header(name.as_ref(), value.as_ref());
        self
    }

    /// Sets whom to trust, and who this client is, for a `wss://` URL. Without it, the authorities that the operating
    /// system trusts are trusted, and no certificate is shown ([`Tls::platform`]). With a `ws://` URL it is an error
    /// when connecting. `None` is as if this were not called, for a program whose URL decides.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: impl Into<Option<Tls>>) -> Self {
        self.settings = self.settings.tls(tls.into());
        self
    }

    /// Sets through which proxy the server is reached: `.proxy(Proxy::none())`, or
    /// `.proxy(Proxy::http("http://proxy:3128")?)`. Without it, the environment decides ([`Proxy::from_env`]), and
    /// hosts of this machine are reached directly. If several of `proxy`, `unix`, [`over`](Self::over) and
    /// [`over_with`](Self::over_with) are called, the last call counts.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.settings = self.settings.proxy(proxy);
        self
    }

    /// Connects over a stream that the application has opened by itself, for instance of a Unix socket or of a tunnel.
    /// The HTTP upgrade goes over it as over a TCP connection. The URL says what the request asks for, its host and its
    /// path; no address is looked up, and [`Session::peer_addr`](rpc_core::Session::peer_addr) is `None`. With a
    /// `wss://` URL, the handshake of TLS goes over the stream first; where the stream is encrypted already, write
    /// `ws://`.
    ///
    /// At the server's end, `Server::serve_stream` takes such a stream. Dropping the builder, or the future, closes it.
    pub fn over(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        self.settings = self.settings.over(stream);
        self
    }

    /// Connects over streams that the application opens, one for each session: as [`over`](Self::over), for a client
    /// that [connects again](Self::reconnect). If the function fails, the error is [`ConnectError::Stream`]. It has
    /// [`Config::upgrade_timeout`], the HTTP upgrade included; then its future is dropped.
    ///
    /// ```
    /// use rpc_client::{Reconnect, connect};
    /// use tokio::net::TcpStream;
    ///
    /// # async fn example() -> Result<(), rpc_client::ConnectError> {
    /// let client = connect("ws://chat.example/")
    ///     .over_with(|| TcpStream::connect("127.0.0.1:9000"))
    ///     .reconnect(Reconnect::default())
    ///     .await?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn over_with<F, Fut, IO>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.settings = self.settings.over_with(Arc::new(move || {
            let stream = open();
            Box::pin(async move { Ok(Box::new(stream.await?) as OwnStream) })
        }));
        self
    }

    /// Connects to the Unix socket at this path, for instance `"/run/app/rpc.sock"`, where a server listens with
    /// `Server::listen_unix`. The URL says what the request asks for, its host and its path:
    /// `connect("ws://localhost/").unix("/run/app/rpc.sock")`. Otherwise as [`over`](Self::over). If there is no
    /// connection, the error is [`ConnectError::Unix`].
    #[cfg(unix)]
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings = self.settings.unix(path.into());
        self
    }

    /// Sets how the client connects again, with which waits and for how long:
    /// `.reconnect(Reconnect::default().max_attempts(10))`. Without this, [`Reconnect::default`] counts, which goes on
    /// for ever; with [`Reconnect::never`] the client has one session.
    ///
    /// A lost link does not end the session by itself. The client makes another link, and the session goes on over it,
    /// with its calls, streams and objects, if the server still has the session: see
    /// [`Config::resume_window`](rpc_core::Config::resume_window). Otherwise the client begins a new session.
    ///
    /// The stubs of a client that connects again go on working. While there is no session, a call waits until its
    /// deadline, or fails at once with [`CallOptions::fail_fast`](rpc_core::CallOptions::fail_fast). A call that is
    /// under way when its session is lost goes on in the next session if it has certainly not run, unless one of its
    /// streams has begun; otherwise it fails with `UNAVAILABLE`, and [`Status::execution`](rpc_core::Status::execution)
    /// says that it may have run. Objects and values that belong to a session, and its streams, end with it: see the
    /// guide's page on [reconnecting](rpc_core::guide::reconnecting).
    ///
    /// A client over a stream that was given to [`over`](Self::over) has one session, because the stream cannot be
    /// opened again. To ask for more with it is an error when connecting; use [`over_with`](Self::over_with).
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = Some(reconnect);
        self
    }

    /// Prepares each session, the first as well, before the client's calls go to it: to join a room, to subscribe
    /// again. Calls that the function makes, through its session or through a stub of the client, go to the new
    /// session; all others wait until it has returned. A task that the function spawns counts among the others, so the
    /// function must not wait for a call that such a task makes through a stub of the client. A stub or a client that
    /// the function holds keeps the client going: [`Client::close`] ends it then.
    ///
    /// ```
    /// use rpc_client::{Reconnect, SetupError, connect};
    /// # #[rpc_client::service]
    /// # trait Chat {
    /// #     async fn join(&self, room: &str);
    /// # }
    ///
    /// # async fn example() -> Result<(), rpc_client::ConnectError> {
    /// let client = connect("ws://127.0.0.1:9000/")
    ///     .reconnect(Reconnect::default())
    ///     .on_session(|session| async move {
    ///         session.client::<ChatClient>().join("lobby").await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The function has [`Config::hook_timeout`]. If it takes longer, or returns an error whose status is
    /// `UNAVAILABLE`, `RESOURCE_EXHAUSTED` or `DEADLINE_EXCEEDED`, the session is closed, and counts as an attempt that
    /// has failed. Any other error closes the client, and so does a panic. If the link is lost meanwhile and the
    /// session can be resumed, the client makes another link, and the function's calls go on. A session that is lost
    /// meanwhile is no error of the function: it runs again in the next one. Its future is dropped if its session is
    /// lost or the client is closed.
    pub fn on_session<F, Fut>(mut self, setup: F) -> Self
    where
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), SetupError>> + Send + 'static,
    {
        self.setup = Some(Arc::new(move |session| Box::pin(setup(session))));
        self
    }

    /// Connects, for a client of this contract or for one of any contract.
    async fn open(self, contract: Option<&'static ContractDescriptor>) -> Result<Client, ConnectError> {
        let DialSettings { url, carrier, tls, headers } = self.settings;
        let (hosting, config) = (self.hosting.build()?, self.config);
        let may_reconnect = carrier.again().is_some();
        let reconnect = match self.reconnect {
            Some(reconnect) if !may_reconnect && !reconnect.is_never() => {
                return Err(ConnectError::Reconnect {
                    why: "the stream that was given to .over(..) cannot be opened again",
                });
            }
            Some(reconnect) => reconnect,
            None if may_reconnect => Reconnect::default(),
            None => Reconnect::never(),
        };
        let (headers, credentials) = (headers?, self.credentials);
        let (carrier, resumes) = (Some(carrier), !reconnect.is_never());
        let mut plan = Plan { url, carrier, tls, headers, config, hosting, credentials, contract, resumes };
        if reconnect.is_never() && self.setup.is_none() {
            return Ok(Client::of_session(plan.make().await?));
        }
        Ok(Client::of_sessions(SessionMaker::new(plan, reconnect, self.setup).begin().await?))
    }
}

/// The future that awaiting a [`ConnectBuilder`] runs.
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectError>> + Send>>;

impl<S: Stub> IntoFuture for ConnectBuilder<S> {
    type Output = Result<S, ConnectError>;
    type IntoFuture = Connecting<S>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.open(Some(S::CONTRACT)).await?.client()) })
    }
}

impl IntoFuture for ConnectBuilder<Client> {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = Connecting<Client>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open(None))
    }
}

impl<T> fmt::Debug for ConnectBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("ConnectBuilder")
            .field("url", &shown(&self.settings.url))
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
