//! `RawShared`: what the handles of a WebSocket and its driver share.

use std::sync::{Mutex, OnceLock, PoisonError};

use futures::task::AtomicWaker;
use tokio::sync::watch;

use super::{CloseFrame, ConnectionId, RawError, RawInfo, inbox::Inbox, outbox::Room};

/// One WebSocket.
#[derive(Debug)]
pub(super) struct RawShared {
    pub(super) id: ConnectionId,
    pub(super) info: RawInfo,
    pub(super) inbox: Inbox,
    pub(super) room: Room,
    /// Wakes the driver when a handle wants something that is not in the queue.
    pub(super) driver: AtomicWaker,
    /// The goodbye of the other side.
    pub(super) goodbye: OnceLock<CloseFrame>,
    asked: Mutex<Option<Ask>>,
    /// Why the WebSocket is over, once it is.
    ended: watch::Sender<Option<Result<CloseFrame, RawError>>>,
}

/// How this side wants to end.
#[derive(Debug)]
pub(super) enum Ask {
    /// When the queue has been written.
    Close(CloseFrame),
    /// At once.
    Abort(CloseFrame),
}

impl RawShared {
    pub(super) fn new(info: RawInfo, room: Room) -> Self {
        Self {
            id: ConnectionId::next(),
            info,
            inbox: Inbox::default(),
            room,
            driver: AtomicWaker::new(),
            goodbye: OnceLock::new(),
            asked: Mutex::default(),
            ended: watch::Sender::new(None),
        }
    }

    /// Tells the driver to end. An abort comes before a close, and otherwise the first one counts.
    pub(super) fn ask(&self, ask: Ask) {
        self.room.close();
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            match (&*asked, &ask) {
                (None, _) | (Some(Ask::Close(_)), Ask::Abort(_)) => *asked = Some(ask),
                _ => {}
            }
        }
        self.driver.wake();
    }

    pub(super) fn take_ask(&self) -> Option<Ask> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The driver has ended.
    pub(super) fn finish(&self, end: Result<CloseFrame, RawError>) {
        self.room.close();
        self.inbox.end(end.clone().err());
        self.ended.send_replace(Some(end));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(super) async fn ended(&self) -> Result<CloseFrame, RawError> {
        let mut ended = self.ended.subscribe();
        let end = ended.wait_for(Option::is_some).await;
        // The sender lives in `self`, so the wait ends only when there is an end.
        end.ok().and_then(|end| end.clone()).unwrap_or(Err(RawError::Closed))
    }
}
