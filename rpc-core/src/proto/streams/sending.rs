//! The streams that are produced here: items that wait, and the credit to send them.

use std::{collections::VecDeque, mem, task::Waker};

use foldhash::HashMap;

use super::{
    Credit, ITEM, MAX_CREDIT, StreamEnd, StreamError, StreamRoom,
    outflow::{Item, Outflow},
    signed,
    turn::{Gone, Long, Put, Turn},
    weight,
};
use crate::{
    error::ProtocolError,
    proto::{
        slots::CallKey,
        writer::{CHUNK_FRAME, PacketWriter},
    },
    wire::{Frame, Payload, PeerLimits, Rope, TransferId},
};

/// So many streams that have ended may still be among those that wait for credit, beside as many as there are.
const MOST_GONE: usize = 16;

/// All streams that are produced here.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    streams: HashMap<TransferId, Outflow>,
    /// Bytes that the reader takes of all streams together.
    credit: i64,
    /// Streams whose turn had come when there was no credit for all together; some may go on by now.
    blocked: VecDeque<TransferId>,
    /// What waits to be sent, of all streams, in bytes and [`ITEM`] for each item.
    queued: usize,
    /// Streams of calls that go on, which have been sent to their end and not been read to it.
    tails: HashMap<TransferId, Tail>,
}

/// What of a stream is at its reader's side.
#[derive(Debug)]
struct Tail {
    owner: CallKey,
    sent: u64,
    read: u64,
}

impl Sending {
    /// What the other side announced.
    pub(crate) fn set_limits(&mut self, limits: &PeerLimits) {
        self.credit = signed(limits.streams_bytes);
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn open(&mut self, id: TransferId, owner: Option<CallKey>, limits: &PeerLimits) {
        self.streams.insert(id, Outflow::new(owner, limits));
    }

    /// The frame that tells of it goes out: from now on its items may. True if some wait already.
    pub(crate) fn announce(&mut self, id: TransferId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        stream.announced = true;
        stream.wants_turn()
    }

    /// The frame that would have told of it will not go.
    pub(crate) fn forget(&mut self, id: TransferId) -> (usize, Option<Waker>) {
        let Some(stream) = self.streams.remove(&id) else { return (0, None) };
        self.queued -= stream.queued;
        (stream.charges(), stream.waker)
    }

    /// What a stream takes now; `waker` is woken when that changes. `None` if nobody wants more of it.
    pub(crate) fn poll(
        &mut self,
        id: TransferId,
        queue: usize,
        all: usize,
        waker: &Waker,
        trash: &mut Vec<Waker>,
    ) -> Option<StreamRoom> {
        let room = self.queued < all;
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        stream.waits = !stream.takes(queue, room);
        if !stream.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            trash.extend(stream.waker.replace(waker.clone()));
        }
        Some(if stream.waits { StreamRoom::default() } else { stream.room(queue) })
    }

