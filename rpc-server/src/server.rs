//! `Server`: the handle of a running server.

#[cfg(unix)]
use std::path::Path;
use std::{io, sync::Arc};

use rpc_core::ConnectionInfo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, ToSocketAddrs, lookup_host},
};
use tracing::info;

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    error::ListenError,
    front::Front,
    groups::Groups,
    listener::{ListenOptions, Listener, serve_stream},
    sessions::Sessions,
    shared::{KeepAlive, ServerShared, Stop},
    upgrade::Upgrade,
};
#[cfg(unix)]
use crate::{listener::UnixListener, unix};

/// A server: services and limits, which [`Server::builder`] collects. Cheap to clone; all clones are one server.
///
/// Clients reach it through any number of addresses ([`listen`](Self::listen), by TLS `listen_tls`) and through other
/// HTTP servers ([`upgrade`](Self::upgrade)), one after the other or at the same time. All of them share the services,
/// the [`sessions`](Self::sessions) and every limit.
///
/// ```
/// # use rpc_server::Server;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().max_connections(100).build()?;
/// let local = server.listen("127.0.0.1:0").await?;
/// let other = server.listen("127.0.0.1:0").await?;
/// assert_ne!(local.local_addr(), other.local_addr());
/// other.close(); // its sessions live on, and so does `local`
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// [`shutdown`](Self::shutdown) ends a server in good order. Dropping the last of its handles ends it at once: it
/// accepts no more connections, and closes every session with code 1012, without waiting for calls. Each `Server`,
/// [`Listener`] and [`Upgrade`] is such a handle. To run for ever, await [`wait`](Self::wait).
#[derive(Clone, Debug)]
#[must_use = "dropping the last handle of a server ends it, as `let _ =` does at once; hold it, for instance with `server.wait().await`"]
pub struct Server {
    alive: Arc<KeepAlive>,
}

impl Server {
    pub(crate) fn new(shared: ServerShared) -> Self {
        Self { alive: Arc::new(KeepAlive { shared: Arc::new(shared) }) }
    }

