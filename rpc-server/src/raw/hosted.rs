//! `Hosted`: the server whose route a request for a WebSocket has come by.

use std::{net::SocketAddr, sync::Arc};

use http::request::Parts;

use crate::{
    caps::Place,
    sessions::{Entry, Kind},
    shared::ServerShared,
    upgrade::{Refusal, check_host, check_number},
};

/// The server of a route. Each request to a route has this among its extensions, so that the rules for sessions hold
/// for a WebSocket as well: the caps, the server's names, the shutdown.
#[derive(Clone, Debug)]
pub(crate) struct Hosted {
    shared: Arc<ServerShared>,
    place: Option<Arc<Place>>,
}

impl Hosted {
    /// `place` is the place that a listener has taken for the connection.
    pub(crate) fn new(shared: Arc<ServerShared>, place: Option<Arc<Place>>) -> Self {
        Self { shared, place }
    }

    /// Registers a WebSocket that is about to begin.
    pub(super) fn enter(self, head: &Parts, peer_addr: Option<SocketAddr>) -> Result<Entry, Refusal> {
        let Self { shared, place } = self;
        check_number(head, shared.admission.max_headers)?;
        check_host(head, &shared.admission.hosts)?;
        let place = shared.take_place(peer_addr, place).ok_or(Refusal::Full)?;
        shared.sessions.enter(place, Kind::Raw(peer_addr)).ok_or(Refusal::ShuttingDown)
    }
}
