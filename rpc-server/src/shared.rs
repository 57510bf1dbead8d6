//! `ServerShared`: what all handles of a server share. `KeepAlive`: what ends the server with the last of them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use rpc_core::{Config, Hosting, MemoryPool, logging::LogLimit, session::ResumableSessions};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tracing::warn;

use crate::{
    admission::Admission,
    caps::{Caps, Full, Place},
    routes::Routes,
    sessions::Sessions,
    socket::Socket,
};

/// How many connections or streams that have no place under the caps may linger until they have heard why: at each
/// listener, and of all streams of the application. Each one holds a socket beyond the cap.
pub(crate) const MOST_LINGERING: usize = 64;

/// One server. Its handles, its listeners' tasks and its sessions' tasks share it.
#[derive(Debug)]
pub(crate) struct ServerShared {
    pub(crate) hosting: Hosting,
    pub(crate) config: Config,
    pub(crate) admission: Admission,
    pub(crate) routes: Routes,
    pub(crate) sessions: Sessions,
    /// Sessions that outlive their links.
    pub(crate) resumable: ResumableSessions,
    /// The pool of `hosting`.
    pub(crate) memory: MemoryPool,
    /// What all sessions together keep to be resumed, of `hosting` too.
    pub(crate) replay: MemoryPool,
    caps: Caps,
    /// How far the end of the server has come. Each listener's task has a receiver, so it is closed when they have
    /// ended.
    stop: watch::Sender<Stop>,
    listening: Mutex<Listening>,
    /// How long new clients are taken after a signal.
    pub(crate) drain_delay: Duration,
    /// A signal has come.
    unready: AtomicBool,
    /// Becomes true when the end is not waited for any more.
    given_up: watch::Sender<bool>,
    /// Limits the log lines about connections beyond the caps.
    refusals: LogLimit,
    /// The same, for clients whose address has too many.
    refusals_of_one: LogLimit,
    /// Limits the streams of the application that linger without a place.
    pub(crate) lingering: Arc<Semaphore>,
}

/// How far the end of a server has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    #[default]
    No,
    /// Answers of the application go out to their ends.
    Gracefully,
    AtOnce,
}

/// The sockets at which a server listens.
#[derive(Debug, Default)]
struct Listening {
    /// Once the server ends, no socket is added any more.
    ended: bool,
    sockets: Vec<Socket>,
}

/// Ends the server when dropped. Every handle holds it; tasks of the server do not.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    pub(crate) shared: Arc<ServerShared>,
}

impl ServerShared {
    /// `hosting` has the hooks of `sessions`, and uses these pools.
    pub(crate) fn new(
        hosting: Hosting,
        config: Config,
        admission: Admission,
        routes: Routes,
        sessions: Sessions,
        [memory, replay]: [MemoryPool; 2],
        caps: Caps,
    ) -> Self {
        sessions.set_drain_timeout(config.drain_timeout());
        sessions.set_most_detached(caps.most());
        Self {
            hosting,
            config,
            admission,
            routes,
            sessions,
            resumable: ResumableSessions::new(),
            memory,
            replay,
            caps,
            stop: watch::Sender::default(),
            listening: Mutex::default(),
            drain_delay: Duration::ZERO,
            unready: AtomicBool::new(false),
            given_up: watch::Sender::default(),
            refusals: LogLimit::new(),
            refusals_of_one: LogLimit::new(),
            lingering: Arc::new(Semaphore::new(MOST_LINGERING)),
        }
    }

    pub(crate) fn with_drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// The client of a request: the peer of its connection, or the one for whom a trusted proxy asks.
    pub(crate) fn client_addr(&self, peer_addr: Option<SocketAddr>, headers: &HeaderMap) -> Option<SocketAddr> {
        peer_addr.map(|peer_addr| self.admission.proxies.client(peer_addr, headers))
    }

    /// Takes a place under the caps for an accepted connection. The place of a proxy's connection counts under an
    /// address once the client's address is known. If there is no place, the log says why.
    pub(crate) fn take_place_for_peer(&self, peer_addr: SocketAddr) -> Option<Arc<Place>> {
        let address = (!self.is_trusted(peer_addr)).then_some(peer_addr.ip());
        self.enter(address, Some(peer_addr))
    }

    /// Whether there are proxies that are believed.
    pub(crate) fn trusts_proxies(&self) -> bool {
        !self.admission.proxies.is_empty()
    }

    /// Whether a proxy that is believed has this address.
    pub(crate) fn is_trusted(&self, addr: SocketAddr) -> bool {
        self.admission.proxies.is_trusted(addr.ip())
    }

