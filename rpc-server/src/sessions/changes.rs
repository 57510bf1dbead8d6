//! `SessionChanges`: a stream of what happens to sessions: they open, lose their links, go on, and close.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use rpc_core::{ConnectionError, Session};

use super::{ServerSessions, state::Record, watcher::News};

/// What has happened to a session of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionChange {
    /// A session is open: its hooks have let it in. If its objects cannot be made afterwards, the session closes again.
    Opened(Session),
    /// A session has lost its link in this way, and waits for its client to come back. Only a session that can be
    /// resumed ([`Config::resume_window`](rpc_core::Config::resume_window)) is ever detached.
    Detached(Session, ConnectionError),
    /// A session that was reported as detached goes on over another link.
    Resumed(Session),
    /// A session that was reported as opened has ended, for this reason. It may have been detached until then.
    Closed(Session, ConnectionError),
}

/// What happens to a server's sessions, from [`Sessions::changes`](super::Sessions::changes).
///
/// The stream begins with the sessions that are open, detached ones included: such a session is reported as opened and
/// then as detached. The stream ends when the server has shut down and the last session has closed.
///
/// A slow reader hears what has become of each session, not each step: a session that came and went before the reader
/// asked is left out, and so is a link that was lost and replaced. A reader that has seen a session open always hears
/// of its end. The stream never holds more than one entry a session.
///
/// This task keeps a list of who is present, and marks those whose clients are away:
///
/// ```
/// use std::collections::HashMap;
///
/// use futures::StreamExt;
/// use rpc_server::{Server, SessionChange};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().listen("127.0.0.1:0").await?;
/// let mut changes = server.sessions().changes();
/// let watching = tokio::spawn(async move {
///     let mut present = HashMap::new();
///     while let Some(change) = changes.next().await {
///         match change {
///             SessionChange::Opened(session) | SessionChange::Resumed(session) => {
///                 present.insert(session.id(), "here");
///             }
///             SessionChange::Detached(session, _) => {
///                 present.insert(session.id(), "away");
///             }
///             SessionChange::Closed(session, reason) => {
///                 println!("{} has left: {reason}", session.id());
///                 present.remove(&session.id());
///             }
///             _ => {}
///         }
///     }
///     present.len()
/// });
///
/// let client = rpc_client::connect(format!("ws://{}/", server.local_addr())).await?;
/// client.close().await;
/// server.shutdown().await;
/// assert_eq!(watching.await?, 0, "the stream ends with the server, when all have left");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct SessionChanges {
    shared: Arc<ServerSessions>,
    pub(super) watcher: u64,
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
            Ok(News::Detached(record, lost)) => {
                Poll::Ready(Some(SessionChange::Detached(record.session.clone(), lost)))
            }
            Ok(News::Resumed(record)) => Poll::Ready(Some(SessionChange::Resumed(record.session.clone()))),
            Ok(News::Closed(record)) => Poll::Ready(Some(closed(&record))),
            Ok(News::End) => Poll::Ready(None),
            Err(_old_waker) => Poll::Pending,
        }
    }
}

fn closed(record: &Record) -> SessionChange {
    let reason = record.reason.get().map_or(ConnectionError::ClosedLocally, |reason| (**reason).clone());
    SessionChange::Closed(record.session.clone(), reason)
}

impl Drop for SessionChanges {
    fn drop(&mut self) {
        let watcher = self.shared.lock().unwatch(self.watcher);
        drop(watcher);
    }
}
