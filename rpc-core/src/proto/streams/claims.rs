//! Who may queue items: a producer claims credit and room before it makes any, so that what is made can go.

use std::{collections::VecDeque, mem, task::Waker};

use super::{ITEM, SendStream, SendStreams, StreamRoom, send_stream::Item, weight};
use crate::{
    proto::shrink::shrink_line,
    wire::{Rope, TransferId},
};

/// A line may still list this many producers that have stopped waiting, and twice as many as there are streams.
const MOST_STALE: usize = 16;

/// What a producer waits for that all streams share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    #[default]
    Nothing,
    /// Room for what waits to be sent.
    Room,
    /// Credit of all streams together.
    Credit,
    /// More than its share of what is left of that credit.
    Share,
}

/// What a producer has claimed of credit, and of room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    pub(super) size: usize,
    pub(super) room: usize,
}

/// What all producers share, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct SharedCredit {
    /// Bytes that the reader takes of all streams together.
    pub(super) credit: i64,
    /// What of that credit is promised to items that wait to be sent, and to claims.
    pub(super) promised: i64,
    /// When no more than this is left of the credit, only streams whose readers keep up get more of it.
    pub(super) scarce: i64,
    /// What one stream may send to begin with.
    pub(super) window: i64,
    /// What waits to be sent, of all streams, in bytes and [`ITEM`] for each item.
    pub(super) queued: usize,
    /// What of that is items longer than a chunk, which are bounded by the budget of transfers instead.
    pub(super) long: usize,
    /// What of that, without long items, waits for credit, because other streams were faster.
    pub(super) stuck: usize,
    /// What is claimed and has not been queued, without long items.
    pub(super) claimed: usize,
    /// What may wait to be sent, of all streams without long items, and of one.
    pub(super) room: usize,
    pub(super) chunk: usize,
    waiting: [ClaimQueue; 3],
    last_ticket: u64,
}

/// Producers that wait for the same, in their order. Those that have stopped waiting have another ticket by now.
#[derive(Debug, Default)]
struct ClaimQueue(VecDeque<(TransferId, u64)>);

impl ClaimQueue {
    /// Whether it is much longer than there are streams.
    fn is_crowded(&self, streams: usize) -> bool {
        self.0.len() > MOST_STALE + 2 * streams
    }
}

impl SharedCredit {
    /// What is left of the credit.
    fn free(&self) -> i64 {
        self.credit - self.promised
    }

    fn room_left(&self) -> usize {
        self.room.saturating_sub(self.queued - self.long - self.stuck + self.claimed)
    }

    /// What a claim takes: what the stream may queue, of which the last item may go beyond by a chunk.
    fn size(&self, bytes: usize) -> usize {
        bytes.min(self.chunk) + self.chunk + ITEM
    }

    fn claim(&mut self, stream: &mut SendStream, size: usize, room: usize) {
        stream.claim = Claim { size, room };
        self.claimed += room;
        self.promised += signed(size);
    }

    /// Gives a claim back. True if there was one.
    pub(super) fn release(&mut self, stream: &mut SendStream) -> bool {
        let Claim { size, room } = mem::take(&mut stream.claim);
        self.claimed -= room;
        self.promised -= signed(size);
        size > 0
    }

    /// What a stream may queue now, or what its producer has to wait for.
    fn judge(&self, stream: &SendStream, is_long: bool) -> Result<StreamRoom, Wanted> {
        let free = self.free();
        let share = if free > self.scarce { free } else { self.share(free, stream.read > 0) };
        let unread = if free > self.scarce { 0 } else { self.window.saturating_sub(stream.credit_bytes).max(0) };
        if self.room_left() == 0 && !is_long {
            Err(Wanted::Room)
        } else if free > 0 && (unread <= share || stream.is_read()) {
            if self.stuck >= self.room {
                return Err(Wanted::Room);
            }
            let room = stream.room(self.chunk);
            let bytes = usize::try_from(share.saturating_sub(unread)).unwrap_or(0).max(1);
            Ok(StreamRoom { bytes: room.bytes.min(bytes), ..room })
        } else if free > 0 {
            Err(Wanted::Share)
        } else if stream.is_read() && !is_long {
            // One item may go whatever the credit of all together.
            Ok(StreamRoom { items: 1, bytes: 1 })
        } else {
            Err(Wanted::Credit)
        }
    }

