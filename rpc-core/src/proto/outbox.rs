//! `Outbox`: what waits to be sent, in a lane of frames and a lane of transfers and streams that take turns.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
};

use foldhash::HashSet;

use super::{
    QueuedCall,
    out_frame::{LeftOver, OnSent, OtherFrame, OutBody, OutFrame, OutTransfer},
    rare::{Rare, Rarely},
    shrink::{trim_line, trim_set},
};
use crate::wire::{Frame, Rope, TransferId};

/// How many bytes streams may send for each byte of a transfer. A payload ends soon, and its receiver waits for all of
/// it; a stream goes on, and its reader waits for each item.
const STREAM_WEIGHT: i64 = 3;

/// A member of the second lane, in which all members take turns.
#[derive(Debug)]
pub(crate) enum BulkEntry {
    Transfer(Box<OutTransfer>),
    /// A stream with something to send.
    Stream(TransferId),
}

/// Frames and transfers that wait to be sent.
///
/// Urgent frames are small, pass every soft limit and go first: cancels, stops, aborts, refusals. Frames of up to one
/// chunk follow in the order in which they were pushed. Streams and transfers share the rest, three bytes to one while
/// both have something to send, so neither class can starve the other. Within a class each member sends about one chunk
/// in its turn.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    urgent: VecDeque<OutFrame>,
    frames: VecDeque<OutFrame>,
    bulk: Rare<BulkLane>,
    bytes: usize,
    transfer_bytes: usize,
    next_transfer: TransferId,
}

/// The second lane, whose members take turns.
#[derive(Debug, Default)]
struct BulkLane {
    transfers: VecDeque<Box<OutTransfer>>,
    streams: VecDeque<TransferId>,
    /// How many bytes streams have sent beyond their share, since both classes have had something to send.
    deficit: i64,
    /// The transfers in the lane. A peer may stop any number, and the lane is searched only for one of these.
    under_way: HashSet<TransferId>,
}

impl Rarely for BulkLane {
    type Terms = ();

    fn none() -> &'static Self {
        static NONE: LazyLock<BulkLane> = LazyLock::new(BulkLane::default);
        &NONE
    }

    fn begin((): &()) -> Self {
        Self::default()
    }

    fn can_go(&self, (): &mut ()) -> bool {
        self.transfers.is_empty() && self.streams.is_empty() && self.under_way.is_empty()
    }
}

impl Outbox {
    /// Lets a frame of any kind wait, with the transfer that it announces.
    pub(crate) fn push(&mut self, frame: Frame, room: u32, on_sent: OnSent, transfer: Option<Box<OutTransfer>>) {
        self.transfer_bytes += transfer.as_ref().map_or(0, |transfer| transfer.rest.len());
        let frame = OutFrame::other(frame, room, on_sent, transfer);
        self.bytes += frame.len as usize;
        self.frames.push_back(frame);
    }

    /// Lets a plain frame with this payload wait.
    #[inline]
    pub(crate) fn push_plain(&mut self, payload: Rope, room: u32, on_sent: OnSent, body: impl FnOnce(Rope) -> OutBody) {
        let len = OutBody::len(&payload);
        self.bytes += len as usize;
        self.frames.push_back(OutFrame { body: body(payload), len, room, on_sent });
    }

    /// Lets a one-way call from the queue wait, whose arguments are in the frame.
    pub(crate) fn push_queued(&mut self, call: Arc<QueuedCall>, missed: Option<u64>, on_sent: OnSent) {
        let len = OutBody::len(&call.arguments);
        self.bytes += len as usize;
        self.frames.push_back(OutFrame { body: OutBody::Queued { call, missed }, len, room: 0, on_sent });
    }

    pub(crate) fn push_urgent(&mut self, frame: Frame, on_sent: OnSent) {
        let frame = OutFrame::other(frame, 0, on_sent, None);
        self.bytes += frame.len as usize;
        self.urgent.push_back(frame);
    }

    /// The next frame, if it fits into `budget` bytes or if `first` says that it must go at any size.
    #[inline]
    pub(crate) fn front(&mut self, budget: usize, first: bool) -> Option<&mut OutFrame> {
        let front = self.lane().front_mut()?;
        (first || front.len as usize <= budget).then_some(front)
    }

    /// Removes that frame, which is a plain one. Gives the bytes of room that the frame's sender holds. Urgent frames
    /// are never plain, so the lane is known.
    #[inline]
    pub(crate) fn pop_plain(&mut self) -> usize {
        debug_assert!(self.urgent.is_empty() && self.frames.front().is_some_and(OutFrame::is_plain));
        let Some(frame) = self.frames.pop_front() else { return 0 };
        self.bytes -= frame.len as usize;
        frame.room as usize
    }

