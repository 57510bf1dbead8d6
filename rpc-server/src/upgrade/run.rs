//! Running a session, from the answered upgrade to its end.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use rpc_core::{
    ConnectionInfo,
    logging::LogLimit,
    session::{self, WebSocket},
    text::excerpt_of,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use crate::{sessions::Entry, shared::ServerShared};

/// Takes the connection over from the HTTP server, and runs its session.
pub(super) async fn run(shared: Arc<ServerShared>, on_upgrade: OnUpgrade, info: ConnectionInfo, entry: Entry) {
    let peer = info.peer_addr.map(tracing::field::display);
    let upgraded = match timeout(shared.config.upgrade_timeout(), on_upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        // Nothing in the request tells this beforehand.
        Ok(Err(error)) if error.is_user() => {
            static HELD: LogLimit = LogLimit::new();
            if let Some(more) = HELD.admit(Instant::now().into_std()) {
                warn!(
                    peer,
                    "the HTTP server around does not let go of the connection; with hyper: serve_connection(..).with_upgrades() \
                     ({error}){more}"
                );
            }
            return;
        }
        Ok(Err(error)) => return debug!(peer, "upgrade failed: {}", excerpt_of(&error)),
        Err(_) => return debug!(peer, "upgrade timed out"),
    };
    // The bare socket spares the layers that hyper puts around it. Where there is something else, they stay.
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => serve(&shared, parts.io.into_inner(), parts.read_buf, info, entry).await,
        Err(upgraded) => serve(&shared, TokioIo::<Upgraded>::new(upgraded), Bytes::new(), info, entry).await,
    }
}

async fn serve<IO>(shared: &ServerShared, io: IO, leftover: Bytes, info: ConnectionInfo, mut entry: Entry)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = info.peer_addr.map(tracing::field::display);
    let transport = WebSocket::server(io, leftover, &shared.config);
    let (session, driver) = session::accept(transport, &shared.hosting, &shared.config, info);
    let id = session.id();
    debug!(session = %id, peer, "connection upgraded");
    entry.begun(&session);
    drive(shared, driver).await;
    let reason = session.closed().await;
    debug!(session = %id, peer, "session closed: {}", excerpt_of(&reason));
}

/// Runs a session. If the session takes what all sessions hold beyond the bound, the heaviest one is closed, which may
/// be another.
async fn drive(shared: &ServerShared, driver: impl Future<Output = ()>) {
    let mut driver = pin!(driver);
    poll_fn(|cx| {
        let polled = driver.as_mut().poll(cx);
        if shared.memory.is_beyond() {
            shared.sessions.relieve(&shared.memory);
        }
        polled
    })
    .await;
}
