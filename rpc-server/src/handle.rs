//! `ServerHandle`: what is held of a running server.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use crate::listener::Listener;
use crate::sessions::Sessions;
use crate::upgrade::Upgrade;

/// A running server. Dropping it stops the server at once: nothing more is accepted and every session is closed without waiting
/// for its calls, with code 1012. To stop in good order use [`shutdown`](Self::shutdown); to run for ever, [`wait`](Self::wait).
#[derive(Debug)]
#[must_use = "dropping the handle stops the server; hold it, for instance with `server.wait().await`"]
pub struct ServerHandle {
    local_addr: SocketAddr,
    /// Its receiver is held by the listening task alone, so it is closed when that task has ended.
    stop: watch::Sender<bool>,
    sessions: Sessions,
}

impl ServerHandle {
    pub(crate) fn start(
        socket: TcpListener,
        local_addr: SocketAddr,
        upgrade: Upgrade,
        most: usize,
        most_of_one_address: usize,
    ) -> Self {
        let sessions = upgrade.sessions().clone();
        let (stop, stopped) = watch::channel(false);
        info!(addr = %local_addr, "listening");
        tokio::spawn(Listener::new(socket, upgrade, most, most_of_one_address).run(stopped));
        Self { local_addr, stop, sessions }
    }

    /// The address that the server listens at, with the port that it was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The live sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Stops in good order: accepts no more connections, tells every peer, lets running calls end, then closes each session with
    /// code 1012. Returns when the last one has ended.
    ///
    /// Calls that still run after [`Config::drain_grace`](rpc_core::Config::drain_grace) are cancelled; it never takes much
    /// longer than [`Config::drain_timeout`](rpc_core::Config::drain_timeout). May be called again. Dropping the future stops the
    /// waiting, not the shutdown.
    pub async fn shutdown(&self) {
        if !self.stop.send_replace(true) {
            info!(addr = %self.local_addr, sessions = self.sessions.len(), "shutting down");
        }
        tokio::join!(self.stop.closed(), self.sessions.drain());
    }

    /// Waits until the server has been shut down, from elsewhere, and has no sessions any more.
    pub async fn wait(&self) {
        self.stop.closed().await;
        self.sessions.ended().await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.sessions.close();
    }
}
