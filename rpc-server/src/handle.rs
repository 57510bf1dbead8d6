//! `ServerHandle`: a server together with its one listener.

use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;

#[cfg(unix)]
use crate::listener::UnixListener;
use crate::{listener::Listener, server::Server, sessions::Sessions};

/// A server that listens at one address: [`ServerBuilder::listen`](crate::ServerBuilder::listen), the short way to
/// build a [`Server`] and let it listen.
///
/// Dropping it closes the address. If there is no other handle of the server, such as a clone of
/// [`server`](Self::server), the server then ends at once: it closes every session with code 1012, without waiting for
/// calls. To stop in good order use [`shutdown`](Self::shutdown); to run for ever, [`wait`](Self::wait).
///
/// The address is free again when the handle has been dropped, and from the first poll of a shutdown on.
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
