//! Serving a stream that the application has opened by itself.

use std::sync::Arc;

use rpc_core::ConnectionInfo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tracing::debug;

use super::{
    connection::{Accepted, http},
    turned_away::{LONGEST, linger},
};
use crate::{error::ListenError, shared::ServerShared, socket::canonical, upgrade::Refusal};

/// Makes a stream a connection of the server. Must be called within a tokio runtime.
pub(crate) fn serve_stream<IO>(shared: &Arc<ServerShared>, io: IO, info: ConnectionInfo) -> Result<(), ListenError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ConnectionInfo { peer_addr, tls, mut extensions, .. } = info;
    let peer_addr = peer_addr.map(canonical);
    if let Some(tls) = tls {
        extensions.insert(tls);
    }
    let stop = shared.subscribe().ok_or(ListenError::ShutDown)?;
    let place = match peer_addr {
        Some(peer_addr) => shared.take_place_for_peer(peer_addr),
        None => shared.take_place(None, None),
    };
    let Some(place) = place else {
        Refusal::Full.tell(&shared.hosting, peer_addr);
        // Clients decide how many of these there are.
        if let Ok(lingering) = Arc::clone(&shared.lingering).try_acquire_owned() {
            tokio::spawn(async move {
                drop(timeout(LONGEST, linger(io)).await);
                drop(lingering);
            });
        }
        return Ok(());
    };
    debug!(peer = peer_addr.map(tracing::field::display), "stream accepted");
    let accepted = Accepted::new(peer_addr, extensions, Arc::clone(shared), place, stop);
    tokio::spawn(accepted.serve(io, http(shared)));
    Ok(())
}
