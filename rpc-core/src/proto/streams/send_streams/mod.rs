//! The streams that are produced here: their opening, their turns, the credit that comes in, and their ends. What a
//! producer calls to claim credit and to queue items (`poll`, `claim_long`, `push`, `idle`, `watch`) is in `producers`.

mod producers;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, LazyLock},
    task::Waker,
};

use foldhash::HashMap;

use super::{
    Credit, MAX_CREDIT, SCARCE, StreamEnd,
    claims::SharedSupply,
    send_stream::{SendStream, TurnState},
    signed,
    turn::{LongState, Turn, TurnLimits, TurnOutput, TurnResult},
};
use crate::{
    config::Config,
    error::{ProtocolError, StreamViolation},
    proto::{
        rare::Rarely,
        shrink::{trim_line, trim_table},
        slots::CallKey,
        writer::PacketWriter,
    },
    wire::{PeerLimits, TransferId},
};

/// The list of blocked streams may have this many entries of streams that have ended, and two more for each stream.
const MAX_ENDED_ENTRIES: usize = 16;

/// All streams that are produced here.
#[derive(Debug, Default)]
pub(crate) struct SendStreams {
    pub(super) streams: HashMap<TransferId, SendStream>,
    pub(super) shared: SharedSupply,
    /// Streams that were blocked in their turn for want of shared credit, in that order. Streams that go on by now, or
    /// have ended, may be among them.
    blocked: VecDeque<TransferId>,
    /// Streams that have been sent to their end and not read to it, of calls that go on.
    tails: HashMap<TransferId, Tail>,
}

/// A stream that has been sent to its end: how many items were sent, and how many of these are read.
#[derive(Debug)]
struct Tail {
    owner: CallKey,
    sent: u64,
    read: u64,
}

/// What is known while no stream is produced here.
#[derive(Debug, Default)]
pub(crate) struct SendTerms {
    /// What the other side announced, once it has, and how this side is configured.
    agreed: Option<(Arc<PeerLimits>, Config)>,
    /// Credit of all streams together.
    credit: i64,
}

impl SendTerms {
    pub(crate) fn new(limits: &Arc<PeerLimits>, config: &Config) -> Self {
        Self { credit: signed(limits.streams_bytes), agreed: Some((Arc::clone(limits), config.clone())) }
    }
}

impl Rarely for SendStreams {
    type Terms = SendTerms;

    fn none() -> &'static Self {
        static NONE: LazyLock<SendStreams> = LazyLock::new(SendStreams::default);
        &NONE
    }

    fn begin(terms: &SendTerms) -> Self {
        let mut streams = Self::default();
        streams.obey(terms);
        streams
    }

    fn can_go(&self, terms: &mut SendTerms) -> bool {
        terms.credit = self.shared.credit;
        // Who waits among the producers is stale if there is no stream.
        self.streams.is_empty() && self.tails.is_empty()
    }
}

impl SendStreams {
    /// The other side has announced its limits, if it has. Until then nothing can be sent.
    pub(crate) fn obey(&mut self, terms: &SendTerms) {
        if let Some((limits, config)) = &terms.agreed {
            let chunk = usize::try_from(limits.chunk).unwrap_or(usize::MAX).min(config.chunk());
            self.set_limits(limits, chunk, config.streams_window().min(config.item_memory()));
            self.shared.credit = terms.credit;
        }
    }

    /// Takes what the other side announced, the length of a chunk, and how many bytes may wait to be sent.
    pub(super) fn set_limits(&mut self, limits: &PeerLimits, chunk: usize, room: usize) {
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

    pub(crate) fn open(&mut self, id: TransferId, owner: Option<CallKey>, limits: &PeerLimits, window: u32) {
        self.streams.insert(id, SendStream::new(owner, limits, window));
    }

    /// The frame that opens a stream goes out, and items may follow. True if the stream has to be put into the outbox.
    pub(crate) fn announce(&mut self, id: TransferId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        if stream.turn == TurnState::Unannounced {
            stream.turn = TurnState::Idle;
        }
        stream.wants_turn()
    }

    /// The frame that would have opened a stream does not go. Gives what the producer held of the budget of transfers,
    /// and the producer's waker.
    pub(crate) fn forget(&mut self, id: TransferId) -> (usize, Option<Waker>) {
        let Some(mut stream) = self.streams.remove(&id) else { return (0, None) };
        self.shared.forget(&mut stream);
        self.forget_stale();
        (stream.charges(), stream.waker)
    }

    /// How far the long item that was queued last has got. `waker` is woken when that changes. `None` if the stream has
    /// ended.
    pub(crate) fn poll_long(
        &mut self,
        id: TransferId,
        waker: &Waker,
        stale_wakers: &mut Vec<Waker>,
    ) -> Option<LongState> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        if mem::take(&mut stream.is_long_item_returned) {
            return Some(LongState::Returned);
        }
        if stream.items.is_empty() {
            return Some(LongState::Gone);
        }
        stream.wait_for_stream();
        stream.set_waker(waker, stale_wakers);
        Some(LongState::Waits)
    }

