//! `Socket`: a listening socket that other tasks than the accepting one can close.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(unix)]
use crate::unix::SocketFile;

/// A listening socket. Clones are the same socket.
///
/// A program that stops a server may listen at the same address again at once. The system allows that when the socket
/// is closed, not when a task has been told to close it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// `None` once the socket is closed.
    listener: Option<Bound>,
    /// The task that waits for a connection, or for the end.
    waiting: Option<Waker>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    /// The file goes before the socket closes: until then, no other file can have its inode.
    #[cfg(unix)]
    Unix {
        _file: SocketFile,
        listener: UnixListener,
    },
}

/// A connection that a socket has accepted.
#[derive(Debug)]
pub(crate) enum Incoming {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// An address as everything shows it. A socket for both families shows an IPv4 address within an IPv6 address.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        // This one may have a scope.
        IpAddr::V6(_) => addr,
    }
}

impl Incoming {
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, peer_addr) => Some(*peer_addr),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl Socket {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self::of(Bound::Tcp(listener))
    }

    #[cfg(unix)]
    pub(crate) fn unix(listener: UnixListener, file: SocketFile) -> Self {
        Self::of(Bound::Unix { _file: file, listener })
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Closes the socket; the system resets the connections that it has not handed out yet. True if the socket was
    /// open.
    pub(crate) fn close(&self) -> bool {
        let (listener, waiting) = {
            let mut state = self.lock();
            (state.listener.take(), state.waiting.take())
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        listener.is_some()
    }

    /// Waits for a connection; `None` once the socket is closed. One task at a time may wait.
    pub(crate) async fn accept(&self) -> Option<io::Result<Incoming>> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Waits until the socket is closed. One task at a time may wait.
    pub(crate) async fn closed(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.listener.is_none() {
                return Poll::Ready(());
            }
            let old = state.waiting.replace(cx.waker().clone());
            drop((state, old));
            Poll::Pending
        })
        .await;
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Incoming>>> {
        let mut state = self.lock();
        let Some(listener) = &state.listener else { return Poll::Ready(None) };
        let accepted = match listener {
            Bound::Tcp(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, peer_addr)| Incoming::Tcp(stream, canonical(peer_addr)))
            }
            #[cfg(unix)]
            Bound::Unix { listener, .. } => listener.poll_accept(cx).map_ok(|(stream, _)| Incoming::Unix(stream)),
        };
        match accepted {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => {
                let old = state.waiting.replace(cx.waker().clone());
                drop((state, old));
                Poll::Pending
            }
        }
    }

    fn of(listener: Bound) -> Self {
        Self { state: Arc::new(Mutex::new(State { listener: Some(listener), waiting: None })) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
