//! `Accepted`: a connection of the server, until it becomes a session or ends.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use http::{Extensions, Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rpc_core::text::excerpt_of;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::turned_away::{LONGEST, discard};
use crate::{
    caps::Place,
    front::{Arrival, answer},
    headers::MAX_HEAD,
    http_stream::HttpStream,
    routes::RequestBody,
    shared::{ServerShared, Stop},
};

/// A connection of the server.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) peer_addr: Option<SocketAddr>,
    /// Whether the headers of requests tell for whom a trusted proxy asks.
    pub(super) reads_headers: bool,
    /// The extensions that each request of the connection gets.
    pub(super) extensions: Extensions,
    pub(super) shared: Arc<ServerShared>,
    pub(super) place: Arc<Place>,
    pub(super) stop: watch::Receiver<Stop>,
    /// When the connection was accepted. All steps before the session have the time of one upgrade together.
    pub(super) since: Instant,
}

/// How connections speak HTTP.
pub(super) fn http(shared: &ServerShared) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.config.upgrade_timeout())
        .max_buf_size(MAX_HEAD)
        .max_headers(shared.admission.max_headers);
    http
}

impl Accepted {
    /// A connection that has been accepted now.
    pub(super) fn new(
        peer_addr: Option<SocketAddr>,
        extensions: Extensions,
        shared: Arc<ServerShared>,
        place: Arc<Place>,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        Self { peer_addr, reads_headers: true, extensions, shared, place, stop, since: Instant::now() }
    }

    /// Whether the peer is a trusted proxy.
    pub(super) fn is_of_proxy(&self) -> bool {
        self.peer_addr.is_some_and(|peer_addr| self.shared.is_trusted(peer_addr))
    }

    /// The part of the upgrade's time that is left.
    fn left(&self) -> Duration {
        self.shared.config.upgrade_timeout().saturating_sub(self.since.elapsed())
    }

    /// Runs a stage before HTTP, which must end in the time that is left. `None` if it does not, or the server ends.
    pub(super) async fn until_stopped<T>(&mut self, stage: impl Future<Output = T>) -> Option<T> {
        let (limit, left) = (self.shared.config.upgrade_timeout(), self.left());
        let peer = self.peer_addr.map(tracing::field::display);
        tokio::select! {
            done = stage => Some(done),
            _ = self.stop.wait_for(|&stop| stop != Stop::No) => None,
            () = sleep(left) => {
                debug!(peer, "connection ended: no request within {limit:?}");
                None
            }
        }
    }

    /// The same connection, for a client that a trusted proxy has named. `None` if the client may have no more
    /// connections.
    pub(super) fn of_client(&self, client: SocketAddr) -> Option<Self> {
        let place = self.shared.take_place_of_client(client, Arc::clone(&self.place))?;
        let (extensions, shared, stop) = (self.extensions.clone(), Arc::clone(&self.shared), self.stop.clone());
        let peer_addr = Some(client);
        Some(Self { peer_addr, reads_headers: true, extensions, shared, place, stop, since: self.since })
    }

    /// Answers the requests of the connection until it becomes a session or ends.
    ///
    /// A connection has the time of an upgrade to become a session, and cannot extend it: one useless request after
    /// another gains no time. Once the application has been asked, only the wait for each head has a limit, and answers
    /// take as long as they take, if the peer reads them. When the server ends, answers have the time of the drain.
    pub(super) async fn serve<IO>(self, io: IO, http: http1::Builder)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let left = self.left();
        let Self { peer_addr, reads_headers, extensions, shared, place, mut stop, .. } = self;
        let peer = peer_addr.map(tracing::field::display);
        let limit = shared.config.upgrade_timeout();
        let (kept, mut is_kept) = watch::channel(false);
        let arrival = Arrival { peer_addr, reads_headers, place: Some(place), kept: Some(kept) };
        let of_requests = Arc::clone(&shared);
        let stream = HttpStream::new(io, shared.config.write_timeout());
        let watch = stream.watch();
        let watched = watch.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().extend(extensions.clone());
            let answer = answer(Arc::clone(&of_requests), request.map(RequestBody::incoming), arrival.clone());
            let watched = watched.clone();
            async move {
                watched.asked(true);
                let answer = answer.await;
                watched.asked(false);
                Ok::<_, Infallible>(answer)
            }
        });
        let mut served = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut ended = tokio::select! {
            biased;
            ended = &mut served => Some(("before the upgrade", ended)),
            _ = is_kept.wait_for(|&kept| kept) => None,
            _ = stop.wait_for(|&stop| stop != Stop::No) => return debug!(peer, "connection dropped at the shutdown"),
            () = sleep(left) => return debug!(peer, "connection ended: no upgrade within {limit:?}"),
        };
        if ended.is_none() {
            ended = tokio::select! {
                biased;
                ended = &mut served => Some(("between requests", ended)),
                () = watch.gone() => return debug!(peer, "connection ended: the client left before its answer"),
                _ = stop.wait_for(|&stop| stop != Stop::No) => None,
            };
        }
        if let Some((when, ended)) = ended {
            report(peer_addr, when, &ended);
            return close(ended, served.into_parts(), stop).await;
        }
        Pin::new(&mut served).graceful_shutdown();
        let last = async { report(peer_addr, "at the shutdown", &served.await) };
        tokio::select! {
            biased;
            // A dropped sender counts as the end.
            _ = stop.wait_for(|&stop| stop == Stop::AtOnce) => {}
            _ = shared.sessions.within_drain(last) => {}
        }
    }
}

/// Closes a connection that HTTP has ended, if it has not been upgraded.
///
/// The last answer may be on its way while the peer still sends, for instance the rest of a head that is too long. A
/// system resets a connection that is closed before its bytes are read, and the reset can overtake the answer
/// (RFC 9112 §9.6). HTTP has closed the writing half; what comes is read for a moment. The service holds the place of
/// the connection until then.
async fn close<IO, S>(
    ended: hyper::Result<()>,
    parts: Option<http1::Parts<TokioIo<IO>, S>>,
    mut stop: watch::Receiver<Stop>,
) where
    IO: AsyncRead + Unpin,
{
    // Any other error says that the peer is gone.
    let has_answered = ended.err().is_none_or(|error| error.is_parse());
    let Some(mut parts) = parts.filter(|_| has_answered) else { return };
    tokio::select! {
        _ = stop.wait_for(|&stop| stop != Stop::No) => {}
        _ = timeout(LONGEST, discard(parts.io.inner_mut())) => {}
    }
}

fn report(peer_addr: Option<SocketAddr>, when: &str, ended: &hyper::Result<()>) {
    if let Err(error) = ended {
        let peer = peer_addr.map(tracing::field::display);
        debug!(peer, "connection ended {when}: {}", excerpt_of(error));
    }
}
