//! `RecvStream`: one stream that is read here, its items and its window.

use std::{collections::VecDeque, task::Waker};

use bytes::{Bytes, BytesMut};

use super::{StreamEnd, weight};

/// Small items of large packets are copied together in blocks of at most this many bytes.
const BLOCK: usize = 8 * 1024;

/// At most this many packets with credit are remembered until they have been acknowledged.
const MAX_UNACKNOWLEDGED: usize = 8;

/// A stream that is read here.
#[derive(Debug)]
pub(super) struct RecvStream {
    pub(super) items: VecDeque<Bytes>,
    /// Where small items are copied together.
    pub(super) block: BytesMut,
    /// What has come and has not been read, in items and bytes.
    pub(super) held: (i64, i64),
    /// What the producer may still send.
    pub(super) credit: (i64, i64),
    pub(super) window: (i64, i64),
    /// Credit that has not been sent.
    pub(super) due: (u64, u64),
    pub(super) is_due: bool,
    /// The producer is to hear what has been read, whatever it may send.
    pub(super) must_report: bool,
    /// What has come since the beginning.
    pub(super) received: (i64, i64),
    /// All that the producer may have sent with the credit that it has heard of, since the beginning.
    pub(super) acknowledged: (i64, i64),
    /// The same, with the credit of packets that have not been acknowledged.
    pub(super) unacknowledged: VecDeque<(u64, (i64, i64))>,
    /// How many items the producer has been told are read. If that is all that have come, one more may whatever the
    /// credit of all streams together.
    pub(super) reported: i64,
    /// What an item counts that is arriving in chunks.
    pub(super) arriving: Option<i64>,
    /// The producer gave an item up that was wanted: it must say now why the stream has ended.
    pub(super) broken: bool,
    /// The producer has ended it.
    pub(super) finished: bool,
    /// What the reader will see after the items.
    pub(super) end: Option<StreamEnd>,
    /// Bytes of a fault or status there that came from the producer.
    pub(super) end_bytes: usize,
    /// Somebody reads it, or will.
    pub(super) read: bool,
    /// The shell has been told of it.
    pub(super) handed_over: bool,
    /// Its window was set, and does not grow.
    pub(super) fixed: bool,
    pub(super) waker: Option<Waker>,
}

impl RecvStream {
    /// A stream whose producer may send `credit`, which is the stream's window too.
    pub(super) fn new(credit: (i64, i64)) -> Self {
        Self {
            items: VecDeque::new(),
            block: BytesMut::new(),
            held: (0, 0),
            credit,
            window: credit,
            due: (0, 0),
            is_due: false,
            must_report: false,
            received: (0, 0),
            acknowledged: credit,
            unacknowledged: VecDeque::new(),
            reported: 0,
            arriving: None,
            broken: false,
            finished: false,
            end: None,
            end_bytes: 0,
            handed_over: false,
            read: true,
            fixed: false,
            waker: None,
        }
    }

    /// Whether what comes is kept.
    pub(super) fn is_wanted(&self) -> bool {
        self.read && self.end.is_none()
    }

    /// Whether all has been read, and the producer does not know that.
    pub(super) fn has_unreported(&self) -> bool {
        self.is_wanted() && !self.finished && self.held.0 == 0 && self.reported < self.received.0
    }

    /// An item that does not keep its packet.
    pub(super) fn copy(&mut self, item: &[u8]) -> Bytes {
        if self.block.capacity() < item.len() {
            // A block for one item or for many is no larger than what is held already, so that the blocks of many
            // streams stay in proportion to their items.
            let held = usize::try_from(self.held.1).unwrap_or(BLOCK);
            self.block.reserve(item.len().max(held.min(BLOCK)));
        }
        self.block.extend_from_slice(item);
        self.block.split().freeze()
    }

    /// Credit goes out in this packet, so that the producer may send what has come and is allowed. Where acks are slow,
    /// more is heard later.
    pub(super) fn note_credit(&mut self, packet: u64) {
        if self.unacknowledged.len() >= MAX_UNACKNOWLEDGED {
            self.unacknowledged.pop_back();
        }
        let granted = (self.received.0 + self.credit.0, self.received.1 + self.credit.1);
        self.unacknowledged.push_back((packet, granted));
    }

    #[cfg(test)]
    pub(super) fn check_unacknowledged(&self) {
        assert!(self.unacknowledged.len() <= MAX_UNACKNOWLEDGED);
    }

    /// Packets up to this one have been acknowledged.
    pub(super) fn handle_ack(&mut self, acked: u64) {
        while let Some((packet, granted)) = self.unacknowledged.front().copied() {
            if packet > acked {
                break;
            }
            self.acknowledged = granted;
            self.unacknowledged.pop_front();
        }
    }

    /// Whether all has come that could be sent with the credit that the producer has heard of: then its reader, who has
    /// read it, waits for credit to arrive, and not for the producer.
    pub(super) fn is_starved(&self) -> bool {
        self.received.0 >= self.acknowledged.0 || self.received.1 >= self.acknowledged.1
    }

    /// Doubles the window, in items and bytes, whichever was short. False if it is as large as it may be.
    pub(super) fn grow(&mut self, max: i64) -> bool {
        let (items, bytes) = self.window;
        let grown = ((items * 2).min((max / weight(0)).max(items)), (bytes * 2).min(max.max(bytes)));
        if self.fixed || grown == self.window {
            return false;
        }
        self.window = grown;
        true
    }
}
