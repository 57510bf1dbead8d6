//! `RawLimits`: what a WebSocket may take, hold and wait for.

use std::time::Duration;

/// Space for a whole frame is reserved as soon as its header has come, so the frame's length has a bound.
const MOST: usize = 1 << 30;

/// The limits and times of one WebSocket. Start from the default, and set what has to differ:
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::raw::RawLimits;
///
/// let limits = RawLimits::default().max_message(64 * 1024).silence(Duration::from_secs(60));
/// ```
///
/// A connection holds at most `read_buffer` + 2 × `max_message` + 96 KiB of what has come in, and `queue_bytes` + 2 ×
/// `write_buffer` + the longest message of what is to go out. [`Duration::MAX`] switches a time limit off.
#[derive(Clone, Debug)]
pub struct RawLimits {
    pub(super) max_message: usize,
    pub(super) max_frame: usize,
    pub(super) read_buffer: usize,
    pub(super) write_buffer: usize,
    pub(super) queue_bytes: usize,
    pub(super) queue_messages: usize,
    pub(super) ping_after: Duration,
    pub(super) silence: Duration,
    pub(super) write_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            max_frame: usize::MAX,
            read_buffer: 4 * 1024,
            write_buffer: 64 * 1024,
            queue_bytes: 1024 * 1024,
            queue_messages: 1024,
            ping_after: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl RawLimits {
    /// The bytes that an incoming message may have, all its fragments together; 1 MiB by default, 1 GiB at most. A
    /// longer message ends the connection with code 1009. Frame headers of an unfinished message may add 64 KiB, so
    /// that endless empty fragments end as well.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes.min(MOST);
        self
    }

    /// The bytes that one frame of an incoming message may have; as many as the message by default. A longer frame ends
    /// the connection with code 1009.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// The bytes of the buffer that a message is read into; 4 KiB by default, 1 KiB at least, 16 MiB at most. A
    /// connection has the buffer only while a message is on its way. The buffer is zeroed for every message, so a
    /// larger one suits long messages only.
    #[must_use]
    pub fn read_buffer(mut self, bytes: usize) -> Self {
        self.read_buffer = bytes.clamp(1024, 16 * 1024 * 1024);
        self
    }

    /// The bytes up to which frames are collected for one write; 64 KiB by default, 1 KiB at least, 1 GiB at most.
    /// Answers to pings of a peer that does not read them may fill as much again; then the newest answer replaces the
    /// answers before it (RFC 6455 §5.5.3).
    #[must_use]
    pub fn write_buffer(mut self, bytes: usize) -> Self {
        self.write_buffer = bytes.clamp(1024, MOST);
        self
    }

    /// The bytes of messages that may wait to be written; 1 MiB by default. Senders wait for room, and a collection
    /// cuts a member whose queue has no room. A message that is longer than the queue goes alone.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// The number of messages that may wait to be written; 1,024 by default, 1 at least.
    #[must_use]
    pub fn queue_messages(mut self, messages: usize) -> Self {
        self.queue_messages = messages;
        self
    }

    /// The silence after which the peer is pinged, 15 seconds by default; or half of [`silence`](Self::silence) if that
    /// is sooner.
    #[must_use]
    pub fn ping_after(mut self, time: Duration) -> Self {
        self.ping_after = time;
        self
    }

    /// The silence after which the peer is taken for gone, 30 seconds by default. This finds a peer that vanished
    /// without a word. The time does not run while this side does not read because its program has unread messages.
    #[must_use]
    pub fn silence(mut self, time: Duration) -> Self {
        self.silence = time;
        self
    }

    /// The time for which a write may make no progress, because the peer does not read; 10 seconds by default.
    #[must_use]
    pub fn write_timeout(mut self, time: Duration) -> Self {
        self.write_timeout = time;
        self
    }

    /// The time that the closing handshake may take; 5 seconds by default.
    #[must_use]
    pub fn close_timeout(mut self, time: Duration) -> Self {
        self.close_timeout = time;
        self
    }
}
