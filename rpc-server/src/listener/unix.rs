//! `UnixListener`: one path at which a server listens.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net;
use tracing::info;

use super::{accept::Acceptor, options::ListenOptions};
use crate::{error::ListenError, shared::KeepAlive, socket::Socket, unix::SocketFile};

/// One path at which a server listens: [`Server::listen_unix`](crate::Server::listen_unix). Dropping it stops listening
/// there and removes the socket file at once; otherwise it is as a [`Listener`](crate::Listener).
#[must_use = "dropping the listener stops listening, as `let _ =` does at once; hold it, for instance until `server.wait().await` returns"]
pub struct UnixListener {
    path: PathBuf,
    socket: Socket,
    alive: Arc<KeepAlive>,
}

impl UnixListener {
    /// Must be called within a tokio runtime.
    pub(crate) fn start(
        alive: Arc<KeepAlive>,
        listener: net::UnixListener,
        file: SocketFile,
    ) -> Result<Self, ListenError> {
        let path = file.path().to_owned();
        let socket = Socket::unix(listener, file);
        let stop = alive.shared.open(&socket).ok_or(ListenError::ShutDown)?;
        info!(path = %path.display(), "listening");
        tokio::spawn(Acceptor::new(socket.clone(), ListenOptions::new(), Arc::clone(&alive.shared)).run(stop));
        Ok(Self { path, socket, alive })
    }

    /// The path of the socket file, from the root on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops listening, as dropping the listener does.
    pub fn close(self) {
        drop(self);
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        if self.alive.shared.close(&self.socket) {
            info!(path = %self.path.display(), "not listening any more");
        }
    }
}
