//! `SendStream`: one stream that is produced here: the items that wait, and the credit to send them.
//!
//! Whether the stream has a turn in the outbox ([`TurnState`]):
//!
//! ```text
//!     Unannounced
//!        │ the frame that opens the stream goes out
//!        ▼        an item or the end is queued
//!      Idle ────────────────────────────────────────► Listed ──────► removed
//!        ▲       nothing is left, or a long item         │ ▲    the End frame
//!        └───────────── lacks shared credit ─────────────┤ │    is written
//!                                                        │ │ shared credit, or word
//!                          an item lacks shared credit   ▼ │ that the reader has read
//!                                                      Blocked
//! ```
//!
//! Stopping a stream drops what is queued and lists the stream for its End frame, whether it was idle or blocked. If
//! the opening frame does not go, the stream is removed.
//!
//! What the producer waits for ([`ProducerState`]):
//!
//! ```text
//!                the stream's own credit or queue is used up
//!     Running ───────────────────────────────────────────────► WaitsForStream ──┐
//!        │ ▲                                                                    │
//!        │ └─────────────────── the producer is woken ◄─────────────────────────┤
//!        │                                                                      │
//!        └───────────────────────────────────────────────────► WaitsForShared ──┘
//!                what all streams share is used up
//! ```
//!
//! Three things are independent of both states: `end` (the producer has finished, or the stream was stopped; the End
//! frame follows the queue), `is_in_blocked_list` (an entry of that list may outlive the state), and
//! `is_long_item_returned`.
//!
//! Invariants, which `check` tests:
//!
//! - `queued` is what `items` and the rest of the long item under way count.
//! - A stream that is `Unannounced` has sent nothing, and nothing of it is under way.
//! - A stream that is `Idle` has nothing to send.
//! - The reader has not read more items than were sent.

use std::{collections::VecDeque, mem, task::Waker};

use super::{
    Amount, ITEM, StreamEnd, StreamRoom,
    claims::{Claim, Wanted},
    signed, weight,
};
use crate::{
    proto::{keep_waker, slots::CallKey},
    wire::{PeerLimits, Rope},
};

/// A stream that is produced here.
#[derive(Debug)]
pub(super) struct SendStream {
    pub(super) turn: TurnState,
    pub(super) producer: ProducerState,
    pub(super) waker: Option<Waker>,
    /// The call that the stream is an argument of, until that call has ended well.
    pub(super) owner: Option<CallKey>,
    /// The end, which goes out after what is queued.
    pub(super) end: Option<StreamEnd>,
    /// Whether the list of blocked streams has an entry of this stream.
    pub(super) is_in_blocked_list: bool,
    /// Whether a long item was dropped for want of shared credit, and its producer does not know that yet.
    pub(super) is_long_item_returned: bool,

    /// Items that wait to be sent.
    pub(super) items: VecDeque<Item>,
    /// The rest of a long item whose chunks are being sent.
    pub(super) under_way: Option<Item>,
    /// Bytes that wait to be sent, with [`ITEM`] for each item that has not begun.
    pub(super) queued: usize,
    /// What the producer has claimed and not queued.
    pub(super) claim: Claim,
    /// The items and bytes that may still be queued: the stream's own credit is spent when an item is queued, and the
    /// shared credit when the item is sent.
    pub(super) credit: Amount,
    /// Items that were sent, and how many of these the reader has read. Where the numbers are equal, one more item may
    /// go, even if the credit of all streams together is used up.
    pub(super) sent: u64,
    pub(super) read: u64,
}

/// Whether a stream has a turn in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnState {
    /// The frame that opens the stream has not gone, and nothing of the stream may go before that.
    Unannounced,
    /// Nothing is to be sent.
    Idle,
    /// The stream is in the outbox, or has its turn at the moment.
    Listed,
    /// The stream waits for credit of all streams together, with this many queued bytes of short items.
    Blocked { stuck: usize },
}

/// What the producer of a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProducerState {
    /// Nothing that the stream or its reader could give: the producer has room, or nothing to queue.
    Running,
    /// Credit of the stream, or room in the stream's own queue.
    WaitsForStream,
    /// Something that all streams share. The ticket is the producer's place among the producers that wait.
    WaitsForShared { wanted: Wanted, ticket: u64 },
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) bytes: Rope,
    /// The bytes that the producer holds of the budget of transfers for the item.
    pub(super) charge: u32,
}

impl Item {
    /// The credit that the item takes.
    pub(super) fn amount(&self) -> Amount {
        Amount::of_item(self.bytes.len() as u64)
    }

    /// The bytes that the item counts in queues.
    pub(super) fn queued(&self) -> usize {
        self.bytes.len() + ITEM
    }
}

