//! `ServerHandle`: what is held of a running server.

use std::net::SocketAddr;

use tokio::{net::TcpListener, sync::watch};
use tracing::info;

use crate::{
    listener::{Listener, Socket},
    sessions::Sessions,
    upgrade::Upgrade,
};

/// A running server. Dropping it stops the server at once: nothing more is accepted and every session is closed without
/// waiting for its calls, with code 1012. To stop in good order use [`shutdown`](Self::shutdown); to run for ever,
/// [`wait`](Self::wait).
///
/// Its address is free again when it has been dropped, and from the first poll of a shutdown on.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server; hold it, for instance with `server.wait().await`"]
pub struct ServerHandle {
    local_addr: SocketAddr,
    socket: Socket,
    /// Its receiver is held by the listening task, so it is closed when that task has ended.
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
        let socket = Socket::new(socket);
        info!(addr = %local_addr, "listening");
        tokio::spawn(Listener::new(socket.clone(), upgrade, most, most_of_one_address).run(stopped));
        Self { local_addr, socket, stop, sessions }
    }

    /// The address that the server listens at, with the port that it was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The live sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Stops in good order: accepts no more connections, tells every peer, lets running calls end, then closes each
    /// session with code 1012. Returns when the last one has ended and its `closed` hooks have returned.
    ///
    /// Calls that still run after [`Config::drain_grace`](rpc_core::Config::drain_grace) are cancelled. It returns
    /// within [`Config::drain_timeout`](rpc_core::Config::drain_timeout) whatever happens: `closed` hooks that take
    /// longer run on, and a session whose thread a handler blocks is named in the log and left behind. May be called
    /// again, which starts no time anew. Dropping the future stops the
    /// waiting, not the shutdown.
    pub async fn shutdown(&self) {
        if !self.stop.send_replace(true) {
            info!(addr = %self.local_addr, sessions = self.sessions.len(), "shutting down");
        }
        self.socket.close();
        self.sessions.begin_drain();
        self.ended().await;
    }

    /// Waits until the server has been shut down, from elsewhere, and has no sessions any more, or the time of its
    /// shutdown is over.
    pub async fn wait(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.stop.subscribe().wait_for(|&stop| stop).await;
        self.ended().await;
    }

    /// The listening task has ended, and so have the sessions, or there is no more time for them.
    async fn ended(&self) {
        self.sessions.within_drain(self.stop.closed()).await;
        self.sessions.ended().await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.socket.close();
        self.sessions.close();
    }
}
