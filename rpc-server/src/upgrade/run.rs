//! From the answered upgrade to a session, and the session's task.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::FutureExt;
use hyper::upgrade::OnUpgrade;
use rpc_core::{
    ConnectionError, ConnectionInfo, SessionState, Status,
    session::{Driver, Handshake, ResumeOutcome, WebSocket},
    text::excerpt_of,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::debug;

use super::bare::{Bare, take_over};
use crate::{
    auth::AuthError,
    sessions::{Entry, Run},
    shared::ServerShared,
};

/// Takes the connection over from the HTTP server, waits for the client's Hello, and hands the link to a session.
/// `is_decided` says whether the client may come in without a look at its Hello.
pub(super) async fn run(
    shared: Arc<ServerShared>,
    on_upgrade: OnUpgrade,
    info: ConnectionInfo,
    entry: Entry,
    is_decided: bool,
) {
    let limit = shared.config.upgrade_timeout();
    let bare = take_over(on_upgrade, limit, entry.overdue(), info.peer_addr, "upgrade").await;
    match bare {
        Some(Bare::Tcp(io, leftover)) => greet(shared, io, leftover, info, entry, is_decided).await,
        #[cfg(feature = "tls")]
        Some(Bare::Tls(io, leftover)) => greet(shared, io, leftover, info, entry, is_decided).await,
        Some(Bare::Other(io)) => greet(shared, io, Bytes::new(), info, entry, is_decided).await,
        None => {}
    }
}

async fn greet<IO>(
    shared: Arc<ServerShared>,
    io: IO,
    leftover: Bytes,
    mut info: ConnectionInfo,
    mut entry: Entry,
    is_decided: bool,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = info.peer_addr.map(tracing::field::display);
    debug!(peer, "connection upgraded");
    let until = Instant::now().checked_add(shared.config.hello_timeout());
    let transport = WebSocket::server(io, leftover, &shared.config);
    let handshake = match Handshake::read_unless(transport, &shared.config, entry.stopped()).await {
        Ok(handshake) => handshake,
        Err(error) => {
            debug!(peer, "connection closed before its session began: {}", excerpt_of(&error));
            return shared.hosting.__session_failed(|| info, &error);
        }
    };
    if !handshake.asks_to_resume() && !shared.sessions.is_open() {
        debug!(peer, "the client was turned away: the server is shutting down");
        let error = handshake.shut_out().await;
        return shared.hosting.__session_failed(|| info, &error);
    }
    if !is_decided {
        let asked = shared.admission.gatekeeper.at_hello(handshake.credentials(), &info, until);
        let verdict = tokio::select! {
            biased;
            () = entry.stopped() => Err(AuthError::unavailable("the server is shutting down")),
            verdict = asked => verdict,
        };
        match verdict {
            Ok(Some(identity)) => drop(info.extensions.insert(identity)),
            Ok(None) => {}
            Err(error) => {
                debug!(peer, kind = ?error.kind(), "the client was refused at its hello");
                let status = Status::from(error);
                tokio::select! {
                    _ = handshake.refuse(status.clone()) => {}
                    () = entry.overdue() => {}
                }
                return shared.hosting.__session_failed(|| info, &ConnectionError::RefusedPeer(status));
            }
        }
    }
    let resumed = shared.resumable.resume(handshake, &shared.hosting, &info, entry.stopped()).await;
    let mut handshake = match resumed {
        ResumeOutcome::New(handshake) if shared.sessions.is_open() => handshake,
        ResumeOutcome::New(handshake) => {
            debug!(peer, "there is no such session, and the server is shutting down");
            let error = handshake.shut_out().await;
            return shared.hosting.__session_failed(|| info, &error);
        }
        ResumeOutcome::Done(session) => {
            debug!(session = %session.id(), peer, "the session goes on over a new connection");
            return entry.hand_over(&session);
        }
        ResumeOutcome::Closed => return,
    };
    if !shared.admission.resume_anonymous && !info.shows_identity() {
        handshake.end_with_link();
    }
    let (session, driver) = handshake.accept(&shared.hosting, info);
    entry.begun(&session);
    shared.resumable.insert(&session);
    // A client that does not host what the server needs has been refused by now.
    if session.state() == SessionState::Connecting {
        debug!(session = %session.id(), peer, "session begun");
    }
    let run = shared.sessions.run(session, Box::new(driver), entry, [shared.memory.clone(), shared.replay.clone()]);
    tokio::spawn(SessionTask { run, shared });
}

/// A session's task. The session's entry is the last to go, with the task: by then the end of the session has been
/// recorded.
struct SessionTask {
    run: Run<Box<Driver>>,
    shared: Arc<ServerShared>,
}

impl Future for SessionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.run.poll_unpin(cx));
        let session = self.run.session();
        self.shared.resumable.remove(session);
        if let Some(reason) = session.closed().now_or_never() {
            let peer = session.peer_addr().map(tracing::field::display);
            debug!(session = %session.id(), peer, "session closed: {}", excerpt_of(&reason));
        }
        Poll::Ready(())
    }
}
