//! `SendStream`: one stream that is produced here, what of it waits, and its credit.

use std::{collections::VecDeque, mem, task::Waker};

use super::{
    ITEM, StreamEnd, StreamRoom,
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
    /// The call whose argument it is, until that has ended well.
    pub(super) owner: Option<CallKey>,
    /// The frame that tells of it has gone.
    pub(super) announced: bool,
    pub(super) items: VecDeque<Item>,
    /// What of it waits to be sent.
    pub(super) queued: usize,
    /// What its producer has claimed and not queued, of credit and room.
    pub(super) claim: Claim,
    /// A long item could not go for want of credit, and was dropped: its producer makes it again.
    pub(super) returned: bool,
    /// The rest of a long item, and what its producer holds for it.
    pub(super) under_way: Option<Item>,
    pub(super) end: Option<StreamEnd>,
    pub(super) credit_items: u64,
    pub(super) credit_bytes: i64,
    /// Items that have gone, and those that have been read: where they are the same, one may go whatever the credit of
    /// all streams together.
    pub(super) sent: u64,
    pub(super) read: u64,
    /// It waits for its turn, or for credit of all together.
    pub(super) in_turn: bool,
    /// It waits for credit of all streams together, and `stuck` bytes of it wait with it.
    pub(super) is_blocked: bool,
    pub(super) stuck: usize,
    /// It is among the blocked ones.
    pub(super) listed: bool,
    /// Its producer waits for credit or room, and not for something to send.
    pub(super) waits: bool,
    /// What of that all streams share, and when it began to wait.
    pub(super) wanted: Wanted,
    pub(super) ticket: u64,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) bytes: Rope,
    /// What its producer holds of the budget of transfers.
    pub(super) charge: u32,
}

impl SendStream {
    /// A stream whose reader announced these limits.
    pub(super) fn new(owner: Option<CallKey>, limits: &PeerLimits) -> Self {
        Self {
            owner,
            announced: false,
            items: VecDeque::new(),
            queued: 0,
            claim: Claim::default(),
            returned: false,
            under_way: None,
            end: None,
            credit_items: u64::from(limits.stream_items),
            credit_bytes: signed(limits.stream_bytes),
            sent: 0,
            read: 0,
            in_turn: false,
            is_blocked: false,
            stuck: 0,
            listed: false,
            waits: false,
            wanted: Wanted::Nothing,
            ticket: 0,
            waker: None,
        }
    }

    /// Whether its own credit and queue allow for another item.
    pub(super) fn takes(&self, queue: usize) -> bool {
        self.credit_items > 0 && self.credit_bytes > 0 && self.queued < queue
    }

    /// How many items and bytes it takes, if [`Self::takes`] says that it takes some.
    pub(super) fn room(&self, queue: usize) -> StreamRoom {
        let count = |credit: i64| usize::try_from(credit).unwrap_or(0);
        let items = usize::try_from(self.credit_items).unwrap_or(usize::MAX);
        StreamRoom { items, bytes: count(self.credit_bytes).min(queue.saturating_sub(self.queued)).max(1) }
    }

    /// Whether it joins those that wait for their turn.
    pub(super) fn wants_turn(&mut self) -> bool {
        let wants = self.announced && !self.in_turn && (!self.items.is_empty() || self.end.is_some());
        self.in_turn |= wants;
        wants
    }

    /// What its next item takes of the credit.
    pub(super) fn next_weight(&self) -> i64 {
        self.items.front().map_or(0, |item| weight(item.bytes.len() as u64))
    }

    /// Whether its reader has read all that was sent, and nothing waits to be sent.
    pub(super) fn is_read(&self) -> bool {
        self.sent == self.read && self.items.is_empty() && self.under_way.is_none()
    }

    /// What its items count that wait for their turn.
    pub(super) fn promised(&self) -> i64 {
        self.items.iter().map(|item| weight(item.bytes.len() as u64)).sum()
    }

    /// What of its queue is items longer than a chunk.
    pub(super) fn long(&self, chunk: usize) -> usize {
        let whole = self.items.iter().filter(|item| item.bytes.len() > chunk).map(|item| item.bytes.len() + ITEM);
        whole.sum::<usize>() + self.under_way.as_ref().map_or(0, |item| item.bytes.len())
    }

    pub(super) fn set_waker(&mut self, waker: &Waker, stale_wakers: &mut Vec<Waker>) {
        keep_waker(&mut self.waker, waker, stale_wakers);
    }

    /// Its producer, if it waits for credit or room.
    pub(super) fn wake(&mut self) -> Option<Waker> {
        if mem::take(&mut self.waits) { self.waker.take() } else { None }
    }

    pub(super) fn charges(&self) -> usize {
        self.items.iter().chain(&self.under_way).map(|item| item.charge as usize).sum()
    }
}