    /// Gives a connection's place to the client whom a trusted proxy has named. If the proxy has named
    /// another proxy, the place has no address yet. If the client may have no place, the log says why.
    pub(crate) fn take_place_of_client(&self, client: SocketAddr, place: Arc<Place>) -> Option<Arc<Place>> {
        if self.is_trusted(client) { Some(place) } else { self.take_place(Some(client), Some(place)) }
    }

    /// Makes sure that a client has a place under the caps; `place` is its connection's, if it has one. If there is no
    /// place, the log says why.
    pub(crate) fn take_place(&self, client_addr: Option<SocketAddr>, place: Option<Arc<Place>>) -> Option<Arc<Place>> {
        let address = client_addr.map(|addr| addr.ip());
        match (place, address) {
            (None, address) => self.enter(address, client_addr),
            (Some(place), None) => Some(place),
            (Some(place), Some(address)) => match place.settle(address) {
                Ok(()) => Some(place),
                Err(full) => self.refuse(full, client_addr),
            },
        }
    }

    fn enter(&self, address: Option<IpAddr>, peer_addr: Option<SocketAddr>) -> Option<Arc<Place>> {
        match self.caps.enter(address) {
            Ok(place) => Some(Arc::new(place)),
            Err(full) => self.refuse(full, peer_addr),
        }
    }

    fn refuse(&self, full: Full, peer_addr: Option<SocketAddr>) -> Option<Arc<Place>> {
        let peer = peer_addr.map(tracing::field::display);
        let (log, what) = match full {
            Full::All => (&self.refusals, "the server has as many as it may (max_connections)"),
            Full::Address => (&self.refusals_of_one, "its address has as many as it may (max_connections_per_address)"),
        };
        if let Some(more) = log.admit(Instant::now().into_std()) {
            warn!(peer, "connection refused: {what}{more}");
        }
        None
    }

    /// Adds a socket to the sockets that the end of the server closes. The receiver tells of the end. `None` if the
    /// server has ended.
    pub(crate) fn open(&self, socket: &Socket) -> Option<watch::Receiver<Stop>> {
        let mut listening = self.listening();
        if listening.ended {
            return None;
        }
        listening.sockets.push(socket.clone());
        Some(self.stop.subscribe())
    }

    /// Tells of the end of the server; `None` if it has ended.
    pub(crate) fn subscribe(&self) -> Option<watch::Receiver<Stop>> {
        let stop = self.stop.subscribe();
        let is_stopped = *stop.borrow() != Stop::No;
        (!is_stopped).then_some(stop)
    }

    /// Closes a socket. True if the socket was open.
    pub(crate) fn close(&self, socket: &Socket) -> bool {
        self.listening().sockets.retain(|other| !other.is_same(socket));
        socket.close()
    }

    /// Whether new clients are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !self.unready.load(Ordering::Relaxed) && !self.has_stopped_listening() && self.sessions.is_open()
    }

    /// New clients are not welcome any more, although they are taken.
    pub(crate) fn set_unready(&self) {
        self.unready.store(true, Ordering::Relaxed);
    }

    /// No socket is added any more. The first call returns the number of sockets that are open.
    pub(crate) fn end_listening(&self) -> Option<usize> {
        let mut listening = self.listening();
        let first = !std::mem::replace(&mut listening.ended, true);
        first.then_some(listening.sockets.len())
    }

    /// Closes every socket, and drops the connections that have no session yet, except those on which the application
    /// still answers a request if the server stops gracefully.
    pub(crate) fn stop(&self, stop: Stop) {
        self.end_listening();
        let sockets = std::mem::take(&mut self.listening().sockets);
        // A listener's task whose socket closes asks whether the server has ended, so the answer comes first.
        self.stop.send_modify(|now| *now = stop.max(*now));
        for socket in &sockets {
            socket.close();
        }
    }

    /// Whether no socket is added any more, because the end of the server has begun.
    pub(crate) fn has_stopped_listening(&self) -> bool {
        self.listening().ended
    }

    /// Waits until the server has been stopped.
    pub(crate) async fn stopped(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.stop.subscribe().wait_for(|&stop| stop != Stop::No).await;
    }

    /// Waits until the listeners' tasks and the sessions have ended, or the time for a drain is over.
    pub(crate) async fn ended(&self) {
        self.sessions.within_drain(self.stop.closed()).await;
        self.sessions.ended().await;
    }

    /// Waits as [`ended`](Self::ended) does, unless that is given up.
    pub(crate) async fn over(&self) {
        let mut given_up = self.given_up.subscribe();
        tokio::select! {
            () = self.ended() => {}
            // The sender lives in `self`, so this cannot fail.
            _ = given_up.wait_for(|&given_up| given_up) => {}
        }
    }

    /// Ends the waiting in [`over`](Self::over).
    pub(crate) fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.shared.stop(Stop::AtOnce);
        self.shared.sessions.close();
    }
}
