//! `connect`: from a URL to a stub or a client.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
};

use http::HeaderMap;
use rpc_core::{
    CheckedConfig, Config, Hosting, HostingBuilder, IntoService, Peer, SessionHooks, Stub, intercept::Interceptor,
    logging::LogLimit, session,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{client::Client, dial::dial, error::ConnectError, headers::with_header};

/// Connects to a server of which several contracts will be used.
///
/// The URL begins with `ws://`; without a port it means 80. See [`ConnectBuilder`] for what can be set before `.await`.
pub fn connect(url: impl Into<String>) -> ConnectBuilder<Client> {
    ConnectBuilder::new(url.into())
}

/// Lets every stub connect: `ChatClient::connect("ws://127.0.0.1:9000/").await?`.
pub trait Connect: Stub {
    /// Connects to a server that hosts this stub's contract.
    ///
    /// The URL begins with `ws://`; without a port it means 80. See [`ConnectBuilder`] for what can be set before
    /// `.await`. The session lives until it is closed, or until the stub and all its clones have been dropped.
    fn connect(url: impl Into<String>) -> ConnectBuilder<Self> {
        ConnectBuilder::new(url.into())
    }
}

impl<S: Stub> Connect for S {}

/// A connection to be made; `.await` makes it.
///
/// Awaiting gives a `T`, or a [`ConnectError`] that says what to do. What cannot work is refused before anything is
/// dialled: a URL, a header, limits and times, callbacks that cannot be hosted together. Reaching the server and the
/// HTTP upgrade take at most [`Config::upgrade_timeout`] together, and the handshake of the session at most
/// [`Config::hello_timeout`]. The `opened` hooks and objects of this side take [`Config::hook_timeout`] more at most,
/// if there are any. Must be awaited within a tokio runtime, in which the session then runs as a task. Dropping the
/// future undoes what it has begun.
#[must_use = "nothing is connected before `.await`"]
pub struct ConnectBuilder<T> {
    url: String,
    config: Config,
    headers: Result<HeaderMap, ConnectError>,
    hosting: HostingBuilder,
    gives: PhantomData<fn() -> T>,
}

impl<T> ConnectBuilder<T> {
    fn new(url: String) -> Self {
        Self {
            url,
            config: Config::default(),
            headers: Ok(HeaderMap::new()),
            hosting: Hosting::builder(),
            gives: PhantomData,
        }
    }

    /// Hosts a callback contract that the server may call: `.callback(ChatEvents::serve(Screen))`. May be called
    /// several times; two contracts of one name are an error when connecting.
    pub fn callback(mut self, service: impl IntoService) -> Self {
        self.hosting = self.hosting.service(service);
        self
    }

    /// Runs code when the session opens, which may refuse it, and when it has ended. May be called several times: the
    /// first one added is the first to see it open, and the last to see it closed.
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        self.hosting = self.hosting.hooks(hooks);
        self
    }

    /// Puts code around every call of the session, those that this side makes and those that the server makes back to
    /// it. May be called several times: the first one added is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.hosting = self.hosting.interceptor(interceptor);
        self
    }

    /// Sets the limits and times of the session. A value that cannot work is an error when connecting.
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

    async fn open(self) -> Result<Peer, ConnectError> {
        let hosting = self.hosting.build()?;
        let config = CheckedConfig::try_from(self.config)?;
        let (transport, info) = dial(&self.url, &self.headers?, &config).await?;
        let peer_addr = info.peer_addr;
        let (session, driver) = session::connect(transport, &hosting, &config, info);
        // Dropping it, with this future or after the refusal, ends the driver.
        let peer = session.keep_open();
        tokio::spawn(driver);
        session.established().await?;
        debug!(session = %session.id(), peer = peer_addr.map(tracing::field::display), "connected");
        Ok(peer)
    }
}

/// What awaiting a [`ConnectBuilder`] runs.
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