    /// Removes that frame.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<LeftOver> {
        let frame = self.lane().pop_front()?;
        self.bytes -= frame.len as usize;
        let left_over = frame.into_left_over();
        if let Some(transfer) = &left_over.transfer {
            self.transfer_bytes -= transfer.rest.len();
        }
        Some(left_over)
    }

    #[inline]
    fn lane(&mut self) -> &mut VecDeque<OutFrame> {
        if self.urgent.is_empty() { &mut self.frames } else { &mut self.urgent }
    }

    /// Frees the memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        trim_line(&mut self.urgent);
        trim_line(&mut self.frames);
        self.bulk.trim(|bulk| {
            trim_line(&mut bulk.transfers);
            trim_line(&mut bulk.streams);
            trim_set(&mut bulk.under_way);
        });
    }

    /// Begins to send a transfer that has been announced.
    pub(crate) fn start_transfer(&mut self, transfer: Box<OutTransfer>) {
        self.transfer_bytes += transfer.rest.len();
        self.bulk.under_way.insert(transfer.id);
        self.bulk.transfers.push_back(transfer);
    }

    /// Lets a stream wait for its turn.
    pub(crate) fn push_stream(&mut self, id: TransferId) {
        self.bulk.streams.push_back(id);
    }

    /// Removes the entry that has the next turn, which goes to [`Self::end_turn`] or [`Self::put_back`] afterwards.
    pub(crate) fn next_turn(&mut self) -> Option<BulkEntry> {
        let bulk = self.bulk.get_mut()?;
        if bulk.transfers.is_empty() || bulk.streams.is_empty() {
            bulk.deficit = 0;
        }
        let stream = if bulk.deficit > 0 { None } else { bulk.streams.pop_front() };
        let turn = stream.map(BulkEntry::Stream);
        turn.or_else(|| bulk.transfers.pop_front().map(BulkEntry::Transfer))
            .or_else(|| bulk.streams.pop_front().map(BulkEntry::Stream))
    }

    /// A turn is over, in which `sent` bytes were sent. With `more`, the entry waits for its next turn.
    pub(crate) fn end_turn(&mut self, sent: usize, turn: BulkEntry, more: bool) {
        let sent = i64::try_from(sent).unwrap_or(i64::MAX);
        match turn {
            BulkEntry::Transfer(transfer) => {
                self.bulk.deficit = self.bulk.deficit.saturating_sub(sent.saturating_mul(STREAM_WEIGHT));
                if more {
                    self.bulk.transfers.push_back(transfer);
                }
            }
            BulkEntry::Stream(id) => {
                self.bulk.deficit = self.bulk.deficit.saturating_add(sent);
                if more {
                    self.bulk.streams.push_back(id);
                }
            }
        }
    }

    /// Puts an entry back that could not use its turn, which is the next one again.
    pub(crate) fn put_back(&mut self, turn: BulkEntry) {
        match turn {
            BulkEntry::Transfer(transfer) => self.bulk.transfers.push_front(transfer),
            BulkEntry::Stream(id) => self.bulk.streams.push_front(id),
        }
    }

    /// Splits off the next chunk of a transfer.
    pub(crate) fn split_chunk(&mut self, transfer: &mut OutTransfer, size: usize) -> Frame {
        let data = transfer.rest.split_to(size);
        self.transfer_bytes -= data.len();
        if transfer.rest.is_empty() {
            self.bulk.under_way.remove(&transfer.id);
        }
        Frame::Chunk { transfer: transfer.id, data }
    }

    /// Removes a transfer that has been announced.
    pub(crate) fn remove_transfer(&mut self, id: TransferId) -> Option<Box<OutTransfer>> {
        let bulk = self.bulk.get_mut()?;
        if !bulk.under_way.remove(&id) {
            return None;
        }
        let index = bulk.transfers.iter().position(|transfer| transfer.id == id)?;
        let transfer = bulk.transfers.remove(index)?;
        self.transfer_bytes -= transfer.rest.len();
        Some(transfer)
    }

    /// A number for a new transfer or stream. No number is used twice.
    pub(crate) fn next_transfer_id(&mut self) -> TransferId {
        self.next_transfer += 1;
        self.next_transfer
    }

    /// How many frames wait, without the transfers that they announce.
    pub(crate) fn waiting(&self) -> usize {
        self.urgent.len() + self.frames.len()
    }

    pub(crate) fn has_frames(&self) -> bool {
        !self.urgent.is_empty() || !self.frames.is_empty()
    }

    /// The last number that a transfer or stream was given.
    pub(crate) fn last_transfer_id(&self) -> TransferId {
        self.next_transfer
    }

    /// Whether transfers or streams wait for their turn.
    #[inline]
    pub(crate) fn has_bulk(&self) -> bool {
        self.bulk.get().is_some_and(|bulk| !bulk.transfers.is_empty() || !bulk.streams.is_empty())
    }

    /// Bytes of memory that waiting frames take, without the transfers that they announce.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.waiting() * (size_of::<OutFrame>() + size_of::<OtherFrame>())
    }

    /// Encoded bytes of waiting frames, without the transfers that they announce.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of transfers that wait or are under way.
    pub(crate) fn transfer_bytes(&self) -> usize {
        self.transfer_bytes
    }

    /// Drops all frames and transfers.
    pub(crate) fn clear(&mut self) {
        *self = Self { next_transfer: self.next_transfer, ..Self::default() };
    }

    /// Drops the transfers under way for whose mark `remove` returns true.
    pub(crate) fn remove_transfers(&mut self, remove: impl Fn(OnSent) -> bool) {
        if let Some(BulkLane { transfers, under_way, .. }) = self.bulk.get_mut() {
            transfers.retain(|transfer| !remove(transfer.on_sent) || !under_way.remove(&transfer.id));
        }
        let waiting = self.urgent.iter().chain(&self.frames).filter_map(OutFrame::transfer);
        self.transfer_bytes = waiting
            .chain(self.bulk.transfers.iter().map(|transfer| &**transfer))
            .map(|transfer| transfer.rest.len())
            .sum();
    }

    /// Panics unless the counts match what waits.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let frames = || self.urgent.iter().chain(&self.frames);
        assert_eq!(self.bytes, frames().map(|frame| frame.len as usize).sum::<usize>(), "bytes of frames");
        let ids: HashSet<_> = self.bulk.transfers.iter().map(|transfer| transfer.id).collect();
        assert_eq!(self.bulk.under_way, ids, "transfers under way");
        let transfers = frames().filter_map(OutFrame::transfer);
        let transfers = transfers.chain(self.bulk.transfers.iter().map(|transfer| &**transfer));
        let rest = transfers.map(|transfer| transfer.rest.len()).sum::<usize>();
        assert_eq!(self.transfer_bytes, rest, "bytes of transfers");
    }
}