    /// What became of a long item that was queued last. `waker` is woken when that changes. `None` if nobody wants more of the stream.
    pub(crate) fn poll_long(&mut self, id: TransferId, waker: &Waker, trash: &mut Vec<Waker>) -> Option<Long> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        if stream.owes && (self.credit > 0 || !stream.is_blocked) {
            return Some(Long::Owes);
        }
        if stream.items.is_empty() {
            return Some(Long::Gone);
        }
        stream.waits = true;
        if !stream.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            trash.extend(stream.waker.replace(waker.clone()));
        }
        Some(Long::Waits)
    }

    /// A long item holds its part of the budget of transfers again. `None` if there is no credit for it any more: then it must not; otherwise whether the stream waits
    /// for its turn from now on.
    pub(crate) fn recharge(&mut self, id: TransferId, charge: u32) -> Option<bool> {
        let blocked = self.credit <= 0;
        let stream = self.streams.get_mut(&id).filter(|stream| stream.owes && !(blocked && stream.is_blocked))?;
        stream.items.front_mut()?.charge = charge;
        stream.owes = false;
        Some(stream.wants_turn())
    }

    /// Queues items as far as there is credit and room; the rest is left. True if the stream waits for its turn from now on.
    pub(crate) fn push(
        &mut self,
        id: TransferId,
        items: &mut VecDeque<(Rope, u32)>,
        queue: usize,
        all: usize,
    ) -> Option<bool> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        while stream.takes(queue, self.queued < all) {
            let Some((bytes, charge)) = items.pop_front() else { break };
            stream.credit_items -= 1;
            stream.credit_bytes -= weight(bytes.len() as u64);
            stream.queued += bytes.len() + ITEM;
            self.queued += bytes.len() + ITEM;
            stream.items.push_back(Item { bytes, charge });
        }
        Some(stream.wants_turn())
    }

    /// The call whose argument a stream is.
    pub(crate) fn owner(&self, id: TransferId) -> Option<CallKey> {
        match self.streams.get(&id) {
            Some(stream) => stream.owner,
            None => self.tails.get(&id).map(|tail| tail.owner),
        }
    }

    /// Whether a stream waits for its reader, or for its producer; `None` if it has been read to its end.
    pub(crate) fn waits_for(&self, id: TransferId) -> Option<WaitsFor> {
        match self.streams.get(&id) {
            Some(stream) if stream.waits || !stream.items.is_empty() => Some(WaitsFor::Reader),
            Some(_) => Some(WaitsFor::Producer),
            None => self.tails.get(&id).filter(|tail| tail.read < tail.sent).map(|_| WaitsFor::Reader),
        }
    }

    /// The call has ended well: its streams are on their own.
    pub(crate) fn disown(&mut self, id: TransferId) {
        self.tails.remove(&id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.owner = None;
        }
    }

    /// Ends a stream after what has been queued. True if it waits for its turn from now on.
    pub(crate) fn finish(&mut self, id: TransferId, end: StreamEnd) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        stream.end = Some(end);
        stream.wants_turn()
    }

    /// Ends a stream now; what has been queued is dropped. `None` if there is no such stream.
    pub(crate) fn stop(&mut self, id: TransferId, end: StreamEnd) -> Option<Stopped> {
        self.tails.remove(&id);
        let stream = self.streams.get_mut(&id)?;
        let under_way = stream.under_way.is_some();
        let transfers = stream.charges();
        // An end that was queued holds for all that came before it, or not at all.
        if under_way || !stream.items.is_empty() || stream.end.is_none() {
            stream.end = Some(end);
        }
        stream.items.clear();
        stream.owes = false;
        stream.under_way = None;
        self.queued -= mem::take(&mut stream.queued);
        let turn = mem::take(&mut stream.is_blocked) || stream.wants_turn();
        Some(Stopped { under_way, transfers, turn, waker: stream.waker.take() })
    }

    /// The reader takes more. `highest` is the last number that was given to a stream.
    pub(crate) fn grant(
        &mut self,
        id: TransferId,
        credit: Credit,
        highest: TransferId,
    ) -> Result<Granted, ProtocolError> {
        if id == 0 {
            add(&mut self.credit, credit.bytes, id)?;
            // As many as it will do for: others would look at it in vain.
            let (mut granted, mut left) = (Granted::default(), self.credit);
            while left > 0 {
                let Some(id) = self.unblock() else { break };
                left -= self.streams.get(&id).map_or(0, Outflow::next_weight);
                granted.turns.push(id);
            }
            return Ok(granted);
        }
        if id > highest {
            return Err(ProtocolError::new(format!("credit came for stream {id}, which was never opened")));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return self.grant_tail(id, credit.read) };
        let progress = note_read(id, &mut stream.read, stream.sent, credit.read)?;
        add(&mut stream.credit_bytes, credit.bytes, id)?;
        stream.credit_items = stream
            .credit_items
            .checked_add(credit.items)
            .filter(|items| *items <= MAX_CREDIT.unsigned_abs())
            .ok_or_else(|| overflow(id))?;
        let mut granted = Granted { turns: Vec::new(), waker: stream.wake(), progress };
        granted.turns.extend(mem::take(&mut stream.is_blocked).then_some(id));
        Ok(granted)
    }

    /// The stream has ended here: there is nothing left to grant, but its reader may go on.
    fn grant_tail(&mut self, id: TransferId, read: u64) -> Result<Granted, ProtocolError> {
        let Some(tail) = self.tails.get_mut(&id) else { return Ok(Granted::default()) };
        let progress = note_read(id, &mut tail.read, tail.sent, read)?;
        Ok(Granted { progress, ..Granted::default() })
    }

    /// Whether [`Self::unblock`] may find one.
    pub(crate) fn has_unblocked(&self) -> bool {
        self.credit > 0 && !self.blocked.is_empty()
    }

    /// The stream that has waited longest for credit of all together, if there is some.
    pub(crate) fn unblock(&mut self) -> Option<TransferId> {
        while self.credit > 0 {
            let id = self.blocked.pop_front()?;
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.listed = false;
            if mem::take(&mut stream.is_blocked) {
                return Some(id);
            }
        }
        None
    }

    /// Writes what a stream may send in one turn: up to about `chunk` bytes, and no frame that is longer than `left`. `first` says that one must go whatever is left.
    pub(crate) fn put(&mut self, id: TransferId, out: &mut PacketWriter<'_>, limits: Turn, gone: &mut Gone) -> Put {
        if self.blocked.len() > MOST_GONE + 2 * self.streams.len() {
            // Those that have ended meanwhile.
            self.blocked.retain(|id| self.streams.contains_key(id));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Put::Idle };
        let begin = out.len();
        let written = |out: &PacketWriter<'_>| out.len() - begin;
        loop {
            let left = limits.left.saturating_sub(written(out));
            let fits = |len: usize| len + CHUNK_FRAME <= left || (limits.first && written(out) == 0);
            if let Some(item) = &mut stream.under_way {
                let size = limits.chunk.min(item.bytes.len());
                if !fits(size) {
                    return Put::Full;
                }
                let data = item.bytes.split_to(size);
                stream.queued -= size;
                self.queued -= size;
                out.put(&Frame::Chunk { transfer: id, data });
                gone.frames += 1;
                if item.bytes.is_empty() {
                    gone.transfers += item.charge as usize;
                    stream.under_way = None;
                }
            } else if let Some(item) = stream.items.front() {
                let len = item.bytes.len();
                let long = len > limits.chunk;
                if !fits(if long { 0 } else { len }) {
                    return Put::Full;
                }
                if stream.owes {
                    stream.in_turn = false;
                    gone.wake = gone.wake.take().or_else(|| stream.wake());
                    return Put::Idle;
                }
                if self.credit <= 0 && (long || stream.read < stream.sent) {
                    stream.is_blocked = true;
                    if !mem::replace(&mut stream.listed, true) {
                        self.blocked.push_back(id);
                    }
                    if long {
                        gone.transfers += stream.give_back();
                    }
                    return Put::Idle;
                }
                stream.sent += 1;
                self.credit -= weight(len as u64);
                let Some(item) = stream.items.pop_front() else { return Put::Idle };
                gone.frames += 1;
                stream.queued -= ITEM;
                self.queued -= ITEM;
                if long {
                    let payload = Payload::announced(id, len as u64);
                    out.put(&Frame::Item { stream: id, payload });
                    stream.under_way = Some(item);
                } else {
                    gone.transfers += item.charge as usize;
                    stream.queued -= len;
                    self.queued -= len;
                    out.put(&Frame::Item { stream: id, payload: item.bytes.into() });
                }
            } else if let Some(end) = &stream.end {
                if !fits(end_len(end)) {
                    return Put::Full;
                }
                let error = stream.end.take().and_then(Result::err).map(Into::into);
                out.put(&Frame::End { stream: id, error });
                gone.frames += 1;
                gone.wake = gone.wake.take().or_else(|| stream.waker.take());
                if let Some(owner) = stream.owner.filter(|_| stream.read < stream.sent) {
                    self.tails.insert(id, Tail { owner, sent: stream.sent, read: stream.read });
                }
                self.streams.remove(&id);
                return Put::Ended;
            } else {
                stream.in_turn = false;
                gone.wake = gone.wake.take().or_else(|| stream.wake());
                return Put::Idle;
            }
            if stream.queued <= limits.chunk / 2 && gone.wake.is_none() {
                gone.wake = stream.wake();
            }
            if written(out) >= limits.chunk || gone.frames >= limits.frames {
                return Put::More;
            }
        }
    }

    /// The session is over: all streams are, and whoever produces them is to be woken.
    pub(crate) fn clear(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.streams.drain().filter_map(|(_, stream)| stream.waker));
        self.blocked.clear();
        self.tails.clear();
        self.queued = 0;
    }

    pub(crate) fn ids(&self) -> Vec<TransferId> {
        self.streams.keys().copied().collect()
    }

    /// Whether the counts of all together are those of each.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        for (id, stream) in &self.streams {
            let whole: usize = stream.items.iter().map(|item| item.bytes.len() + ITEM).sum();
            let rest = stream.under_way.as_ref().map_or(0, |item| item.bytes.len());
            assert_eq!(stream.queued, whole + rest, "what waits of stream {id}");
        }
        assert!(self.blocked.len() <= 2 * MOST_GONE + 3 * self.streams.len(), "ended streams that waited for credit");
        assert_eq!(self.queued, self.streams.values().map(|stream| stream.queued).sum::<usize>(), "what waits of all");
    }
}

