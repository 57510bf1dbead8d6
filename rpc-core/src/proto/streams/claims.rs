//! Who may queue items: a producer claims shared credit and room before it makes an item, so that every item made can
//! go.

use std::{collections::VecDeque, mem};

use foldhash::HashMap;

use super::{
    ITEM, SendStream, StreamRoom,
    send_stream::{ProducerState, TurnState},
};
use crate::{proto::shrink::trim_line, wire::TransferId};

/// A queue may have this many entries of producers that wait no longer, and two more for each stream.
const MAX_STALE_ENTRIES: usize = 16;

/// A thing that all streams share, and that a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Room in the queue of what waits to be sent.
    Room,
    /// Shared credit.
    Credit,
    /// More shared credit than the stream's share of what is left.
    Share,
}

/// The answer that a producer may queue nothing now, and has to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct MustWait {
    /// Whether the producer's queue may have many stale entries.
    pub(super) is_crowded: bool,
}

/// The bytes that a producer has claimed: of shared credit, and of room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    pub(super) credit: usize,
    pub(super) room: usize,
}

/// What all producers share, which is the shared credit and the room for what waits, and who waits for a part of it.
/// All amounts are bytes, with [`ITEM`] for each item.
#[derive(Debug, Default)]
pub(super) struct SharedSupply {
    /// Credit of all streams together, which is the other side's to grant.
    pub(super) credit: i64,
    /// The part of that credit that is promised to queued items and to claims.
    pub(super) promised: i64,
    /// The credit is scarce when no more than this is left; then only streams whose readers keep up get more of it.
    pub(super) scarce: i64,
    /// The credit that one stream begins with. While shared credit is scarce, what a stream lacks of this credit is
    /// taken to be unread.
    pub(super) window: i64,
    /// The bytes of all streams that wait to be sent.
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

impl SharedSupply {
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

    /// Whether blocked streams alone have as much queued as there is room for. While there is credit, they go again
    /// soon, and items that are queued beside them go at the same time.
    fn has_stuck_enough(&self) -> bool {
        self.stuck >= self.room
    }

    /// The most bytes that one woken producer may take.
    pub(super) fn largest_claim(&self) -> i64 {
        signed(self.size(usize::MAX))
    }

    /// The bytes that a claim of `bytes` takes: the last item may go beyond the claim by a chunk.
    pub(super) fn size(&self, bytes: usize) -> usize {
        bytes.min(self.chunk) + self.chunk + ITEM
    }

    pub(super) fn claim(&mut self, stream: &mut SendStream, credit: usize, room: usize) {
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
    pub(super) fn admit(
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
    pub(super) fn judge(&self, stream: &SendStream, is_long: bool) -> Result<StreamRoom, Wanted> {
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
        if self.has_stuck_enough() {
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

    /// The producer that has waited for longest for something, with its ticket. The entry may be stale.
    pub(super) fn pop_waiting(&mut self, wanted: Wanted) -> Option<(TransferId, u64)> {
        self.queue(wanted).0.pop_front()
    }

    /// Drops the stale entries of all queues.
    pub(super) fn forget_stale(&mut self, streams: &HashMap<TransferId, SendStream>) {
        for queue in &mut self.waiting {
            queue.0.retain(|(id, ticket)| streams.get(id).is_some_and(|stream| stream.ticket() == Some(*ticket)));
        }
    }

    /// Drops stale entries if there may be many, after a stream has ended.
    pub(super) fn forget_crowd(&mut self, streams: &HashMap<TransferId, SendStream>) {
        if self.waiting.iter().any(|queue| queue.is_crowded(streams.len())) {
            self.forget_stale(streams);
        }
    }

    /// Tests that stale entries are bounded.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check_queues(&self, streams: usize) {
        for queue in &self.waiting {
            assert!(queue.0.len() <= 2 * MAX_STALE_ENTRIES + 3 * streams, "producers that have stopped waiting");
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|queue| !queue.0.is_empty())
    }

    /// How many bytes there are of what is wanted.
    pub(super) fn left(&self, wanted: Wanted) -> i64 {
        match wanted {
            Wanted::Room if self.free() > 0 && self.has_stuck_enough() => 0,
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

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
