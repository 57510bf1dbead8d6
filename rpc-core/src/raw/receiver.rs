//! `RawReceiver`: the half of a WebSocket that receives.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;

use super::{Event, Message, RawError, shared::RawShared};

/// The half of a WebSocket that receives. After it has been dropped, messages that come are passed over, and pings are
/// still answered.
///
/// While more than 64 messages, or messages of more than 64 KiB together, are unread, the socket is not read: the other
/// side has to wait, and its pings are not answered.
pub struct RawReceiver {
    shared: Arc<RawShared>,
}

impl RawReceiver {
    pub(super) fn new(shared: Arc<RawShared>) -> Self {
        Self { shared }
    }

    /// The next message; `None` once the WebSocket has been closed by either side. Any other end is an error, and
    /// `None` follows. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// See [`RawError`]. The WebSocket is over then.
    pub async fn recv(&mut self) -> Option<Result<Message, RawError>> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    /// As [`recv`](Self::recv), with pings and pongs as well. Pings have been answered already. At most 16 unread pings
    /// and pongs are kept, and the receiver does not get later ones.
    ///
    /// # Errors
    ///
    /// See [`RawError`]. The WebSocket is over then.
    pub async fn recv_event(&mut self) -> Option<Result<Event, RawError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, RawError>>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Ok(Event::Message(message))) => return Poll::Ready(Some(Ok(message))),
                Some(Ok(Event::Ping(_) | Event::Pong(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, RawError>>> {
        let (polled, wake) = self.shared.inbox.poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            // A socket that has been told the end cannot send any more.
            self.shared.room.close();
        }
        if wake {
            self.shared.driver.wake();
        }
        polled
    }
}

/// The messages, as [`recv`](RawReceiver::recv) gives them.
impl Stream for RawReceiver {
    type Item = Result<Message, RawError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
        self.shared.driver.wake();
    }
}

impl fmt::Debug for RawReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReceiver").finish_non_exhaustive()
    }
}
