//! `SessionChanges`: a stream of the openings and closings of sessions.

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

/// An opening or closing of a server's session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionChange {
    /// A session is open: its hooks have let it in. If its objects cannot be made afterwards, the session closes again.
    Opened(Session),
    /// A session that was reported as opened has ended, for this reason.
    Closed(Session, ConnectionError),
}

/// Openings and closings of a server's sessions, from [`Sessions::changes`](super::Sessions::changes).
///
/// The stream begins with the sessions that are open, and ends when the server has shut down and the last session has
/// closed. Sessions that came and went before a slow reader asked are left out; a reader that has seen a session open
/// always hears of its end. The stream never holds more than one entry a session.
///
/// ```
/// use futures::StreamExt;
/// use rpc_server::{Server, SessionChange};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().listen("127.0.0.1:0").await?;
/// let mut changes = server.sessions().changes();
/// let watching = tokio::spawn(async move {
///     while let Some(change) = changes.next().await {
///         match change {
///             SessionChange::Opened(session) => println!("{} is here", session.id()),
///             SessionChange::Closed(session, reason) => println!("{} has left: {reason}", session.id()),
///             _ => {}
///         }
///     }
/// });
///
/// let client = rpc_client::connect(format!("ws://{}/", server.local_addr())).await?;
/// client.close().await;
/// server.shutdown().await;
/// watching.await?; // The stream ends with the server.
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct SessionChanges {
    shared: Arc<ServerSessions>,
    watcher: u64,
}

impl SessionChanges {
    pub(super) fn new(shared: Arc<ServerSessions>) -> Self {
        let watcher = shared.lock().watch();
        Self { shared, watcher }
    }
}

impl Stream for SessionChanges {
    type Item = SessionChange;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SessionChange>> {
        let waker = cx.waker().clone();
        let news = self.shared.lock().news(self.watcher, waker);
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
        let watcher = self.shared.lock().unwatch(self.watcher);
        drop(watcher);
    }
}
