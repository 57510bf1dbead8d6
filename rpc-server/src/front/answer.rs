//! Finding what answers a request.

use std::{net::SocketAddr, sync::Arc};

use http::{Request, Response, StatusCode};
use rpc_core::text::excerpt;
use tokio::sync::watch;
use tracing::debug;

#[cfg(feature = "raw")]
use crate::raw::Hosted;
use crate::{
    caps::Place,
    routes::{Destination, FrontBody, RequestBody, Route, text},
    shared::ServerShared,
    upgrade::{Refusal, UpgradeFuture, tell},
};

/// What is known of the connection of a request.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) peer_addr: Option<SocketAddr>,
    /// Whether the headers of requests tell for whom a trusted proxy asks.
    pub(crate) reads_headers: bool,
    /// The place that a listener has taken for the connection.
    pub(crate) place: Option<Arc<Place>>,
    /// Becomes true when the application answers requests of the connection, which is then kept.
    pub(crate) kept: Option<watch::Sender<bool>>,
}

/// Answers one request. Must be polled within a tokio runtime.
pub(crate) async fn answer(
    shared: Arc<ServerShared>,
    request: Request<RequestBody>,
    arrival: Arrival,
) -> Response<FrontBody> {
    let visit = arrival.place.as_ref().map(Place::visit);
    let response = respond(shared, request, arrival).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(visit) = visit {
            visit.stay();
        }
        return response;
    }
    response.map(|body| body.with_visit(visit))
}

async fn respond(
    shared: Arc<ServerShared>,
    mut request: Request<RequestBody>,
    arrival: Arrival,
) -> Response<FrontBody> {
    let Arrival { peer_addr, reads_headers, place, kept } = arrival;
    let client_addr = if reads_headers { shared.client_addr(peer_addr, request.headers()) } else { peer_addr };
    let application = match shared.routes.destination(request.uri().path()) {
        Destination::Sessions => {
            let upgrade = UpgradeFuture::new(Arc::clone(&shared), request, client_addr, place);
            let Ok(response) = upgrade.await;
            return response.map(|body| FrontBody::own(body.into_bytes()));
        }
        Destination::Nowhere => {
            let peer = client_addr.map(tracing::field::display);
            debug!(peer, path = %excerpt(request.uri().path()), "request refused: nothing is served at this path");
            return text(StatusCode::NOT_FOUND, shared.routes.listing());
        }
        Destination::Route(Route::Probe(probe)) => return probe.answer(request.method(), shared.is_ready()),
        Destination::Route(Route::Application(application)) | Destination::Fallback(application) => application,
    };
    // Another HTTP server counts its connections by itself.
    if let Some((client, place)) = client_addr.zip(place.as_ref()) {
        if shared.take_place_of_client(client, Arc::clone(place)).is_none() {
            return text(StatusCode::SERVICE_UNAVAILABLE, Refusal::Full.text());
        }
    }
    #[cfg(feature = "raw")]
    request.extensions_mut().insert(Hosted::new(Arc::clone(&shared), place));
    if let Some(kept) = kept {
        kept.send_replace(true);
    }
    if let Some(client_addr) = client_addr {
        tell(request.extensions_mut(), client_addr);
    }
    application.answer(request).await
}
