//! `ServerHandle`: a server together with its one listener, and the methods of `ServerBuilder` that make one.

use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;

use tokio::net::ToSocketAddrs;

#[cfg(unix)]
use crate::listener::UnixListener;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    builder::ServerBuilder,
    error::ListenError,
    groups::Groups,
    listener::{ListenOptions, Listener},
    server::Server,
    sessions::Sessions,
};

/// A server that listens at one address: [`ServerBuilder::listen`](crate::ServerBuilder::listen), the short way to
/// build a [`Server`] and let it listen.
///
/// Dropping it closes the address. If there is no other handle of the server, such as a clone of
/// [`server`](Self::server), the server then ends at once: it closes every session with code 1012, without waiting for
/// calls. To stop in good order use [`shutdown`](Self::shutdown); to run for ever, [`wait`](Self::wait).
///
/// The address is free again when the handle has been dropped, and from the first poll of a shutdown on; with sessions
/// that can be resumed, when these have ended.
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
/// let server = Server::builder().service(Tower.serve()).listen("127.0.0.1:0").await?;
/// let clock = ClockClient::connect(format!("ws://{}/", server.local_addr())).await?;
/// assert_eq!(clock.hour().await?, 12);
/// assert_eq!(server.sessions().len(), 1);
/// server.shutdown().await;
/// assert!(server.sessions().is_empty());
/// # Ok(())
/// # }
/// ```
///
/// `ServerHandle` is a handle with an address. `ServerHandle<UnixListener>`, which
/// [`ServerBuilder::listen_unix`](crate::ServerBuilder::listen_unix) returns, has the path of a Unix socket instead.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server; hold it, for instance with `server.wait().await`"]
pub struct ServerHandle<L = Listener> {
    server: Server,
    listener: L,
}

impl ServerHandle {
    /// The address at which the server listens, with the port that the system chose if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

#[cfg(unix)]
impl ServerHandle<UnixListener> {
    /// The path of the socket file, from the root on.
    pub fn path(&self) -> &Path {
        self.listener.path()
    }
}

impl<L> ServerHandle<L> {
    pub(crate) fn new(server: Server, listener: L) -> Self {
        Self { server, listener }
    }

    /// The server, for instance to listen at more addresses.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The open sessions: [`Server::sessions`].
    pub fn sessions(&self) -> &Sessions {
        self.server.sessions()
    }

    /// The groups of the sessions: [`Server::groups`].
    pub fn groups(&self) -> &Groups {
        self.server.groups()
    }

    /// Stops the server in good order: [`Server::shutdown`].
    pub async fn shutdown(&self) {
        self.server.shutdown().await;
    }

    /// Shuts the server down when the operating system asks for it: [`Server::shutdown_on_signal`].
    pub async fn shutdown_on_signal(&self) {
        self.server.shutdown_on_signal().await;
    }

    /// Waits until the server has been shut down: [`Server::wait`].
    pub async fn wait(&self) {
        self.server.wait().await;
    }
}

impl ServerBuilder {
    /// Makes the server and lets it listen at an address, for instance `"127.0.0.1:9000"`: the short way of
    /// [`build`](Self::build) and [`Server::listen`].
    ///
    /// # Errors
    ///
    /// [`ListenError::Build`] if [`build`](Self::build) fails, which comes before the address is resolved. Otherwise
    /// the errors of [`Server::listen`].
    ///
    /// # Panics
    ///
    /// If it is awaited outside of a tokio runtime, or in one without IO and time.
    pub async fn listen(self, addr: impl ToSocketAddrs) -> Result<ServerHandle, ListenError> {
        let server = self.build()?;
        let listener = server.listen(addr).await?;
        Ok(ServerHandle::new(server, listener))
    }

    /// Makes the server and lets it listen at an address with options of its own: the short way of
    /// [`build`](Self::build) and [`Server::listen_with`].
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen), and those of [`Server::listen_with`].
    pub async fn listen_with(
        self,
        addr: impl ToSocketAddrs,
        options: ListenOptions,
    ) -> Result<ServerHandle, ListenError> {
        let server = self.build()?;
        let listener = server.listen_with(addr, options).await?;
        Ok(ServerHandle::new(server, listener))
    }

    /// Makes the server and lets it listen at a Unix socket: the short way of [`build`](Self::build) and
    /// [`Server::listen_unix`].
    ///
    /// # Errors
    ///
    /// [`ListenError::Build`] if [`build`](Self::build) fails. Otherwise the errors of [`Server::listen_unix`].
    #[cfg(unix)]
    pub async fn listen_unix(self, path: impl AsRef<Path>) -> Result<ServerHandle<UnixListener>, ListenError> {
        let server = self.build()?;
        let listener = server.listen_unix(path).await?;
        Ok(ServerHandle::new(server, listener))
    }

    /// Makes the server and lets it listen at an address by TLS: the short way of [`build`](Self::build) and
    /// [`Server::listen_tls`].
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    #[cfg(feature = "tls")]
    pub async fn listen_tls(self, addr: impl ToSocketAddrs, tls: Tls) -> Result<ServerHandle, ListenError> {
        let server = self.build()?;
        let listener = server.listen_tls(addr, tls).await?;
        Ok(ServerHandle::new(server, listener))
    }
}
