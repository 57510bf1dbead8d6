//! Finding the client's address among what another HTTP server has put into a request.

use std::net::SocketAddr;

use http::Extensions;

use crate::socket::canonical;

/// Where [`Upgrade::peer_addr_from`](super::Upgrade::peer_addr_from) looks for the client's address.
pub(super) type Hook = fn(&Extensions) -> Option<SocketAddr>;

/// The client's address; `None` if the HTTP server around does not tell.
pub(crate) fn peer_addr(extensions: &Extensions, hook: Option<Hook>) -> Option<SocketAddr> {
    hook.and_then(|hook| hook(extensions))
        .or_else(|| extensions.get::<SocketAddr>().copied())
        .or_else(|| of_axum(extensions))
        .map(canonical)
}

#[cfg(feature = "axum")]
fn of_axum(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0)
}

#[cfg(not(feature = "axum"))]
fn of_axum(_: &Extensions) -> Option<SocketAddr> {
    None
}

/// Puts the client's address where the application looks for it.
pub(crate) fn tell(extensions: &mut Extensions, peer_addr: SocketAddr) {
    extensions.insert(peer_addr);
    #[cfg(feature = "axum")]
    extensions.insert(axum::extract::ConnectInfo(peer_addr));
}
