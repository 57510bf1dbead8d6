//! `SessionChanges`: openings and closings as a stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use rpc_core::{ConnectionError, Session};

use super::{
    ServerSessions,
    state::{News, Record},
};

/// What happened to a server's sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionChange {
    /// A session is open: its hooks have let it in. If the making of its objects fails afterwards, it is closed again.
    Opened(Session),
    /// A session that had been reported as opened has ended, for this reason.
    Closed(Session, ConnectionError),
}

/// Openings and closings of a server's sessions, from [`Sessions::changes`](super::Sessions::changes).
///
/// It begins with those that are open, and ends when the server has shut down and the last session has closed. A reader
/// that is slow misses nothing that is still true: sessions that came and went before it asked are left out, and of one
/// that it has seen opened it always hears the end. It never holds more than one entry a session.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct SessionChanges {
    shared: Arc<ServerSessions>,
    listener: u64,
}

impl SessionChanges {
    pub(super) fn new(shared: Arc<ServerSessions>) -> Self {
        let listener = shared.lock().listen();
        Self { shared, listener }
    }
}

impl Stream for SessionChanges {
    type Item = SessionChange;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SessionChange>> {
        let waker = cx.waker().clone();
        let news = self.shared.lock().news(self.listener, waker);
        match news {
            Ok(News::Opened(record)) => Poll::Ready(Some(SessionChange::Opened(record.session.clone()))),
            Ok(News::Closed(record)) => Poll::Ready(Some(closed(&record))),
            Ok(News::End) => Poll::Ready(None),
            Err(_old_waker) => Poll::Pending,
        }
    }
}

fn closed(record: &Record) -> SessionChange {
    let reason = record.reason.get().cloned().unwrap_or(ConnectionError::ClosedLocally);
    SessionChange::Closed(record.session.clone(), reason)
}

impl Drop for SessionChanges {
    fn drop(&mut self) {
        let listener = self.shared.lock().unlisten(self.listener);
        drop(listener);
    }
}
