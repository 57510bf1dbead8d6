//! `StreamSender`: the sending half of a stream.

use std::{error, fmt};

use futures::{Stream, stream};
use tokio::sync::{Semaphore, mpsc};

use crate::{error::CallError, status::Status};

/// Sends the items of a stream that [`crate::Streaming::channel`] made.
///
/// End the stream with [`Self::finish`], [`Self::fail`] or [`Self::fail_with`]. If the sender is dropped before that,
/// the reader sees a status with [`crate::Code::Aborted`].
///
/// ```
/// use rpc_core::{Code, Streaming};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (sender, mut lines) = Streaming::<String>::channel(16);
/// tokio::spawn(async move {
///     for line in ["first", "last"] {
///         if sender.send(line.to_owned()).await.is_err() {
///             return; // The reader is gone.
///         }
///     }
///     let _ = sender.finish().await;
/// });
/// assert_eq!(lines.next().await, Some(Ok("first".to_owned())));
/// assert_eq!(lines.next().await, Some(Ok("last".to_owned())));
/// assert_eq!(lines.next().await, None);
///
/// // Without `finish` the reader cannot know that this was all.
/// let (sender, mut lines) = Streaming::<String>::channel(16);
/// drop(sender);
/// let error = lines.next().await.unwrap().unwrap_err();
/// assert_eq!(error.status().unwrap().code(), Code::Aborted);
/// # }
/// ```
pub struct StreamSender<T, E = super::NoFault> {
    items: mpsc::Sender<Message<T, E>>,
}

enum Message<T, E> {
    Item(T),
    End(Result<(), CallError<E>>),
}

/// The stream has no reader any more: the reader was dropped, the call has failed, or the session has ended. The error
/// returns the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T: Send, E: Send> StreamSender<T, E> {
    /// A sender and the stream of its items, with room for `capacity` items between them: at least 1, and at most the
    /// number of permits that a semaphore can have.
    pub(super) fn channel(capacity: usize) -> (Self, impl Stream<Item = Result<T, CallError<E>>> + Send) {
        let (items, receiver) = mpsc::channel(capacity.clamp(1, Semaphore::MAX_PERMITS));
        let stream = stream::unfold(Some(receiver), async |receiver| {
            let mut receiver: mpsc::Receiver<Message<T, E>> = receiver?;
            match receiver.recv().await {
                Some(Message::Item(item)) => Some((Ok(item), Some(receiver))),
                Some(Message::End(Ok(()))) => None,
                Some(Message::End(Err(error))) => Some((Err(error), None)),
                None => Some((Err(CallError::Status(dropped())), None)),
            }
        });
        (Self { items }, stream)
    }

    /// Sends an item, and waits while the reader does not keep up. If the future is dropped, the item is not sent.
    pub async fn send(&self, item: T) -> Result<(), Closed<T>> {
        match self.items.reserve().await {
            Ok(place) => {
                place.send(Message::Item(item));
                Ok(())
            }
            Err(_) => Err(Closed(item)),
        }
    }

    /// Ends the stream after the items that have been sent. This waits for room as [`Self::send`] does, and fails if
    /// the stream has no reader any more. Dropping the future drops the sender, and the reader sees
    /// [`crate::Code::Aborted`]. The same holds for [`Self::fail`] and [`Self::fail_with`].
    pub async fn finish(self) -> Result<(), Closed<()>> {
        self.end(Ok(())).await
    }

    /// Ends the stream with a typed fault, after the items that have been sent; otherwise as [`Self::finish`]. Encoded,
    /// the fault may be as long as a chunk ([`crate::Config::chunk`]) and as the other side's
    /// [`crate::Config::max_payload`]; if the fault is longer, the reader sees [`crate::Code::OutOfRange`].
    pub async fn fail(self, fault: E) -> Result<(), Closed<()>> {
        self.end(Err(CallError::Fault(fault))).await
    }

    /// Ends the stream with a status, after the items that have been sent; otherwise as [`Self::finish`].
    pub async fn fail_with(self, status: Status) -> Result<(), Closed<()>> {
        self.end(Err(CallError::Status(status))).await
    }

    /// Waits until the stream has no reader any more. Dropping the future stops the waiting and nothing else.
    pub async fn closed(&self) {
        self.items.closed().await;
    }

    /// Whether the stream has no reader any more.
    pub fn is_closed(&self) -> bool {
        self.items.is_closed()
    }

    async fn end(self, end: Result<(), CallError<E>>) -> Result<(), Closed<()>> {
        self.items.send(Message::End(end)).await.map_err(|_| Closed(()))
    }
}

impl<T, E> fmt::Debug for StreamSender<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSender").field("capacity", &self.items.max_capacity()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is not read any more")
    }
}

impl<T> error::Error for Closed<T> {}

/// The status that a reader gets when the producer was dropped before it had finished the stream.
pub(super) fn dropped() -> Status {
    Status::aborted("the stream's producer was dropped before it had finished the stream")
}