    /// The call that a stream is an argument of.
    pub(crate) fn owner(&self, id: TransferId) -> Option<CallKey> {
        match self.streams.get(&id) {
            Some(stream) => stream.owner,
            None => self.tails.get(&id).map(|tail| tail.owner),
        }
    }

    /// Whether a stream waits for its reader or for its producer; `None` if the stream has been read to its end.
    pub(crate) fn waits_for(&self, id: TransferId) -> Option<WaitsFor> {
        match self.streams.get(&id) {
            Some(stream) if stream.is_producer_waiting() || !stream.items.is_empty() => Some(WaitsFor::Reader),
            Some(_) => Some(WaitsFor::Producer),
            None => self.tails.get(&id).filter(|tail| tail.read < tail.sent).map(|_| WaitsFor::Reader),
        }
    }

    /// The call that a stream is an argument of has ended well, and the stream goes on without it.
    pub(crate) fn disown(&mut self, id: TransferId) {
        self.tails.remove(&id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.owner = None;
        }
    }

    /// Ends a stream after what is queued. True if the stream has to be put into the outbox.
    pub(crate) fn finish(&mut self, id: TransferId, end: StreamEnd, wakes: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        stream.end = Some(end);
        let turn = stream.wants_turn();
        if self.shared.release(stream) {
            self.pass_on(wakes);
        }
        turn
    }

    /// Ends a stream now, and drops what is queued. `None` if there is no such stream.
    pub(crate) fn stop(&mut self, id: TransferId, end: StreamEnd) -> Option<Stopped> {
        self.tails.remove(&id);
        let stream = self.streams.get_mut(&id)?;
        let under_way = stream.under_way.is_some();
        let transfers = stream.charges();
        // An earlier end stands only if all items before it have gone.
        if under_way || !stream.items.is_empty() || stream.end.is_none() {
            stream.end = Some(end);
        }
        self.shared.forget(stream);
        stream.items.clear();
        stream.is_long_item_returned = false;
        stream.under_way = None;
        let turn = self.shared.unblock(stream) || stream.wants_turn();
        Some(Stopped { under_way, transfers, turn, waker: stream.waker.take() })
    }

    /// The reader grants more credit, of a stream or of all streams together (0). `highest` is the last number that was
    /// given to a stream.
    pub(crate) fn grant(
        &mut self,
        id: TransferId,
        credit: Credit,
        highest: TransferId,
    ) -> Result<Granted, ProtocolError> {
        if id == 0 {
            return self.grant_shared(credit.bytes);
        }
        if id > highest {
            return Err(StreamViolation::CreditForUnopened { stream: id }.into());
        }
        let Some(stream) = self.streams.get_mut(&id) else { return self.grant_tail(id, credit.read) };
        let progress = note_read(id, &mut stream.read, stream.sent, credit.read)?;
        add(&mut stream.credit.bytes, credit.bytes, id)?;
        add(&mut stream.credit.items, credit.items, id)?;
        let mut granted = Granted { turns: Vec::new(), waker: stream.wake(), progress };
        granted.turns.extend(self.shared.unblock(stream).then_some(id));
        Ok(granted)
    }

    /// The reader grants shared credit: as many blocked streams go on as the credit is enough for.
    fn grant_shared(&mut self, bytes: u64) -> Result<Granted, ProtocolError> {
        add(&mut self.shared.credit, bytes, 0)?;
        let (mut granted, mut left) = (Granted::default(), self.shared.credit);
        while left > 0 {
            let Some(id) = self.unblock() else { break };
            left -= self.streams.get(&id).map_or(0, SendStream::next_weight);
            granted.turns.push(id);
        }
        Ok(granted)
    }

    /// The stream has ended here: no credit is left to grant, but the reader goes on.
    fn grant_tail(&mut self, id: TransferId, read: u64) -> Result<Granted, ProtocolError> {
        let Some(tail) = self.tails.get_mut(&id) else { return Ok(Granted::default()) };
        let progress = note_read(id, &mut tail.read, tail.sent, read)?;
        Ok(Granted { progress, ..Granted::default() })
    }

    /// Whether [`Self::unblock`] may find a stream.
    pub(crate) fn has_unblocked(&self) -> bool {
        self.shared.credit > 0 && !self.blocked.is_empty()
    }

