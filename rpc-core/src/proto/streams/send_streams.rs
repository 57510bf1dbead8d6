//! The streams that are produced here: items that wait, and the credit to send them.

use std::{collections::VecDeque, mem, task::Waker};

use foldhash::HashMap;

use super::{
    Credit, ITEM, MAX_CREDIT, SCARCE, StreamEnd, StreamError,
    claims::SharedCredit,
    send_stream::SendStream,
    signed,
    turn::{LongState, TurnLimits, TurnOutput, TurnResult},
    weight,
};
use crate::{
    error::ProtocolError,
    proto::{
        shrink::{shrink_line, shrink_table},
        slots::CallKey,
        writer::{CHUNK_FRAME, PacketWriter},
    },
    wire::{Frame, Payload, PeerLimits, TransferId},
};

/// Among the streams that wait for credit there may still be this many that have ended, and twice as many as there are
/// streams.
const MOST_GONE: usize = 16;

/// All streams that are produced here.
#[derive(Debug, Default)]
pub(crate) struct SendStreams {
    pub(super) streams: HashMap<TransferId, SendStream>,
    pub(super) shared: SharedCredit,
    /// Streams whose turn had come when there was no credit for all together; some may go on by now.
    blocked: VecDeque<TransferId>,
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

impl SendStreams {
    /// What the other side announced; how long a chunk is, and how many bytes may wait to be sent.
    pub(crate) fn set_limits(&mut self, limits: &PeerLimits, chunk: usize, room: usize) {
        let shared = &mut self.shared;
        shared.credit = signed(limits.streams_bytes);
        shared.scarce = shared.credit / SCARCE;
        shared.window = signed(limits.stream_bytes);
        (shared.chunk, shared.room) = (chunk, room);
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.shared.queued
    }

    pub(crate) fn open(&mut self, id: TransferId, owner: Option<CallKey>, limits: &PeerLimits) {
        self.streams.insert(id, SendStream::new(owner, limits));
    }

    /// The frame that tells of it goes out: from now on its items may. True if some wait already.
    pub(crate) fn announce(&mut self, id: TransferId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        stream.announced = true;
        stream.wants_turn()
    }

    /// The frame that would have told of it will not go.
    pub(crate) fn forget(&mut self, id: TransferId) -> (usize, Option<Waker>) {
        let Some(mut stream) = self.streams.remove(&id) else { return (0, None) };
        self.shared.forget(&mut stream);
        self.shrink();
        (stream.charges(), stream.waker)
    }