    /// Listens at an address, for instance `"127.0.0.1:9000"`, until the returned [`Listener`] is dropped or the server
    /// ends. A server can listen at any number of addresses. Port 0 takes any free port, which [`Listener::local_addr`]
    /// returns. If a name has several addresses, the server listens at the first one that works.
    ///
    /// Every path of a URL leads to the server, unless [`ServerBuilder::path`](crate::ServerBuilder::path) or a route
    /// says otherwise.
    ///
    /// # Errors
    ///
    /// [`ListenError::Address`] if the address cannot be resolved, for instance because the host name is unknown. If
    /// the server can listen at none of the addresses, the error is the last address's: [`ListenError::InUse`],
    /// [`ListenError::Denied`], [`ListenError::NotLocal`] or [`ListenError::Failed`]. [`ListenError::ShutDown`] if the
    /// server has been shut down.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> Result<Listener, ListenError> {
        self.listen_with(addr, ListenOptions::new()).await
    }

    /// Listens at an address with options of its own: otherwise as [`listen`](Self::listen).
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen). [`ListenError::NoTrustedProxies`] for the PROXY protocol at a server without
    /// [`trusted_proxies`](crate::ServerBuilder::trusted_proxies).
    pub async fn listen_with(&self, addr: impl ToSocketAddrs, options: ListenOptions) -> Result<Listener, ListenError> {
        if self.shared().has_stopped_listening() {
            return Err(ListenError::ShutDown);
        }
        self.serve_listener_with(bind(addr).await?, options)
    }

    /// Listens at an address by TLS, for instance `"0.0.0.0:443"`: clients connect to `wss://` URLs, and the routes are
    /// at `https://` URLs. Otherwise as [`listen`](Self::listen). [`listen_with`](Self::listen_with) does the same with
    /// [`ListenOptions::tls`], beside other options.
    ///
    /// The TLS handshake and the HTTP upgrade take at most
    /// [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout) together. A handshake that fails ends its own
    /// connection, and the log says why at the level `debug`. A connection counts under the limits of connections from
    /// the moment in which it is accepted; a connection beyond a limit is closed without an answer, because an
    /// answer would cost a handshake. Every request, also to a [`route`](crate::ServerBuilder::route), has a
    /// [`TlsInfo`](rpc_core::TlsInfo) in its extensions.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    #[cfg(feature = "tls")]
    pub async fn listen_tls(&self, addr: impl ToSocketAddrs, tls: Tls) -> Result<Listener, ListenError> {
        self.listen_with(addr, ListenOptions::new().tls(tls)).await
    }

    /// Serves a socket that listens already, for instance one that a supervisor has handed down. Otherwise as
    /// [`listen`](Self::listen). Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ListenError::Address`] if the system does not tell the socket's address, [`ListenError::ShutDown`] if the
    /// server has been shut down.
    pub fn serve_listener(&self, listener: TcpListener) -> Result<Listener, ListenError> {
        self.serve_listener_with(listener, ListenOptions::new())
    }

    /// Serves a socket that listens already, with options of its own: otherwise as
    /// [`serve_listener`](Self::serve_listener). Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`serve_listener`](Self::serve_listener). [`ListenError::NoTrustedProxies`] for the PROXY protocol at a
    /// server without [`trusted_proxies`](crate::ServerBuilder::trusted_proxies).
    pub fn serve_listener_with(&self, listener: TcpListener, options: ListenOptions) -> Result<Listener, ListenError> {
        Listener::start(Arc::clone(&self.alive), listener, options)
    }

    /// Serves a socket that listens already by TLS: as [`serve_listener`](Self::serve_listener) and
    /// [`listen_tls`](Self::listen_tls). Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`serve_listener`](Self::serve_listener).
    #[cfg(feature = "tls")]
    pub fn serve_listener_tls(&self, listener: TcpListener, tls: Tls) -> Result<Listener, ListenError> {
        self.serve_listener_with(listener, ListenOptions::new().tls(tls))
    }

    /// Listens at a Unix socket, for instance `"/run/app/rpc.sock"`, until the returned [`UnixListener`] is dropped or
    /// the server ends; then the socket file is removed. Otherwise as [`listen`](Self::listen), without TLS. A client
    /// connects with `ConnectBuilder::unix`.
    ///
    /// A socket file that an earlier process has left at the path is removed, if nothing answers there. Another file is
    /// left as it is, and is an error. The permissions of the file, which the umask of the process leaves, and of its
    /// folder say which users may connect: put it into a folder that only they may enter.
    ///
    /// Sessions that come this way have no [`peer_addr`](rpc_core::Session::peer_addr), and count under
    /// [`max_connections`](crate::ServerBuilder::max_connections) alone. Headers of proxies are not read.
    ///
    /// ```
    /// use rpc_client::Connect;
    /// use rpc_server::Server;
    /// # #[rpc_server::service]
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
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("rpc.sock");
    /// let server = Server::builder().service(Tower.serve()).build()?;
    /// let listener = server.listen_unix(&path).await?;
    /// let clock = ClockClient::connect("ws://localhost/").unix(listener.path()).await?;
    /// assert_eq!(clock.hour().await?, 12);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ListenError::PathInUse`] if another socket listens there, [`ListenError::Path`] if the file cannot be made or
    /// an old one cannot be removed, [`ListenError::ShutDown`] if the server has been shut down.
    #[cfg(unix)]
    pub async fn listen_unix(&self, path: impl AsRef<Path>) -> Result<UnixListener, ListenError> {
        if self.shared().has_stopped_listening() {
            return Err(ListenError::ShutDown);
        }
        let (listener, file) = unix::bind(path.as_ref()).await?;
        UnixListener::start(Arc::clone(&self.alive), listener, file)
    }

    /// Makes a stream that the application has opened by itself a connection of the server: of a Unix socket, for
    /// instance, or of a tunnel. The client's HTTP upgrade comes over it, as over a connection to a listener:
    /// everything said there holds. Must be called within a tokio runtime, in which the connection runs as a task.
    ///
    /// Of `info` the address counts, what TLS has told, and the extensions, which the session has too: a
    /// [`Principal`](rpc_core::Principal) among them is the session's. Without an address the connection counts under
    /// [`max_connections`](crate::ServerBuilder::max_connections) alone. If there is no place for it, it is answered
    /// with 503, or closed without an answer if 64 others are being answered so. At the client's end,
    /// `ConnectBuilder::over` takes such a stream.
    ///
    /// ```
    /// use rpc_client::Connect;
    /// use rpc_server::{ConnectionInfo, Server};
    /// # #[rpc_server::service]
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
    /// let server = Server::builder().service(Tower.serve()).build()?;
    /// let (near, far) = tokio::io::duplex(64 * 1024);
    /// server.serve_stream(far, ConnectionInfo::default())?;
    /// let clock = ClockClient::connect("ws://localhost/").over(near).await?;
    /// assert_eq!(clock.hour().await?, 12);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ListenError::ShutDown`] if the server has been shut down. The stream is dropped then.
    pub fn serve_stream<IO>(&self, io: IO, info: ConnectionInfo) -> Result<(), ListenError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serve_stream(self.shared(), io, info)
    }

    /// A service that answers the requests of another HTTP server. All settings of the builder hold for it: limits of
    /// connections, origins, memory. [`shutdown`](Self::shutdown) ends its sessions too, and later requests are
    /// answered with 503; while there are sessions that can be resumed, clients that do not come back to one are closed
    /// with 1012 instead. A server can give any number of such services.
    pub fn upgrade(&self) -> Upgrade {
        Upgrade::new(Arc::clone(&self.alive))
    }

    /// A service that answers requests as the listeners of this server do: the sessions at their path, the routes, the
    /// health routes. It is for HTTP servers of another kind, and otherwise as [`upgrade`](Self::upgrade).
    pub fn front(&self) -> Front {
        Front::new(Arc::clone(&self.alive))
    }

    /// The open sessions of all listeners, upgrades and streams.
    pub fn sessions(&self) -> &Sessions {
        &self.shared().sessions
    }

    /// The groups of the server's sessions.
    pub fn groups(&self) -> &Groups {
        self.sessions().groups()
    }

    /// Stops in good order: closes every [`Listener`], takes no more sessions, tells every peer, lets running calls
    /// end, then closes each session with code 1012. Returns when the last session has ended and its `closed` hooks
    /// have returned.
    ///
    /// The addresses are free from the first poll on, unless there are sessions that can be
    /// [resumed](rpc_core::Config::resume_window). Until these have ended, the listeners stay for clients that come
    /// back to them, because the client of a session without a link would otherwise lose the results of its calls;
    /// other clients are turned away with 1012, and come back later.
    ///
    /// Calls that still run after [`Config::drain_grace`](rpc_core::Config::drain_grace) are cancelled. `shutdown`
    /// returns within [`Config::drain_timeout`](rpc_core::Config::drain_timeout) in every case: `closed` hooks that
    /// take longer run on, and a session whose thread a handler blocks is named in the log and left behind. A second
    /// call joins the shutdown, and does not start the times anew. Dropping the future stops the waiting, not the
    /// shutdown.
    ///
    /// # Panics
    ///
    /// If the future is polled outside of a tokio runtime that has its time enabled.
    pub async fn shutdown(&self) {
        self.begin_shutdown();
        self.shared().over().await;
    }

    /// Waits until another handle has shut the server down, and the server has no sessions any more or the time of its
    /// shutdown is over. Dropping the future stops the waiting and nothing else.
    pub async fn wait(&self) {
        self.shared().stopped().await;
        self.shared().over().await;
    }

    /// The first step of [`shutdown`](Self::shutdown).
    pub(crate) fn begin_shutdown(&self) {
        let shared = self.shared();
        if let Some(listeners) = shared.end_listening() {
            info!(listeners, sessions = self.sessions().len(), "shutting down");
        }
        self.sessions().begin_drain();
        if !self.sessions().admits_resumes() {
            return shared.stop(Stop::Gracefully);
        }
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            shared.sessions.until_none_resumes().await;
            shared.stop(Stop::Gracefully);
        });
    }

    pub(crate) fn shared(&self) -> &Arc<ServerShared> {
        &self.alive.shared
    }
}

/// Binds the first of the addresses that works.
async fn bind(addr: impl ToSocketAddrs) -> Result<TcpListener, ListenError> {
    let mut failed = None;
    for addr in lookup_host(addr).await.map_err(ListenError::Address)? {
        match TcpListener::bind(addr).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(ListenError::bind(addr, error)),
        }
    }
    Err(failed.unwrap_or_else(|| ListenError::Address(io::Error::other("the name stands for no address"))))
}
