//! `Room`: what bounds the messages that wait to be written.

use tokio::sync::{AcquireError, Semaphore, TryAcquireError};

use super::{Message, RawError, RawLimits};

/// What waits in a connection's queue.
#[derive(Debug)]
pub(super) enum Outgoing {
    Message(Message),
    Ping(bytes::Bytes),
}

/// The bounds of one connection's queue, in messages and bytes. Waiting for room is first come, first served.
#[derive(Debug)]
pub(super) struct Room {
    messages: Semaphore,
    bytes: Semaphore,
    /// The most bytes that one message takes, so that a message longer than the queue can go at all.
    most: u32,
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Ping(payload) => payload.len(),
        }
    }
}

impl Room {
    pub(super) fn new(limits: &RawLimits) -> Self {
        let most = u32::try_from(limits.queue_bytes).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 3);
        let messages = limits.queue_messages.clamp(1, Semaphore::MAX_PERMITS);
        Self { messages: Semaphore::new(messages), bytes: Semaphore::new(most as usize), most }
    }

    /// Waits for room. Dropping the future gives back the room that it has taken.
    pub(super) async fn reserve(&self, outgoing: &Outgoing) -> Result<(), RawError> {
        let closed = |_: AcquireError| RawError::Closed;
        let message = self.messages.acquire().await.map_err(closed)?;
        let bytes = self.bytes.acquire_many(self.cost(outgoing)).await.map_err(closed)?;
        bytes.forget();
        message.forget();
        Ok(())
    }

    /// Takes room if there is some.
    pub(super) fn try_reserve(&self, outgoing: &Outgoing) -> Result<(), RawError> {
        let failed = |error| match error {
            TryAcquireError::Closed => RawError::Closed,
            TryAcquireError::NoPermits => RawError::Full,
        };
        let message = self.messages.try_acquire().map_err(failed)?;
        let bytes = self.bytes.try_acquire_many(self.cost(outgoing)).map_err(failed)?;
        bytes.forget();
        message.forget();
        Ok(())
    }

    /// Gives back what something in the queue had taken.
    pub(super) fn release(&self, outgoing: &Outgoing) {
        self.messages.add_permits(1);
        self.bytes.add_permits(self.cost(outgoing) as usize);
    }

    /// Ends the waiting: there will be no more room.
    pub(super) fn close(&self) {
        self.messages.close();
        self.bytes.close();
    }

    fn cost(&self, outgoing: &Outgoing) -> u32 {
        u32::try_from(outgoing.len()).unwrap_or(u32::MAX).min(self.most)
    }
}
