//! Who may queue items: a producer claims shared credit and room before it makes an item, so that every item made can
//! go. The producers' part of [`SendStreams`] is here as well.

use std::{collections::VecDeque, mem, task::Waker};

use super::{
    ITEM, SendStream, SendStreams, StreamRoom,
    send_stream::{Item, ProducerState, TurnState},
};
use crate::{
    proto::shrink::{shrink_line, trim_line},
    wire::{Rope, TransferId},
};

/// A queue may have this many entries of producers that wait no longer, and two more for each stream.
const MAX_STALE_ENTRIES: usize = 16;

/// What a producer waits for that all streams share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Room in the queue of what waits to be sent.
    Room,
    /// Shared credit.
    Credit,
    /// More shared credit than the stream's share of what is left.
    Share,
}

/// A producer may queue nothing now, and waits.
#[derive(Clone, Copy, Debug)]
struct MustWait {
    /// Whether the producer's queue may have many stale entries.
    is_crowded: bool,
}

/// What a producer has claimed, in bytes: of shared credit, and of room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    pub(super) credit: usize,
    pub(super) room: usize,
}

/// What all producers share, which is the shared credit and the room for what waits, and who waits for a part of it.
/// All amounts are bytes, with [`ITEM`] for each item.
#[derive(Debug, Default)]
pub(super) struct SharedCredit {
    /// Credit of all streams together, which is the other side's to grant.
    pub(super) credit: i64,
    /// The part of that credit that is promised to queued items and to claims.
    pub(super) promised: i64,
    /// The credit is scarce when no more than this is left; then only streams whose readers keep up get more of it.
    pub(super) scarce: i64,
    /// The credit that one stream begins with. What a stream lacks of it is taken to be unread, while credit is scarce.
    pub(super) window: i64,
    /// What waits to be sent, of all streams.
    pub(super) queued: usize,
    /// The part of `queued` in items longer than a chunk, which the budget of transfers bounds.
    pub(super) long: usize,
    /// The part of `queued`, without long items, of blocked streams.
    pub(super) stuck: usize,
    /// Room that is claimed and not used yet, without long items.
    pub(super) claimed: usize,
    /// The bound on what waits to be sent, of all streams together without long items.
    pub(super) room: usize,
    /// The bound on what waits of one stream, and the length beyond which an item is long.
    pub(super) chunk: usize,
    waiting: [ClaimQueue; 3],
    last_ticket: u64,
}

/// Producers that wait for the same, in their order. An entry is stale if its producer has another ticket or none.
#[derive(Debug, Default)]
struct ClaimQueue(VecDeque<(TransferId, u64)>);

impl ClaimQueue {
    /// Whether the queue is much longer than there are streams.
    fn is_crowded(&self, streams: usize) -> bool {
        self.0.len() > MAX_STALE_ENTRIES + 2 * streams
    }
}

impl SharedCredit {
    /// Frees memory that a busy time needed.
    pub(super) fn trim(&mut self) {
        self.waiting.iter_mut().for_each(|queue| trim_line(&mut queue.0));
    }

    /// Shared credit that is not promised.
    fn free(&self) -> i64 {
        self.credit - self.promised
    }

    fn room_left(&self) -> usize {
        self.room.saturating_sub(self.queued - self.long - self.stuck + self.claimed)
    }

    /// What a claim of `bytes` takes, where the last item may go beyond by a chunk.
    fn size(&self, bytes: usize) -> usize {
        bytes.min(self.chunk) + self.chunk + ITEM
    }

    fn claim(&mut self, stream: &mut SendStream, credit: usize, room: usize) {
        stream.claim = Claim { credit, room };
        self.claimed += room;
        self.promised += signed(credit);
    }

    /// Gives a claim back. True if there was one.
    pub(super) fn release(&mut self, stream: &mut SendStream) -> bool {
        let Claim { credit, room } = mem::take(&mut stream.claim);
        self.claimed -= room;
        self.promised -= signed(credit);
        credit > 0
    }

    /// Decides anew how much a stream may queue, whose earlier claim is given back. If that is nothing, the producer
    /// waits. `streams` is the number of all streams.
    fn admit(
        &mut self,
        id: TransferId,
        stream: &mut SendStream,
        is_long: bool,
        streams: usize,
    ) -> Result<StreamRoom, MustWait> {
        self.release(stream);
        if !stream.takes(self.chunk) {
            stream.producer = ProducerState::WaitsForStream;
            return Err(MustWait { is_crowded: false });
        }
        stream.producer = ProducerState::Running;
        self.judge(stream, is_long).map_err(|wanted| self.wait(id, stream, wanted, streams))
    }

