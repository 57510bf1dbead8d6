//! Serving a WebSocket, from the answered upgrade to its end.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use hyper::upgrade::OnUpgrade;
use rpc_core::{
    CloseCode,
    logging::LogLimit,
    raw::{Event, Message, RawInfo, RawLimits, RawSocket, Role},
    text::excerpt_of,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::{debug, error, warn};

use super::handler::{Serve, WebSocketHandler};
use crate::{
    sessions::Entry,
    upgrade::{Bare, take_over},
};

/// A user's code has panicked.
struct Panicked;

/// Takes the connection over from the HTTP server, and serves it.
pub(super) async fn run(
    on_upgrade: OnUpgrade,
    limit: Duration,
    info: RawInfo,
    limits: RawLimits,
    serve: Serve,
    entry: Option<Entry>,
) {
    let overdue = async {
        match &entry {
            Some(entry) => entry.overdue().await,
            None => pending().await,
        }
    };
    let bare = take_over(on_upgrade, limit, overdue, info.connection.peer_addr, "raw upgrade").await;
    match bare {
        Some(Bare::Tcp(io, leftover)) => drive(io, leftover, info, &limits, serve, entry).await,
        #[cfg(feature = "tls")]
        Some(Bare::Tls(io, leftover)) => drive(io, leftover, info, &limits, serve, entry).await,
        Some(Bare::Other(io)) => drive(io, Bytes::new(), info, &limits, serve, entry).await,
        None => {}
    }
}

/// Runs handler and driver. The entry is dropped last, when the WebSocket has ended.
async fn drive<IO>(io: IO, leftover: Bytes, info: RawInfo, limits: &RawLimits, serve: Serve, entry: Option<Entry>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (socket, driver) = RawSocket::driven(io, leftover, Role::Server, info, limits);
    let connection = socket.connection().clone();
    let peer = connection.peer_addr().map(tracing::field::display);
    let is_served = AtomicBool::new(false);
    let serving = async {
        match guarded(async move { serve(socket).await }).await {
            Ok(()) => connection.close(CloseCode::NORMAL, ""),
            Err(Panicked) => connection.close(CloseCode::INTERNAL, "the handler failed"),
        }
        is_served.store(true, Ordering::Relaxed);
    };
    let ending = async {
        let Some(entry) = &entry else { return pending().await };
        entry.stopped().await;
        connection.close(CloseCode::RESTART, "the server is shutting down");
        entry.overdue().await;
    };
    // One task does all, so no message has to go from one thread to another.
    tokio::select! {
        _ = async { tokio::join!(driver, serving) } => {}
        () = ending => {}
    }
    if !is_served.into_inner() {
        static GIVEN_UP: LogLimit = LogLimit::new();
        if let Some(more) = GIVEN_UP.admit(Instant::now().into_std()) {
            warn!(
                peer,
                "the handler of a WebSocket is given up: it had not returned when the time of the shutdown was over \
                 (Config::drain_timeout){more}"
            );
        }
    }
    match connection.closed().await {
        Ok(goodbye) => debug!(peer, "raw connection closed: {}", goodbye.code),
        Err(error) => debug!(peer, "raw connection ended: {}", excerpt_of(&error)),
    }
}

/// Calls a handler's methods for what comes in. `on_open` is the first and `on_close` the last.
pub(super) async fn serve<H: WebSocketHandler>(handler: Arc<H>, mut socket: RawSocket) {
    let connection = socket.connection().clone();
    let mut called = guarded(handler.on_open(&connection)).await;
    while called.is_ok() {
        called = match socket.recv_event().await {
            None => break,
            Some(Err(error)) => {
                // A panic is logged, and changes nothing else: `on_close` follows in any case.
                let _ = guarded(handler.on_error(&connection, &error)).await;
                break;
            }
            Some(Ok(Event::Message(Message::Text(text)))) => guarded(handler.on_text(&connection, text)).await,
            Some(Ok(Event::Message(Message::Binary(bytes)))) => guarded(handler.on_binary(&connection, bytes)).await,
            Some(Ok(Event::Ping(payload))) => guarded(handler.on_ping(&connection, payload)).await,
            Some(Ok(Event::Pong(payload))) => guarded(handler.on_pong(&connection, payload)).await,
            Some(Ok(_)) => Ok(()),
        };
    }
    if called.is_err() {
        connection.close(CloseCode::INTERNAL, "the handler failed");
    }
    drop(socket);
    // `on_close` waits for the end, because the goodbye of the other side is known only then.
    let _ = connection.closed().await;
    let _ = guarded(handler.on_close(&connection, connection.goodbye())).await;
}

/// Runs users' code and catches its panic, and also a panic of the payload's drop.
async fn guarded(future: impl Future<Output = ()>) -> Result<(), Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| {
        error!("the handler of a WebSocket panicked");
        if let Err(worse) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            // The drop of this payload may panic as well, and a leak does less harm.
            std::mem::forget(worse);
        }
        Panicked
    })
}
