//! `RecvStream`: one stream that is read here: its items, its flow control and its two ends.
//!
//! Producer and reader end a stream independently, so each has a state of its own.
//!
//! What has arrived from the producer ([`ArrivalState`]):
//!
//! ```text
//!              a long item is announced
//!        ┌────────────────────────────────► Midway
//!        │ ◄────────────────────────────────┘  │
//!     Between     the item is complete,        │ the producer aborts an item that is wanted
//!        │        or was not wanted            ▼
//!        │                                   Broken
//!        │ End                                 │ End with an error, or any End if the reader is not Reading
//!        ▼                                     │
//!     Finished ◄───────────────────────────────┘
//! ```
//!
//! What the reader will see ([`ReaderState`]):
//!
//! ```text
//!              End came, or the stream failed here
//!     Reading ──────────────────────────────────────► Ending
//!        │ the reader leaves                            │ the reader leaves, or has seen the end
//!        └────────────────────► Gone ◄──────────────────┘
//! ```
//!
//! A stream that is `Finished` and `Gone` is removed. Only while a stream is `Reading` are its items kept; only while
//! it is `Reading` and not `Finished` does it grant credit.
//!
//! Invariants, which `check` tests:
//!
//! - Unread items and bytes are never negative, and a stream that is `Gone` has none.
//! - A stream that is both `Finished` and `Gone` does not exist.
//! - The producer is never told of more items than have been read or dropped.
//! - At most [`MAX_UNACKNOWLEDGED`] grants wait for their acknowledgement.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem, task::Waker};

use bytes::{Bytes, BytesMut};

use super::{Amount, StreamEnd, StreamError};
use crate::{error::StreamViolation, proto::shrink::trim_line, status::Status, wire::TransferId};

/// Small items of large packets are copied together in blocks of at most this many bytes.
const BLOCK: usize = 8 * 1024;

/// A reader that waits keeps room for at most this many items.
const SMALL: usize = 64;

/// No item may be longer, because longer items would make the counts overflow.
const MAX_ITEM: u64 = u32::MAX as u64;

/// At most this many packets with credit are remembered until the producer has acknowledged them.
const MAX_UNACKNOWLEDGED: usize = 8;

/// A stream that is read here.
#[derive(Debug)]
pub(super) struct RecvStream {
    pub(super) arrival: ArrivalState,
    pub(super) reader: ReaderState,
    /// Whether the shell has been told of the stream. Independent of both states: a stream may end before the call that
    /// it belongs to is complete.
    pub(super) is_handed_over: bool,
    /// Complete items that the reader has not taken.
    pub(super) items: VecDeque<Bytes>,
    /// Small items are copied into this block together.
    pub(super) block: BytesMut,
    pub(super) waker: Option<Waker>,

    /// The items that have come, or are arriving, and have not been read.
    pub(super) held: Amount,
    /// The items and bytes that the producer may still send.
    pub(super) credit: Amount,
    /// The rest of the credit that the handshake gives to every stream, beside the stream's own first window. A
    /// producer that does not know the window may use the rest too.
    pub(super) spare: Amount,
    /// The items and bytes that may be unread and under way together.
    pub(super) window: Amount,
    /// Whether the window was set by hand, and does not grow.
    pub(super) is_window_fixed: bool,
    /// The items and bytes that have come since the beginning.
    pub(super) received: Amount,
    /// The items and bytes that the producer may have sent since the beginning, by the credit that it has acknowledged.
    pub(super) acknowledged: Amount,
    /// The same, by the credit of packets that it has not acknowledged.
    unacknowledged: VecDeque<(u64, Amount)>,

    pub(super) notice: Notice,
    /// New credit for the next notice.
    pub(super) due: Amount,
    /// Read items already reported to the producer. If these are all that have come, the producer may send one more,
    /// even if the credit of all streams together is used up.
    pub(super) reported: i64,
}

/// What has arrived from the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArrivalState {
    /// Nothing, or whole items.
    Between,
    /// The announcement of an item that arrives in chunks.
    Midway(Amount),
    /// An item that was wanted, and was aborted: the producer must say next why the stream ends.
    Broken,
    /// The end.
    Finished,
}