    /// The stream that has been blocked for longest, if there is shared credit.
    pub(crate) fn unblock(&mut self) -> Option<TransferId> {
        while self.shared.credit > 0 {
            let id = self.blocked.pop_front()?;
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.is_in_blocked_list = false;
            if self.shared.unblock(stream) {
                return Some(id);
            }
        }
        None
    }

    /// Writes what a stream may send in one turn.
    pub(crate) fn put(
        &mut self,
        id: TransferId,
        out: &mut PacketWriter<'_>,
        limits: TurnLimits,
        output: &mut TurnOutput,
    ) -> TurnResult {
        self.forget_ended();
        let Some(stream) = self.streams.get_mut(&id) else { return TurnResult::Idle };
        let result = Turn::new(id, out, limits, output).write(stream, &mut self.shared);
        if stream.is_blocked() && !mem::replace(&mut stream.is_in_blocked_list, true) {
            self.blocked.push_back(id);
        }
        if result == TurnResult::Ended {
            if let Some(owner) = stream.owner.filter(|_| stream.read < stream.sent) {
                self.tails.insert(id, Tail { owner, sent: stream.sent, read: stream.read });
            }
            self.streams.remove(&id);
            self.forget_stale();
        }
        result
    }

    /// Drops the blocked entries of streams that have ended, if there are many.
    fn forget_ended(&mut self) {
        if self.blocked.len() > MAX_ENDED_ENTRIES + 2 * self.streams.len() {
            self.blocked.retain(|id| self.streams.contains_key(id));
        }
    }

    /// Frees memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        self.shared.trim();
        self.streams.values_mut().for_each(|stream| trim_line(&mut stream.items));
        trim_table(&mut self.streams);
        trim_table(&mut self.tails);
        trim_line(&mut self.blocked);
    }

    /// Drops the stale entries of all lists that have many, after a stream has ended.
    fn forget_stale(&mut self) {
        self.forget_ended();
        self.shared.forget_crowd(&self.streams);
    }

    /// The session is over, and all streams with it; their producers are to be woken.
    pub(crate) fn clear(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.streams.drain().filter_map(|(_, stream)| stream.waker));
        self.blocked.clear();
        self.tails.clear();
        self.shared.clear();
    }

    pub(crate) fn ids(&self) -> Vec<TransferId> {
        self.streams.keys().copied().collect()
    }

    /// Tests that the shared counts are the sums over the streams, and the invariants of each stream.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        self.streams.values().for_each(SendStream::check);
        self.shared.check_queues(self.streams.len());
        let room = self.streams.values().map(|stream| stream.claim.room).sum::<usize>();
        let long = self.streams.values().map(|stream| stream.long(self.shared.chunk)).sum::<usize>();
        assert_eq!((self.shared.claimed, self.shared.long), (room, long), "what is claimed, and long items");
        let stuck = self.streams.values().map(SendStream::stuck).sum::<usize>();
        assert_eq!(self.shared.stuck, stuck, "what waits for credit");
        let claimed = self.streams.values().map(|stream| stream.claim.credit).sum::<usize>();
        let promised = self.streams.values().map(SendStream::promised).sum::<i64>();
        assert_eq!(self.shared.promised, promised + i64::try_from(claimed).unwrap_or(i64::MAX), "what is promised");
        assert!(
            self.blocked.len() <= 2 * MAX_ENDED_ENTRIES + 3 * self.streams.len(),
            "ended streams that waited for credit"
        );
        assert_eq!(
            self.shared.queued,
            self.streams.values().map(|stream| stream.queued).sum::<usize>(),
            "what waits of all"
        );
    }
}

/// What stopping a stream leaves to be done.
pub(crate) struct Stopped {
    /// Whether a long item was under way, and must be aborted.
    pub(crate) under_way: bool,
    /// The bytes that the producer held of the budget of transfers.
    pub(crate) transfers: usize,
    /// Whether the stream has to be put into the outbox.
    pub(crate) turn: bool,
    pub(crate) waker: Option<Waker>,
}

/// What has to be done after new credit has come.
#[derive(Default)]
pub(crate) struct Granted {
    /// Streams that have to be put into the outbox again.
    pub(crate) turns: Vec<TransferId>,
    pub(crate) waker: Option<Waker>,
    /// Whether the reader has read more than it had reported.
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
    *credit = sum.filter(|sum| *sum <= MAX_CREDIT).ok_or(StreamViolation::CreditTooLarge { stream: id })?;
    Ok(())
}

/// A reader reports how many items it has read. True if these are more than before.
fn note_read(id: TransferId, before: &mut u64, sent: u64, read: u64) -> Result<bool, ProtocolError> {
    if read > sent {
        return Err(StreamViolation::ReadMoreThanSent { stream: id, read, sent }.into());
    }
    Ok(mem::replace(before, read.max(*before)) < read)
}
