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

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::{
        proto::{
            acks::AckSchedule,
            sequence::Sequence,
            streams::{Credit, TurnLimits, TurnOutput},
            writer::PacketWriter,
        },
        wire::PeerLimits,
    };

    const CHUNK: usize = 100;
    const ROOM: usize = 1000;

    struct Producers(SendStreams);

    impl Producers {
        fn open(ids: impl IntoIterator<Item = TransferId>) -> Self {
            let limits = PeerLimits { streams_bytes: 8000, stream_bytes: 10_000, ..PeerLimits::all(100, 1 << 20) };
            let mut streams = SendStreams::default();
            streams.set_limits(&limits, CHUNK, ROOM);
            for id in ids {
                streams.open(id, None, &limits, 0);
                streams.announce(id);
            }
            Self(streams)
        }

        fn poll(&mut self, id: TransferId, wakes: &mut Vec<Waker>) -> StreamRoom {
            self.0.poll(id, Waker::noop(), &mut Vec::new(), wakes).expect("the stream goes on")
        }

        fn push(&mut self, id: TransferId, len: usize) {
            let mut items = VecDeque::from([(Bytes::from(vec![7; len]).into(), 0)]);
            self.0.push(id, &mut items, &mut Vec::new());
            assert!(items.is_empty(), "the item was claimed");
        }

        fn queue(&mut self, id: TransferId, len: usize) {
            let (waker, wakes) = (Waker::noop(), &mut Vec::new());
            if len > CHUNK {
                assert_eq!(self.0.claim_long(id, len, waker, &mut Vec::new(), wakes), Some(true));
            } else {
                assert_ne!(self.poll(id, wakes), StreamRoom::default());
            }
            self.push(id, len);
            self.0.check();
        }

        /// One turn.
        fn put(&mut self, id: TransferId) {
            let (mut packet, mut sequence, mut acks) = (BytesMut::new(), Sequence::new(), AckSchedule::default());
            let mut out = PacketWriter::new(&mut packet, &mut sequence, &mut acks);
            let limits = TurnLimits { left: 10_000, chunk: CHUNK, frames: 10, first: true };
            self.0.put(id, &mut out, limits, &mut TurnOutput::default());
            self.0.check();
        }
    }

    /// What is stuck takes no room, so that streams whose readers keep up go on. Yet it goes out as soon as its turn
    /// comes, together with what was queued meanwhile; so nothing is queued beside a whole room of it.
    #[test]
    fn nothing_is_queued_beside_as_much_as_has_room_and_may_go_again() {
        const LAST: TransferId = 1;
        const LARGE: TransferId = 12;
        const LATE: TransferId = 13;
        let unread = 2..12;
        let mut all = Producers::open(1..=13);
        for id in 1..12 {
            all.queue(id, 1);
            all.put(id);
        }
        // The last item of a stream, and a room of short items.
        all.queue(LAST, 2000);
        all.0.finish(LAST, Ok(()), &mut Vec::new());
        unread.clone().for_each(|id| all.queue(id, CHUNK - ITEM));
        // A large item goes first, and uses up the shared credit.
        all.queue(LARGE, 8000);
        all.put(LARGE);
        [LAST].into_iter().chain(unread.clone()).for_each(|id| all.put(id));
        assert_eq!(all.0.shared.stuck, ROOM);
        // The new credit is for the last item, whose reader leaves. So there is credit, and all the others are stuck.
        let credit = Credit { bytes: 2000, ..Credit::default() };
        assert_eq!(all.0.grant(0, credit, LATE).unwrap().turns, [LAST]);
        all.0.stop(LAST, Ok(()));
        all.0.check();
        assert!(all.0.shared.stuck == ROOM && all.0.has_unblocked());

        let mut wakes = Vec::new();
        assert_eq!(all.poll(LATE, &mut wakes), StreamRoom::default());
        all.0.pass_on(&mut wakes);
        assert!(wakes.is_empty(), "there is no room yet");
        while let Some(id) = all.0.unblock() {
            all.put(id);
        }
        all.0.pass_on(&mut wakes);
        assert_eq!((all.0.shared.stuck, wakes.len()), (0, 1));
        assert_ne!(all.poll(LATE, &mut wakes), StreamRoom::default());
    }
}