/// What the reader will see.
#[derive(Debug)]
pub(super) enum ReaderState {
    /// Items, and more of them.
    Reading,
    /// The items that have come, and then the end.
    Ending {
        end: StreamEnd,
        /// Bytes of a fault or status that the producer sent.
        bytes: usize,
    },
    /// Nothing more: the reader has left, or has seen the end.
    Gone,
}

/// The notice that waits for the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nothing. The stream is not in the queue of notices.
    Nothing,
    /// New credit, as long as the producer can use some.
    Credit,
    /// How far the reader is, even if the producer has ended the stream.
    Progress,
    /// Nothing ever again: the session is over.
    Never,
}

impl RecvStream {
    /// A stream whose producer may send `announced` to begin with, or less by the stream's own `window`, if that is not
    /// 0: the window does not grow then.
    pub(super) fn new(announced: Amount, window: u32) -> Self {
        let credit = announced.within_window(window);
        let is_window_fixed = window != 0;
        let window = if is_window_fixed { Amount::of_fixed_window(i64::from(window)) } else { announced };
        Self {
            arrival: ArrivalState::Between,
            reader: ReaderState::Reading,
            is_handed_over: false,
            items: VecDeque::new(),
            block: BytesMut::new(),
            waker: None,
            held: Amount::default(),
            credit,
            spare: announced - credit,
            window,
            is_window_fixed,
            received: Amount::default(),
            acknowledged: credit,
            unacknowledged: VecDeque::new(),
            notice: Notice::Nothing,
            due: Amount::default(),
            reported: 0,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.arrival == ArrivalState::Finished
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.reader, ReaderState::Gone)
    }

