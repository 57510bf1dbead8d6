//! The streams that are produced here: items that wait, and the credit to send them.

use std::{collections::VecDeque, mem, task::Waker};

use foldhash::HashMap;

use super::{Credit, ITEM, MAX_CREDIT, StreamEnd, StreamRoom, signed, weight};
use crate::{
    error::ProtocolError,
    proto::{
        slots::CallKey,
        writer::{CHUNK_FRAME, PacketWriter},
    },
    wire::{Frame, Payload, PeerLimits, Rope, TransferId},
};

/// All streams that are produced here.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    streams: HashMap<TransferId, Stream>,
    /// Bytes that the reader takes of all streams together.
    credit: i64,
    /// Streams whose turn had come when there was no credit for all together; some may go on by now.
    blocked: VecDeque<TransferId>,
    /// What waits to be sent, of all streams, in bytes and [`ITEM`] for each item.
    queued: usize,
}

#[derive(Debug)]
struct Stream {
    /// The call whose argument it is, until that has ended well.
    owner: Option<CallKey>,
    /// The frame that tells of it has gone.
    announced: bool,
    items: VecDeque<Item>,
    /// What of it waits to be sent.
    queued: usize,
    /// The rest of a long item, and what its producer holds for it.
    under_way: Option<Item>,
    end: Option<StreamEnd>,
    credit_items: u64,
    credit_bytes: i64,
    /// Items that have gone, and those that have been read: where they are the same, one may go whatever the credit of all streams together.
    sent: u64,
    read: u64,
    /// It waits for its turn, or for credit of all together.
    in_turn: bool,
    /// It waits for credit of all together.
    is_blocked: bool,
    /// It is among the blocked ones.
    listed: bool,
    /// Its producer waits for credit or room, and not for something to send.
    waits: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Item {
    bytes: Rope,
    /// What its producer holds of the budget of transfers.
    charge: u32,
}

/// What a stream's turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It has more to send, in its next turn.
    More,
    /// Its next frame does not fit into what is left.
    Full,
    /// It has nothing to send, or may not; others may have.
    Idle,
    /// It has ended.
    Ended,
}

/// What a turn gave back.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) frames: usize,
    /// Of the budget of transfers.
    pub(crate) transfers: usize,
    pub(crate) wake: Option<Waker>,
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
        let stream = Stream {
            owner,
            announced: false,
            items: VecDeque::new(),
            queued: 0,
            under_way: None,
            end: None,
            credit_items: u64::from(limits.stream_items),
            credit_bytes: signed(limits.stream_bytes),
            sent: 0,
            read: 0,
            in_turn: false,
            is_blocked: false,
            listed: false,
            waits: false,
            waker: None,
        };
        self.streams.insert(id, stream);
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
        self.streams.get(&id)?.owner
    }

    /// The call has ended well: its streams are on their own.
    pub(crate) fn disown(&mut self, id: TransferId) {
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
        let stream = self.streams.get_mut(&id)?;
        let under_way = stream.under_way.is_some();
        let transfers = stream.charges();
        // An end that was queued holds for all that came before it, or not at all.
        if under_way || !stream.items.is_empty() || stream.end.is_none() {
            stream.end = Some(end);
        }
        stream.items.clear();
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
                left -= self.streams.get(&id).map_or(0, Stream::next_weight);
                granted.turns.push(id);
            }
            return Ok(granted);
        }
        if id > highest {
            return Err(ProtocolError::new(format!("credit came for stream {id}, which was never opened")));
        }
        // It may have ended meanwhile.
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(Granted::default()) };
        if credit.read > stream.sent {
            return Err(ProtocolError::new(format!(
                "{} items of stream {id} were reported read, but {} were sent",
                credit.read, stream.sent
            )));
        }
        stream.read = stream.read.max(credit.read);
        add(&mut stream.credit_bytes, credit.bytes, id)?;
        stream.credit_items = stream
            .credit_items
            .checked_add(credit.items)
            .filter(|items| *items <= MAX_CREDIT.unsigned_abs())
            .ok_or_else(|| overflow(id))?;
        let mut granted = Granted { turns: Vec::new(), waker: stream.wake() };
        granted.turns.extend(mem::take(&mut stream.is_blocked).then_some(id));
        Ok(granted)
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
                if self.credit <= 0 && (long || stream.read < stream.sent) {
                    stream.is_blocked = true;
                    if !mem::replace(&mut stream.listed, true) {
                        self.blocked.push_back(id);
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
            } else if let Some(end) = stream.end.take() {
                out.put(&Frame::End { stream: id, error: end.err().map(Into::into) });
                gone.frames += 1;
                gone.wake = gone.wake.take().or_else(|| stream.waker.take());
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
        assert_eq!(self.queued, self.streams.values().map(|stream| stream.queued).sum::<usize>(), "what waits of all");
    }
}

/// What a stream may write in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) left: usize,
    pub(crate) chunk: usize,
    pub(crate) frames: usize,
    pub(crate) first: bool,
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
}

impl Stream {
    fn takes(&self, queue: usize, room: bool) -> bool {
        let queue = if room { queue } else { 1 };
        self.credit_items > 0 && self.credit_bytes > 0 && self.queued < queue
    }

    /// What it takes if it takes something.
    fn room(&self, queue: usize) -> StreamRoom {
        let count = |credit: i64| usize::try_from(credit).unwrap_or(0);
        let items = usize::try_from(self.credit_items).unwrap_or(usize::MAX);
        StreamRoom { items, bytes: count(self.credit_bytes).min(queue.saturating_sub(self.queued)).max(1) }
    }

    /// Whether it joins those that wait for their turn.
    fn wants_turn(&mut self) -> bool {
        let wants = self.announced && !self.in_turn && (!self.items.is_empty() || self.end.is_some());
        self.in_turn |= wants;
        wants
    }

    /// What its next item takes of the credit.
    fn next_weight(&self) -> i64 {
        self.items.front().map_or(0, |item| weight(item.bytes.len() as u64))
    }

    /// Its producer, if it waits for credit or room.
    fn wake(&mut self) -> Option<Waker> {
        if mem::take(&mut self.waits) { self.waker.take() } else { None }
    }

    fn charges(&self) -> usize {
        self.items.iter().chain(&self.under_way).map(|item| item.charge as usize).sum()
    }
}

fn add(credit: &mut i64, more: u64, id: TransferId) -> Result<(), ProtocolError> {
    let sum = i64::try_from(more).ok().and_then(|more| credit.checked_add(more));
    *credit = sum.filter(|sum| *sum <= MAX_CREDIT).ok_or_else(|| overflow(id))?;
    Ok(())
}

fn overflow(id: TransferId) -> ProtocolError {
    ProtocolError::new(format!("so much credit came for stream {id} that it cannot be counted"))
}
