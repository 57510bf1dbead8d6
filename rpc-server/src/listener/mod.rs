//! `Listener`: one address at which a server listens.

mod accept;
mod backoff;
mod connection;
mod options;
mod proxy_header;
mod security;
mod stream;
mod turned_away;
#[cfg(unix)]
mod unix;

use std::{fmt, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tracing::info;

use self::accept::Acceptor;
pub use self::options::ListenOptions;
pub(crate) use self::stream::serve_stream;
#[cfg(unix)]
pub use self::unix::UnixListener;
use crate::{error::ListenError, shared::KeepAlive, socket::Socket};

/// One address at which a server listens: [`Server::listen`](crate::Server::listen). Dropping the listener stops
/// listening and frees the address at once.
///
/// Connections that were accepted before, and their sessions, live on: they belong to the server. A listener is a
/// handle of its server, so that a server with a listener does not end. When the server shuts down, all of its
/// listeners close.
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
/// let server = Server::builder().service(Tower.serve()).build()?;
/// // Port 0 takes any free port.
/// let listener = server.listen("127.0.0.1:0").await?;
/// let clock = ClockClient::connect(format!("ws://{}/", listener.local_addr())).await?;
///
/// // No more clients come this way. Those that came stay.
/// listener.close();
/// assert_eq!(clock.hour().await?, 12);
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping the listener stops listening, as `let _ =` does at once; hold it, for instance until `server.wait().await` returns"]
pub struct Listener {
    local_addr: SocketAddr,
    socket: Socket,
    alive: Arc<KeepAlive>,
}

impl Listener {
    /// Must be called within a tokio runtime.
    pub(crate) fn start(
        alive: Arc<KeepAlive>,
        listener: TcpListener,
        options: ListenOptions,
    ) -> Result<Self, ListenError> {
        if options.proxy_protocol && !alive.shared.trusts_proxies() {
            return Err(ListenError::NoTrustedProxies);
        }
        let local_addr = listener.local_addr().map_err(ListenError::Address)?;
        let socket = Socket::new(listener);
        let stop = alive.shared.open(&socket).ok_or(ListenError::ShutDown)?;
        info!(addr = %local_addr, tls = options.security.is_tls(), "listening");
        tokio::spawn(Acceptor::new(socket.clone(), options, Arc::clone(&alive.shared)).run(stop));
        Ok(Self { local_addr, socket, alive })
    }

    /// The address at which the server listens, with the port that the system chose if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening, as dropping the listener does.
    pub fn close(self) {
        drop(self);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.alive.shared.close(&self.socket) {
            info!(addr = %self.local_addr, "not listening any more");
        }
    }
}
