//! The methods that a producer calls, to claim what a stream takes and to queue items. Producers that wait are woken
//! here.

use std::{collections::VecDeque, task::Waker};

use super::SendStreams;
use crate::{
    proto::streams::{
        ITEM, StreamRoom,
        claims::{MustWait, Wanted},
        send_stream::Item,
    },
    wire::{Rope, TransferId},
};

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
                // One byte stands for one short item, of any length up to a chunk.
                let size = if room.bytes == 1 { shared.chunk + ITEM } else { shared.size(room.bytes) };
                shared.claim(stream, size, size);
                Some(room)
            }
            Err(MustWait { is_crowded }) => {
                self.forget_stale_if(is_crowded);
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
            Err(MustWait { is_crowded }) => self.forget_stale_if(is_crowded),
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

    /// Queues the claimed items, and further items as far as there is credit and room; the rest is left. True if
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
        let each = self.shared.largest_claim();
        for wanted in [Wanted::Room, Wanted::Credit, Wanted::Share] {
            let mut left = self.shared.left(wanted);
            while left > 0 {
                let Some((id, ticket)) = self.shared.pop_waiting(wanted) else { break };
                let stream = self.streams.get_mut(&id).filter(|stream| stream.ticket() == Some(ticket));
                let Some(stream) = stream else { continue };
                if let Some(waker) = stream.wake() {
                    wakes.push(waker);
                    left -= each;
                }
            }
        }
    }

    fn forget_stale_if(&mut self, is_crowded: bool) {
        if is_crowded {
            self.shared.forget_stale(&self.streams);
        }
    }
}
