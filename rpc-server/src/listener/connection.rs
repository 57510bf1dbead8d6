//! `Accepted`: a connection that a listener has accepted, until it becomes a session or ends.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rpc_core::text::excerpt_of;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::sleep,
};
use tracing::debug;

use crate::{
    caps::Place,
    front::{Connection, answer},
    routes::RequestBody,
    shared::{ServerShared, Stop},
};

/// A connection that a listener has accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) peer_addr: SocketAddr,
    pub(super) shared: Arc<ServerShared>,
    pub(super) place: Arc<Place>,
    pub(super) stop: watch::Receiver<Stop>,
}

impl Accepted {
    /// Answers the requests of the connection until it becomes a session or ends.
    ///
    /// A connection has the time of an upgrade to become a session, whatever it sends: one useless request after
    /// another gains no time. Once the application has been asked, only the wait for each head has a limit, and
    /// answers take as long as they take.
    pub(super) async fn serve<IO>(self, io: IO, http: http1::Builder)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer_addr, shared, place, mut stop } = self;
        let limit = shared.config.upgrade_timeout();
        let (kept, mut is_kept) = watch::channel(false);
        let connection = Connection { peer_addr: Some(peer_addr), place: Some(place), kept: Some(kept) };
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(Arc::clone(&shared), request.map(RequestBody::incoming), connection.clone());
            async { Ok::<_, Infallible>(answer.await) }
        });
        let mut served = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
        tokio::select! {
            biased;
            ended = served.as_mut() => return report(peer_addr, "before the upgrade", ended),
            _ = is_kept.wait_for(|&kept| kept) => {}
            _ = stop.wait_for(|&stop| stop != Stop::No) => return debug!(peer = %peer_addr, "connection dropped"),
            () = sleep(limit) => return debug!(peer = %peer_addr, "connection ended: no upgrade within {limit:?}"),
        }
        tokio::select! {
            biased;
            ended = served.as_mut() => return report(peer_addr, "between requests", ended),
            _ = stop.wait_for(|&stop| stop != Stop::No) => served.as_mut().graceful_shutdown(),
        }
        report(peer_addr, "at the shutdown", served.await);
    }
}

fn report(peer_addr: SocketAddr, when: &str, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(peer = %peer_addr, "connection ended {when}: {}", excerpt_of(&error));
    }
}
