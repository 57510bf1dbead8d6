//! `Socket`: a listening socket that can be closed from outside of the task that accepts from it.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::net::{TcpListener, TcpStream};

/// A listening socket. Clones are the same socket.
///
/// Who stops a server may listen at its address again at once, which the system allows when the socket is closed, and
/// not when a task has been told to close it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// `None` when it is closed.
    listener: Arc<Mutex<Option<TcpListener>>>,
}

impl Socket {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener: Arc::new(Mutex::new(Some(listener))) }
    }

    /// Closes it. Connections that nobody has accepted are reset by the system.
    pub(crate) fn close(&self) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(listener);
    }

    /// Waits for a connection; for ever when the socket is closed. One task at a time may wait.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match &*self.listener.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        }
    }
}