    /// How much a stream may queue now, or what its producer has to wait for.
    fn judge(&self, stream: &SendStream, is_long: bool) -> Result<StreamRoom, Wanted> {
        if self.room_left() == 0 && !is_long {
            return Err(Wanted::Room);
        }
        let free = self.free();
        if free <= 0 {
            // One short item may go without shared credit, if the reader has read everything.
            let may_go = stream.is_read() && !is_long;
            return if may_go { Ok(StreamRoom { items: 1, bytes: 1 }) } else { Err(Wanted::Credit) };
        }
        let (share, unread) = if free > self.scarce {
            (free, 0)
        } else {
            let unread = self.window.saturating_sub(stream.credit.bytes).max(0);
            (self.share(free, stream.read > 0), unread)
        };
        if unread > share && !stream.is_read() {
            return Err(Wanted::Share);
        }
        if self.stuck >= self.room {
            return Err(Wanted::Room);
        }
        let room = stream.room(self.chunk);
        let bytes = usize::try_from(share.saturating_sub(unread)).unwrap_or(0).max(1);
        Ok(StreamRoom { bytes: room.bytes.min(bytes), ..room })
    }

    /// How many bytes of a stream may be unread while credit is scarce: a quarter of what is left. For a stream of
    /// which nothing has been read, the share falls with the square of what is left, so that any number of such streams
    /// leaves something for streams that are read.
    fn share(&self, free: i64, is_being_read: bool) -> i64 {
        if is_being_read {
            return free / 4;
        }
        let (free, scarce) = (i128::from(free), i128::from(self.scarce.max(1)));
        i64::try_from(free * free / (scarce * 4)).unwrap_or(i64::MAX)
    }

    /// A producer waits for something that is shared.
    fn wait(&mut self, id: TransferId, stream: &mut SendStream, wanted: Wanted, streams: usize) -> MustWait {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        stream.producer = ProducerState::WaitsForShared { wanted, ticket };
        let queue = self.queue(wanted);
        queue.0.push_back((id, ticket));
        MustWait { is_crowded: queue.is_crowded(streams) }
    }

    fn queue(&mut self, wanted: Wanted) -> &mut ClaimQueue {
        match wanted {
            Wanted::Room => &mut self.waiting[0],
            Wanted::Credit => &mut self.waiting[1],
            Wanted::Share => &mut self.waiting[2],
        }
    }

    fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|queue| !queue.0.is_empty())
    }

    /// How many bytes there are of what is wanted.
    fn left(&self, wanted: Wanted) -> i64 {
        match wanted {
            Wanted::Room => signed(self.room_left()),
            Wanted::Credit => self.free(),
            Wanted::Share => self.free() - self.scarce,
        }
    }

    /// A stream waits for shared credit with all that it has queued.
    pub(super) fn block(&mut self, stream: &mut SendStream) {
        self.unblock(stream);
        let stuck = stream.queued - stream.long(self.chunk);
        stream.turn = TurnState::Blocked { stuck };
        self.stuck += stuck;
    }

    /// A stream may go on. True if it was blocked, and has to be put into the outbox.
    pub(super) fn unblock(&mut self, stream: &mut SendStream) -> bool {
        let TurnState::Blocked { stuck } = stream.turn else { return false };
        self.stuck -= stuck;
        stream.turn = TurnState::Listed;
        true
    }

    /// Takes what a stream has claimed and queued out of the counts. A blocked stream has nothing stuck from then on.
    pub(super) fn forget(&mut self, stream: &mut SendStream) {
        self.release(stream);
        self.stuck -= stream.stuck();
        if let TurnState::Blocked { stuck } = &mut stream.turn {
            *stuck = 0;
        }
        self.promised -= stream.promised();
        self.queued -= mem::take(&mut stream.queued);
        self.long -= stream.long(self.chunk);
    }

    /// Drops the next item of a stream, a long one, which its producer makes again. Gives what the producer held of the
    /// budget of transfers.
    pub(super) fn give_back(&mut self, stream: &mut SendStream) -> usize {
        let Some(item) = stream.items.pop_front() else { return 0 };
        let (queued, amount) = (item.queued(), item.amount());
        stream.queued -= queued;
        self.queued -= queued;
        self.long -= queued;
        self.promised -= amount.bytes;
        stream.credit += amount;
        stream.is_long_item_returned = true;
        stream.wait_for_stream();
        item.charge as usize
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl SendStreams {
    /// Claims what a stream takes now, until its producer calls [`Self::push`] or [`Self::idle`]. If that is nothing,
    /// `waker` is woken when the stream takes something. `None` if the stream has ended.
    pub(crate) fn poll(
        &mut self,
        id: TransferId,
        waker: &Waker,
        stale_wakers: &mut Vec<Waker>,
        wakes: &mut Vec<Waker>,
    ) -> Option<StreamRoom> {
        let count = self.streams.len();
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        stream.set_waker(waker, stale_wakers);
        let shared = &mut self.shared;
        match shared.admit(id, stream, false, count) {
            Ok(room) => {
                // One byte stands for one short item, of whatever length up to a chunk.
                let size = if room.bytes == 1 { shared.chunk + ITEM } else { shared.size(room.bytes) };
                shared.claim(stream, size, size);
                Some(room)
            }
            Err(MustWait { is_crowded }) => {
                self.compact_if(is_crowded);
                // Another producer that waits for the same may get what this one may not.
                self.pass_on(wakes);
                Some(StreamRoom::default())
            }
        }
    }

    /// Claims what a long item of this length takes, as [`Self::poll`] does. False if the producer has to wait.
    pub(crate) fn claim_long(
        &mut self,
        id: TransferId,
        len: usize,
        waker: &Waker,
        stale_wakers: &mut Vec<Waker>,
        wakes: &mut Vec<Waker>,
    ) -> Option<bool> {
        let count = self.streams.len();
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        stream.set_waker(waker, stale_wakers);
        let admitted = self.shared.admit(id, stream, true, count);
        match admitted {
            Ok(_) => self.shared.claim(stream, len + ITEM, 0),
            Err(MustWait { is_crowded }) => self.compact_if(is_crowded),
        }
        self.pass_on(wakes);
        Some(admitted.is_ok())
    }

    /// A producer has nothing to queue at the moment, and its claim goes to others. `waker` is woken when the stream
    /// ends. False if the stream has ended.
    pub(crate) fn idle(
        &mut self,
        id: TransferId,
        waker: &Waker,
        stale_wakers: &mut Vec<Waker>,
        wakes: &mut Vec<Waker>,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        stream.set_waker(waker, stale_wakers);
        if self.shared.release(stream) {
            self.pass_on(wakes);
        }
        true
    }

    /// Sees to it that `waker` is woken when the stream ends. False if the stream has ended.
    pub(crate) fn watch(&mut self, id: TransferId, waker: &Waker, stale_wakers: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        stream.set_waker(waker, stale_wakers);
        true
    }

    /// Queues items: those that were claimed, and others as far as there is credit and room; the rest is left. True if
    /// the stream has to be put into the outbox. `None` if the stream has ended.
    pub(crate) fn push(
        &mut self,
        id: TransferId,
        items: &mut VecDeque<(Rope, u32)>,
        wakes: &mut Vec<Waker>,
    ) -> Option<bool> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.end.is_none())?;
        let shared = &mut self.shared;
        let claimed = shared.release(stream);
        while stream.takes(shared.chunk) && (claimed || shared.judge(stream, false).is_ok()) {
            let Some((bytes, charge)) = items.pop_front() else { break };
            let item = Item { bytes, charge };
            let (queued, amount) = (item.queued(), item.amount());
            stream.credit -= amount;
            stream.queued += queued;
            shared.queued += queued;
            shared.long += if item.bytes.len() > shared.chunk { queued } else { 0 };
            shared.promised += amount.bytes;
            stream.items.push_back(item);
        }
        let turn = stream.wants_turn();
        self.pass_on(wakes);
        Some(turn)
    }

    /// Wakes producers that wait for something that there is by now, as many as can get a part of it.
    pub(crate) fn pass_on(&mut self, wakes: &mut Vec<Waker>) {
        if !self.shared.is_awaited() {
            return;
        }
        let each = signed(self.shared.size(usize::MAX));
        for wanted in [Wanted::Room, Wanted::Credit, Wanted::Share] {
            let mut left = self.shared.left(wanted);
            while left > 0 {
                let Some((id, ticket)) = self.shared.queue(wanted).0.pop_front() else { break };
                let stream = self.streams.get_mut(&id).filter(|stream| stream.ticket() == Some(ticket));
                let Some(stream) = stream else { continue };
                if let Some(waker) = stream.wake() {
                    wakes.push(waker);
                    left -= each;
                }
            }
        }
    }

    /// As [`Self::compact_if`], after a stream has ended. Frees the memory of queues that were long once.
    pub(super) fn forget_stale(&mut self) {
        let streams = self.streams.len();
        self.compact_if(self.shared.waiting.iter().any(|queue| queue.is_crowded(streams)));
        self.shared.waiting.iter_mut().for_each(|queue| shrink_line(&mut queue.0));
    }

    /// Drops stale entries of all queues, if there may be many.
    fn compact_if(&mut self, is_crowded: bool) {
        if !is_crowded {
            return;
        }
        let streams = &self.streams;
        for queue in &mut self.shared.waiting {
            queue.0.retain(|(id, ticket)| streams.get(id).is_some_and(|stream| stream.ticket() == Some(*ticket)));
        }
    }

    /// Tests that stale entries are bounded.
    #[cfg(test)]
    pub(super) fn check_queues(&self) {
        for queue in &self.shared.waiting {
            assert!(
                queue.0.len() <= 2 * MAX_STALE_ENTRIES + 3 * self.streams.len(),
                "producers that have stopped waiting"
            );
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