    /// What became of a long item that was queued last. `waker` is woken when that changes. `None` if nobody wants more
    /// of the stream.
    pub(crate) fn poll_long(
        &mut self,
        id: TransferId,
        waker: &Waker,
        stale_wakers: &mut Vec<Waker>,
    ) -> Option<LongState> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        if mem::take(&mut stream.returned) {
            return Some(LongState::Returned);
        }
        if stream.items.is_empty() {
            return Some(LongState::Gone);
        }
        stream.waits = true;
        stream.set_waker(waker, stale_wakers);
        Some(LongState::Waits)
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
        shrink_table(&mut self.tails);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.owner = None;
        }
    }

    /// Ends a stream after what has been queued. True if it waits for its turn from now on.
    pub(crate) fn finish(&mut self, id: TransferId, end: StreamEnd, wakes: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        stream.end = Some(end);
        let turn = stream.wants_turn();
        if self.shared.release(stream) {
            self.pass_on(wakes);
        }
        turn
    }

    /// Ends a stream now; what has been queued is dropped. `None` if there is no such stream.
    pub(crate) fn stop(&mut self, id: TransferId, end: StreamEnd) -> Option<Stopped> {
        self.tails.remove(&id);
        let stream = self.streams.get_mut(&id)?;
        let under_way = stream.under_way.is_some();
        let transfers = stream.charges();
        // An end that was queued stands only if all items before it have gone.
        if under_way || !stream.items.is_empty() || stream.end.is_none() {
            stream.end = Some(end);
        }
        self.shared.forget(stream);
        stream.items.clear();
        stream.returned = false;
        stream.under_way = None;
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
            add(&mut self.shared.credit, credit.bytes, id)?;
            // As many as it will do for: others would look at it in vain.
            let (mut granted, mut left) = (Granted::default(), self.shared.credit);
            while left > 0 {
                let Some(id) = self.unblock() else { break };
                left -= self.streams.get(&id).map_or(0, SendStream::next_weight);
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
        granted.turns.extend(self.shared.unblock(stream).then_some(id));
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
        self.shared.credit > 0 && !self.blocked.is_empty()
    }

    /// The stream that has waited longest for credit of all together, if there is some.
    pub(crate) fn unblock(&mut self) -> Option<TransferId> {
        while self.shared.credit > 0 {
            let id = self.blocked.pop_front()?;
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.listed = false;
            if self.shared.unblock(stream) {
                return Some(id);
            }
        }
        None
    }

    /// Writes what a stream may send in one turn: up to about `chunk` bytes, and no frame that is longer than `left`.
    /// `first` says that one must go whatever is left.
    pub(crate) fn put(
        &mut self,
        id: TransferId,
        out: &mut PacketWriter<'_>,
        limits: TurnLimits,
        gone: &mut TurnOutput,
    ) -> TurnResult {
        self.forget_gone();
        let Some(stream) = self.streams.get_mut(&id) else { return TurnResult::Idle };
        let begin = out.len();
        let written = |out: &PacketWriter<'_>| out.len() - begin;
        loop {
            let left = limits.left.saturating_sub(written(out));
            let fits = |len: usize| len + CHUNK_FRAME <= left || (limits.first && written(out) == 0);
            if let Some(item) = &mut stream.under_way {
                let size = limits.chunk.min(item.bytes.len());
                if !fits(size) {
                    return TurnResult::Full;
                }
                let data = item.bytes.split_to(size);
                stream.queued -= size;
                self.shared.queued -= size;
                self.shared.long -= size;
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
                    return TurnResult::Full;
                }
                if self.shared.credit <= 0 && long {
                    // It would hold what calls wait for until readers have read: it is made again when there is credit.
                    gone.transfers += self.shared.give_back(stream);
                    stream.in_turn = false;
                    gone.wake = gone.wake.take().or_else(|| stream.wake());
                    return TurnResult::Idle;
                }
                if self.shared.credit <= 0 && stream.read < stream.sent {
                    self.shared.block(stream);
                    if !mem::replace(&mut stream.listed, true) {
                        self.blocked.push_back(id);
                    }
                    return TurnResult::Idle;
                }
                stream.sent += 1;
                self.shared.credit -= weight(len as u64);
                self.shared.promised -= weight(len as u64);
                let Some(item) = stream.items.pop_front() else { return TurnResult::Idle };
                gone.frames += 1;
                stream.queued -= ITEM;
                self.shared.queued -= ITEM;
                if long {
                    self.shared.long -= ITEM;
                    let payload = Payload::announced(id, len as u64);
                    out.put(&Frame::Item { stream: id, payload });
                    stream.under_way = Some(item);
                } else {
                    gone.transfers += item.charge as usize;
                    stream.queued -= len;
                    self.shared.queued -= len;
                    out.put(&Frame::Item { stream: id, payload: item.bytes.into() });
                }
            } else if let Some(end) = &stream.end {
                if !fits(end.as_ref().err().map_or(0, StreamError::size)) {
                    return TurnResult::Full;
                }
                let error = stream.end.take().and_then(Result::err).map(Into::into);
                out.put(&Frame::End { stream: id, error });
                gone.frames += 1;
                gone.wake = gone.wake.take().or_else(|| stream.waker.take());
                if let Some(owner) = stream.owner.filter(|_| stream.read < stream.sent) {
                    self.tails.insert(id, Tail { owner, sent: stream.sent, read: stream.read });
                }
                self.streams.remove(&id);
                self.shrink();
                return TurnResult::Ended;
            } else {
                stream.in_turn = false;
                gone.wake = gone.wake.take().or_else(|| stream.wake());
                return TurnResult::Idle;
            }
            if stream.queued <= limits.chunk / 2 && gone.wake.is_none() {
                gone.wake = stream.wake();
            }
            if written(out) >= limits.chunk || gone.frames >= limits.frames {
                return TurnResult::More;
            }
        }
    }

    /// Forgets streams among the blocked that have ended meanwhile.
    fn forget_gone(&mut self) {
        if self.blocked.len() > MOST_GONE + 2 * self.streams.len() {
            self.blocked.retain(|id| self.streams.contains_key(id));
        }
    }

    /// A stream is gone.
    fn shrink(&mut self) {
        self.forget_gone();
        self.forget_stale();
        shrink_table(&mut self.streams);
        shrink_table(&mut self.tails);
        shrink_line(&mut self.blocked);
    }

    /// The session is over: all streams are, and their producers are to be woken.
    pub(crate) fn clear(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.streams.drain().filter_map(|(_, stream)| stream.waker));
        self.blocked.clear();
        self.tails.clear();
        self.shared.clear();
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
        self.check_queues();
        let room = self.streams.values().map(|stream| stream.claim.room).sum::<usize>();
        let long = self.streams.values().map(|stream| stream.long(self.shared.chunk)).sum::<usize>();
        assert_eq!((self.shared.claimed, self.shared.long), (room, long), "what is claimed, and long items");
        let stuck = self.streams.values().map(|stream| stream.stuck).sum::<usize>();
        assert_eq!(self.shared.stuck, stuck, "what waits for credit");
        let claimed = self.streams.values().map(|stream| stream.claim.size).sum::<usize>();
        let promised = self.streams.values().map(SendStream::promised).sum::<i64>();
        assert_eq!(self.shared.promised, promised + i64::try_from(claimed).unwrap(), "what is promised");
        assert!(self.blocked.len() <= 2 * MOST_GONE + 3 * self.streams.len(), "ended streams that waited for credit");
        assert_eq!(
            self.shared.queued,
            self.streams.values().map(|stream| stream.queued).sum::<usize>(),
            "what waits of all"
        );
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