/// What stopping a stream leaves to be done.
pub(crate) struct Stopped {
    /// A long item was under way: it must be aborted.
    pub(crate) under_way: bool,
    /// Of the budget of transfers.
    pub(crate) transfers: usize,
    /// The stream waits for its turn from now on.
    pub(crate) turn: bool,
    pub(crate) waker: Option<Waker>,
}

/// What new credit leads to.
#[derive(Default)]
pub(crate) struct Granted {
    /// Streams that wait for their turn again.
    pub(crate) turns: Vec<TransferId>,
    pub(crate) waker: Option<Waker>,
    /// Its reader has read more than it had said.
    pub(crate) progress: bool,
}

/// What a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    Reader,
    Producer,
}

fn add(credit: &mut i64, more: u64, id: TransferId) -> Result<(), ProtocolError> {
    let sum = i64::try_from(more).ok().and_then(|more| credit.checked_add(more));
    *credit = sum.filter(|sum| *sum <= MAX_CREDIT).ok_or_else(|| overflow(id))?;
    Ok(())
}

/// What an end takes beside its frame.
fn end_len(end: &StreamEnd) -> usize {
    match end {
        Ok(()) => 0,
        Err(StreamError::Fault(fault)) => fault.len(),
        Err(StreamError::Status(status)) => status.message().len() + status.details().len(),
    }
}

/// A reader says how far it is. True if that is further than it was.
fn note_read(id: TransferId, before: &mut u64, sent: u64, read: u64) -> Result<bool, ProtocolError> {
    if read > sent {
        let message = format!("{read} items of stream {id} were reported read, but {sent} were sent");
        return Err(ProtocolError::new(message));
    }
    Ok(mem::replace(before, read.max(*before)) < read)
}

fn overflow(id: TransferId) -> ProtocolError {
    ProtocolError::new(format!("so much credit came for stream {id} that it cannot be counted"))
}