    /// Whether items are kept for the reader.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.reader, ReaderState::Reading)
    }

    /// Whether the producer goes on, and items are kept for the reader.
    pub(super) fn is_live(&self) -> bool {
        self.is_wanted() && !self.is_finished()
    }

    /// The item that is arriving in chunks.
    pub(super) fn arriving(&self) -> Option<Amount> {
        if let ArrivalState::Midway(item) = self.arrival { Some(item) } else { None }
    }

    /// The item that was arriving in chunks does not arrive any more.
    pub(super) fn take_arriving(&mut self) -> Option<Amount> {
        let item = self.arriving()?;
        self.arrival = ArrivalState::Between;
        Some(item)
    }

    /// The reader is to see the producer's end after the items. Gives the bytes that the end takes.
    pub(super) fn end_as_sent(&mut self, end: StreamEnd) -> usize {
        let bytes = end.as_ref().err().map_or(0, StreamError::size);
        self.reader = ReaderState::Ending { end, bytes };
        bytes
    }

    /// The reader is to see a status of this side after the items.
    pub(super) fn end_with(&mut self, status: Status) {
        self.reader = ReaderState::Ending { end: Err(StreamError::Status(status)), bytes: 0 };
    }

    /// Bytes of an end that came from the producer and has not been read.
    pub(super) fn end_bytes(&self) -> usize {
        if let ReaderState::Ending { bytes, .. } = self.reader { bytes } else { 0 }
    }

    /// An item comes. If it is beyond the credit, its producer does not know the stream's own window, and has had the
    /// credit of all streams from the beginning.
    #[inline]
    pub(super) fn claim_spare(&mut self) {
        if self.spare != Amount::default() && !self.credit.allows_item() {
            let spare = mem::take(&mut self.spare);
            self.credit += spare;
            self.acknowledged += spare;
        }
    }

    /// Checks an item of `len` bytes that comes now; `is_long` says that it is announced and follows in chunks.
    /// `stream` is the stream's number.
    #[inline]
    pub(super) fn check_item(
        &self,
        stream: TransferId,
        len: u64,
        is_long: bool,
        is_shared_credit_left: bool,
    ) -> Result<(), StreamViolation> {
        if len > MAX_ITEM {
            return Err(StreamViolation::ItemTooLong { stream, len });
        }
        match self.arrival {
            ArrivalState::Between => {}
            ArrivalState::Midway(_) => return Err(StreamViolation::ItemWithinItem { stream }),
            ArrivalState::Broken => return Err(StreamViolation::ItemAfterAborted { stream }),
            ArrivalState::Finished => return Err(StreamViolation::NotOpen { stream }),
        }
        if !self.credit.allows_item() {
            return Err(StreamViolation::BeyondCredit { stream });
        }
        let needs_shared_credit = is_long || self.reported < self.received.items;
        if needs_shared_credit && !is_shared_credit_left {
            return Err(StreamViolation::BeyondSharedCredit { stream });
        }
        Ok(())
    }

    /// Counts an item that has passed [`Self::check_item`]. True if it is wanted.
    #[inline]
    pub(super) fn count_item(&mut self, item: Amount, is_long: bool) -> bool {
        self.credit -= item;
        self.received += item;
        if is_long {
            self.arrival = ArrivalState::Midway(item);
        }
        if self.is_wanted() {
            self.held += item;
        }
        self.is_wanted()
    }

    /// How many items have been read, or dropped, since the beginning.
    pub(super) fn items_read(&self) -> i64 {
        self.received.items - self.held.items
    }

    /// Whether the reader has read all that has come, and the producer does not know that.
    pub(super) fn has_unreported(&self) -> bool {
        self.is_live() && self.held.items == 0 && self.reported < self.received.items
    }

    /// A copy of an item, which does not keep the item's packet.
    pub(super) fn copy(&mut self, item: &[u8]) -> Bytes {
        if self.block.capacity() < item.len() {
            // A block is no larger than what the stream holds already, so that the blocks of many streams stay in
            // proportion to their items.
            let held = usize::try_from(self.held.bytes).unwrap_or(BLOCK);
            self.block.reserve(item.len().max(held.min(BLOCK)));
        }
        self.block.extend_from_slice(item);
        self.block.split().freeze()
    }

    /// The reader waits, and has read all of `batch`. The larger one of its buffer and of the stream's is for the items
    /// to come, and is freed here if none come. The other one is freed now, unless it is small.
    pub(super) fn keep_room(&mut self, batch: &mut VecDeque<Bytes>) {
        if batch.capacity() > self.items.capacity() {
            mem::swap(batch, &mut self.items);
        }
        if batch.capacity() > SMALL {
            *batch = VecDeque::new();
        }
    }

    /// Frees memory that a busy time needed.
    pub(super) fn trim(&mut self) {
        trim_line(&mut self.items);
        // Items that are left keep the part of it that they need.
        self.block = BytesMut::new();
    }

    /// Credit goes out in this packet. If acknowledgements are slow, this grant replaces the one before it, which
    /// counts as known to the producer only when this packet is acknowledged: the window grows later.
    pub(super) fn note_credit(&mut self, packet: u64) {
        if self.unacknowledged.len() >= MAX_UNACKNOWLEDGED {
            self.unacknowledged.pop_back();
        }
        self.unacknowledged.push_back((packet, self.received + self.credit));
    }

    /// The producer has acknowledged all packets up to this one.
    pub(super) fn handle_ack(&mut self, acked: u64) {
        while let Some((packet, granted)) = self.unacknowledged.front().copied() {
            if packet > acked {
                break;
            }
            self.acknowledged = granted;
            self.unacknowledged.pop_front();
        }
    }

    /// Whether the producer has used all credit that it is known to have. A reader who has read everything then waits
    /// for credit to arrive, and not for the producer.
    pub(super) fn is_starved(&self) -> bool {
        self.received.reaches(self.acknowledged)
    }

    /// Doubles the window, up to `max` bytes. False if the window does not grow.
    pub(super) fn grow(&mut self, max: i64) -> bool {
        let grown = self.window.doubled().min(Amount::of_window(max).max(self.window));
        if self.is_window_fixed || grown == self.window {
            return false;
        }
        self.window = grown;
        true
    }

    /// Tests the invariants of one stream.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        assert!(self.unacknowledged.len() <= MAX_UNACKNOWLEDGED, "{self:?}");
        assert!(self.held.items >= 0 && self.held.bytes >= 0, "{self:?}");
        assert!(!self.is_gone() || self.held == Amount::default(), "the reader has left: {self:?}");
        assert!(!self.is_gone() || !self.is_finished(), "a stream without producer and reader: {self:?}");
        assert!(self.reported <= self.items_read(), "more is reported than was read: {self:?}");
    }
}