impl SendStream {
    /// A stream whose reader announced these limits and, unless it is 0, this window in bytes for the first credit.
    pub(super) fn new(owner: Option<CallKey>, limits: &PeerLimits, window: u32) -> Self {
        let announced = Amount { items: i64::from(limits.stream_items), bytes: signed(limits.stream_bytes) };
        Self {
            turn: TurnState::Unannounced,
            producer: ProducerState::Running,
            waker: None,
            owner,
            end: None,
            is_in_blocked_list: false,
            is_long_item_returned: false,
            items: VecDeque::new(),
            under_way: None,
            queued: 0,
            claim: Claim::default(),
            credit: announced.within_window(window),
            sent: 0,
            read: 0,
        }
    }

    /// Whether the stream's own credit and queue allow one more item.
    pub(super) fn takes(&self, max_queued: usize) -> bool {
        self.credit.allows_item() && self.queued < max_queued
    }

    /// How much the stream takes, if [`Self::takes`] says that it takes something.
    pub(super) fn room(&self, max_queued: usize) -> StreamRoom {
        let count = |credit: i64| usize::try_from(credit.max(0)).unwrap_or(usize::MAX);
        let Amount { items, bytes } = self.credit;
        StreamRoom { items: count(items), bytes: count(bytes).min(max_queued.saturating_sub(self.queued)).max(1) }
    }

    /// Lists an idle stream that has something to send. True if the stream has to be put into the outbox.
    pub(super) fn wants_turn(&mut self) -> bool {
        let wants = self.turn == TurnState::Idle && (!self.items.is_empty() || self.end.is_some());
        if wants {
            self.turn = TurnState::Listed;
        }
        wants
    }

    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.turn, TurnState::Blocked { .. })
    }

    /// The queued bytes that wait for credit of all streams together.
    pub(super) fn stuck(&self) -> usize {
        if let TurnState::Blocked { stuck } = self.turn { stuck } else { 0 }
    }

    /// The credit that the next item takes, in bytes.
    pub(super) fn next_weight(&self) -> i64 {
        self.items.front().map_or(0, |item| weight(item.bytes.len() as u64))
    }

    /// Whether the reader has read all that was sent, and nothing waits to be sent.
    pub(super) fn is_read(&self) -> bool {
        self.sent == self.read && self.items.is_empty() && self.under_way.is_none()
    }

    /// Bytes of credit that the queued items count.
    pub(super) fn promised(&self) -> i64 {
        self.items.iter().map(|item| item.amount().bytes).sum()
    }

    /// The queued bytes of items that are longer than a chunk.
    pub(super) fn long(&self, chunk: usize) -> usize {
        let whole = self.items.iter().filter(|item| item.bytes.len() > chunk).map(Item::queued);
        whole.sum::<usize>() + self.under_way.as_ref().map_or(0, |item| item.bytes.len())
    }

    pub(super) fn set_waker(&mut self, waker: &Waker, stale_wakers: &mut Vec<Waker>) {
        keep_waker(&mut self.waker, waker, stale_wakers);
    }

    /// Whether the producer waits for credit or room, and not for something to queue.
    pub(super) fn is_producer_waiting(&self) -> bool {
        self.producer != ProducerState::Running
    }

    /// The producer's place among the producers that wait for what all streams share.
    pub(super) fn ticket(&self) -> Option<u64> {
        if let ProducerState::WaitsForShared { ticket, .. } = self.producer { Some(ticket) } else { None }
    }

    /// The producer has to wait for the stream, unless it waits for something already.
    pub(super) fn wait_for_stream(&mut self) {
        if self.producer == ProducerState::Running {
            self.producer = ProducerState::WaitsForStream;
        }
    }

    /// The waker of the producer, if the producer waits for credit or room.
    pub(super) fn wake(&mut self) -> Option<Waker> {
        let waits = mem::replace(&mut self.producer, ProducerState::Running) != ProducerState::Running;
        if waits { self.waker.take() } else { None }
    }

    /// The bytes that the producer holds of the budget of transfers.
    pub(super) fn charges(&self) -> usize {
        self.items.iter().chain(&self.under_way).map(|item| item.charge as usize).sum()
    }

    /// Tests the invariants of one stream.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        let whole: usize = self.items.iter().map(Item::queued).sum();
        let rest = self.under_way.as_ref().map_or(0, |item| item.bytes.len());
        assert_eq!(self.queued, whole + rest, "what waits: {self:?}");
        assert!(self.read <= self.sent, "more is read than was sent: {self:?}");
        match self.turn {
            TurnState::Unannounced => assert!(self.sent == 0 && self.under_way.is_none(), "sent too early: {self:?}"),
            TurnState::Idle => {
                let has_nothing = self.items.is_empty() && self.under_way.is_none() && self.end.is_none();
                assert!(has_nothing, "an idle stream has something to send: {self:?}");
            }
            TurnState::Listed => {}
            TurnState::Blocked { .. } => assert!(self.is_in_blocked_list, "no credit would be noticed: {self:?}"),
        }
    }
}