    /// How much of a stream may be unread while so little credit is left: a quarter of that. For a stream of which
    /// nothing has been read yet it falls with the square of what is left, so that such streams leave something to
    /// those that are read, however many they are.
    fn share(&self, free: i64, is_being_read: bool) -> i64 {
        if is_being_read {
            return free / 4;
        }
        let (free, scarce) = (i128::from(free), i128::from(self.scarce.max(1)));
        i64::try_from(free * free / (scarce * 4)).unwrap_or(i64::MAX)
    }

    /// A producer waits.
    fn wait(&mut self, id: TransferId, stream: &mut SendStream, wanted: Wanted, streams: usize) -> bool {
        self.last_ticket += 1;
        (stream.wanted, stream.ticket) = (wanted, self.last_ticket);
        let Some(line) = self.queue(wanted) else { return false };
        line.0.push_back((id, stream.ticket));
        line.is_crowded(streams)
    }

    fn queue(&mut self, wanted: Wanted) -> Option<&mut ClaimQueue> {
        match wanted {
            Wanted::Nothing => None,
            Wanted::Room => Some(&mut self.waiting[0]),
            Wanted::Credit => Some(&mut self.waiting[1]),
            Wanted::Share => Some(&mut self.waiting[2]),
        }
    }

    fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|line| !line.0.is_empty())
    }

    /// How many bytes more there are of what is wanted.
    fn left(&self, wanted: Wanted) -> i64 {
        match wanted {
            Wanted::Nothing => 0,
            Wanted::Room => signed(self.room_left()),
            Wanted::Credit => self.free(),
            Wanted::Share => self.free() - self.scarce,
        }
    }

    /// A stream has to wait for credit with what it has queued.
    pub(super) fn block(&mut self, stream: &mut SendStream) {
        self.unblock(stream);
        stream.is_blocked = true;
        stream.stuck = stream.queued - stream.long(self.chunk);
        self.stuck += stream.stuck;
    }

    /// It may go on. True if it had to wait.
    pub(super) fn unblock(&mut self, stream: &mut SendStream) -> bool {
        self.stuck -= mem::take(&mut stream.stuck);
        mem::take(&mut stream.is_blocked)
    }

    /// Nothing of a stream will be sent that waits.
    pub(super) fn forget(&mut self, stream: &mut SendStream) {
        self.release(stream);
        self.stuck -= mem::take(&mut stream.stuck);
        self.promised -= stream.promised();
        self.queued -= mem::take(&mut stream.queued);
        self.long -= stream.long(self.chunk);
    }

    /// Drops the next item of a stream, a long one, which will be made again. Gives what it held of the budget of
    /// transfers.
    pub(super) fn give_back(&mut self, stream: &mut SendStream) -> usize {
        let Some(item) = stream.items.pop_front() else { return 0 };
        let (len, counted) = (item.bytes.len() + ITEM, weight(item.bytes.len() as u64));
        stream.queued -= len;
        self.queued -= len;
        self.long -= len;
        self.promised -= counted;
        stream.credit_items += 1;
        stream.credit_bytes += counted;
        (stream.returned, stream.waits) = (true, true);
        item.charge as usize
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl SendStreams {
    /// What a stream takes now, which is claimed until its producer has queued something, or has said that it has
    /// nothing; `waker` is woken when there is something after there was nothing. `None` if it has ended.
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
        stream.wanted = Wanted::Nothing;
        self.shared.release(stream);
        let shared = &mut self.shared;
        if !stream.takes(shared.chunk) {
            stream.waits = true;
            self.pass_on(wakes);
            return Some(StreamRoom::default());
        }
        let judged = shared.judge(stream, false);
        stream.waits = judged.is_err();
        let room = match judged {
            Ok(room) => {
                let size = if room.bytes == 1 { shared.chunk + ITEM } else { shared.size(room.bytes) };
                shared.claim(stream, size, size);
                room
            }
            Err(wanted) => {
                let crowded = shared.wait(id, stream, wanted, count);
                self.compact(crowded);
                // Another one that waits for the same may get what this one may not.
                self.pass_on(wakes);
                StreamRoom::default()
            }
        };
        Some(room)
    }

    /// Claims what a long item of this length takes, as [`Self::poll`] does. False if it has to wait.
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
        stream.wanted = Wanted::Nothing;
        self.shared.release(stream);
        if !stream.takes(self.shared.chunk) {
            stream.waits = true;
            self.pass_on(wakes);
            return Some(false);
        }
        let judged = self.shared.judge(stream, true);
        let fits = judged.is_ok();
        stream.waits = !fits;
        match judged {
            Ok(_) => self.shared.claim(stream, len + ITEM, 0),
            Err(wanted) => {
                let crowded = self.shared.wait(id, stream, wanted, count);
                self.compact(crowded);
            }
        }
        self.pass_on(wakes);
        Some(fits)
    }

    /// A producer has nothing to queue at the moment: its claim goes to others. `waker` is woken when nobody wants more
    /// of the stream. False if that is so already.
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

    /// Sees to it that `waker` is woken when the stream ends. False if that is so already.
    pub(crate) fn watch(&mut self, id: TransferId, waker: &Waker, stale_wakers: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        stream.set_waker(waker, stale_wakers);
        true
    }

    /// Queues items: those that were claimed, and others as far as there is credit and room; the rest is left. True if
    /// the stream waits for its turn from now on.
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
            let counted = weight(bytes.len() as u64);
            stream.credit_items -= 1;
            stream.credit_bytes -= counted;
            stream.queued += bytes.len() + ITEM;
            shared.queued += bytes.len() + ITEM;
            shared.long += if bytes.len() > shared.chunk { bytes.len() + ITEM } else { 0 };
            shared.promised += counted;
            stream.items.push_back(Item { bytes, charge });
        }
        let turn = stream.wants_turn();
        self.pass_on(wakes);
        Some(turn)
    }

    /// Wakes producers that wait for what there is by now, as many as it will do for.
    pub(crate) fn pass_on(&mut self, wakes: &mut Vec<Waker>) {
        if !self.shared.is_awaited() {
            return;
        }
        let each = signed(self.shared.size(usize::MAX));
        for wanted in [Wanted::Room, Wanted::Credit, Wanted::Share] {
            let mut left = self.shared.left(wanted);
            while left > 0 {
                let Some((id, ticket)) = self.shared.queue(wanted).and_then(|line| line.0.pop_front()) else { break };
                let stream =
                    self.streams.get_mut(&id).filter(|stream| stream.ticket == ticket && stream.wanted == wanted);
                let Some(stream) = stream else { continue };
                stream.wanted = Wanted::Nothing;
                if let Some(waker) = stream.wake() {
                    wakes.push(waker);
                    left -= each;
                }
            }
        }
    }

    /// As [`Self::compact`], after streams have ended.
    pub(super) fn forget_stale(&mut self) {
        let count = self.streams.len();
        self.compact(self.shared.waiting.iter().any(|line| line.is_crowded(count)));
        self.shared.waiting.iter_mut().for_each(|line| shrink_line(&mut line.0));
    }

    /// Forgets producers that are listed and do not wait any more.
    fn compact(&mut self, crowded: bool) {
        if crowded {
            let streams = &self.streams;
            for line in &mut self.shared.waiting {
                line.0.retain(|(id, ticket)| streams.get(id).is_some_and(|stream| stream.ticket == *ticket));
            }
        }
    }

    /// Whether no line is much longer than there are streams.
    #[cfg(test)]
    pub(super) fn check_queues(&self) {
        for line in &self.shared.waiting {
            assert!(line.0.len() <= 2 * MOST_STALE + 3 * self.streams.len(), "producers that have stopped waiting");
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
