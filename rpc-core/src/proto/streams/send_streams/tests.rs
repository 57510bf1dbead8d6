//! Tests of the table of streams that are produced here.

use bytes::{Bytes, BytesMut};

use super::{
    super::{ITEM, StreamRoom},
    *,
};
use crate::proto::{acks::AckSchedule, rare::Rare, sequence::Sequence};

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

#[test]
fn a_stream_waits_for_its_reader_or_for_its_producer() {
    let mut all = Producers::open([1]);
    assert_eq!(all.0.waits_for(1), Some(WaitsFor::Producer), "nothing is queued");
    all.queue(1, 10);
    assert_eq!(all.0.waits_for(1), Some(WaitsFor::Reader), "an item is queued");
    all.put(1);
    assert_eq!(all.0.waits_for(1), Some(WaitsFor::Producer), "it has gone");
    all.queue(1, 2000);
    all.put(1);
    assert_eq!(all.poll(1, &mut Vec::new()), StreamRoom::default());
    assert_eq!(all.0.waits_for(1), Some(WaitsFor::Reader), "the producer waits for room");
}

#[test]
fn a_call_keeps_a_stream_until_that_is_read_or_the_call_has_ended() {
    let owner = CallKey::from_id(7);
    let limits = PeerLimits::all(100, 1 << 20);
    for (read, is_kept) in [(0, true), (1, false)] {
        let mut all = Producers::open([]);
        all.0.open(1, Some(owner), &limits, 0);
        all.0.announce(1);
        all.queue(1, 10);
        all.put(1);
        assert_eq!(all.0.owner(1), Some(owner));
        let progress = all.0.grant(1, Credit { read, ..Credit::default() }, 1).unwrap().progress;
        assert_eq!(progress, read > 0);
        let again = all.0.grant(1, Credit { read, ..Credit::default() }, 1).unwrap().progress;
        assert!(!again, "it is the same word again");
        all.0.finish(1, Ok(()), &mut Vec::new());
        all.put(1);
        assert_eq!(all.0.len(), 0);
        assert_eq!(all.0.owner(1), is_kept.then_some(owner));
        assert_eq!(all.0.waits_for(1), is_kept.then_some(WaitsFor::Reader));
        let progress = all.0.grant(1, Credit { read: 1, ..Credit::default() }, 1).unwrap().progress;
        assert_eq!(progress, is_kept);
        assert_eq!(all.0.waits_for(1), None, "it has been read to its end");
        all.0.disown(1);
        assert_eq!(all.0.owner(1), None);
    }
    let mut all = Producers::open([]);
    all.0.open(1, Some(owner), &limits, 0);
    all.0.disown(1);
    assert_eq!((all.0.owner(1), all.0.len()), (None, 1));
}

/// A stream with an item more than it may send without shared credit.
fn block(all: &mut Producers, id: TransferId) {
    all.queue(id, 10);
    all.queue(id, 10);
    let credit = mem::take(&mut all.0.shared.credit);
    all.put(id);
    assert!(all.0.streams[&id].is_blocked());
    // The item that has gone took some.
    all.0.shared.credit += credit;
}

#[test]
fn credit_lets_no_more_streams_go_on_than_it_is_enough_for() {
    let mut all = Producers::open(1..=3);
    (1..=3).for_each(|id| block(&mut all, id));
    all.0.shared.credit = 0;
    assert!(!all.0.has_unblocked());
    assert_eq!(all.0.unblock(), None);
    let credit = |bytes| Credit { bytes, ..Credit::default() };
    assert_eq!(all.0.grant(0, credit(42), 3).unwrap().turns, [1], "for one item of 10 bytes");
    assert!(all.0.has_unblocked(), "until the item goes");
    all.0.shared.credit = 0;
    assert_eq!(all.0.grant(0, credit(43), 3).unwrap().turns, [2, 3]);
    assert!(!all.0.has_unblocked());
}

#[test]
fn sixteen_streams_that_have_ended_may_be_in_the_list_of_those_that_waited() {
    let (mut all, limits) = (Producers::open([]), PeerLimits::all(100, 1 << 20));
    let mut most = 0;
    for id in 1..=100 {
        all.0.open(id, None, &limits, 0);
        all.0.announce(id);
        assert_eq!(all.0.streams.len(), 1);
        block(&mut all, id);
        assert!(all.0.stop(id, Ok(())).unwrap().turn);
        all.put(id);
        most = most.max(all.0.blocked.len());
    }
    assert_eq!((all.0.len(), most), (0, MAX_ENDED_ENTRIES));
    all.0.trim();
    assert_eq!(all.0.streams.capacity(), 0);
}

#[test]
fn a_stream_that_is_not_blocked_is_not_in_the_list_of_blocked_streams() {
    let mut all = Producers::open([1]);
    all.queue(1, 10);
    all.put(1);
    assert!(all.0.blocked.is_empty());
}

#[test]
fn no_stream_is_left_of_a_session_that_is_over() {
    let mut all = Producers::open([1, 2]);
    let mut ids = all.0.ids();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    block(&mut all, 1);
    let mut wakes = Vec::new();
    all.0.clear(&mut wakes);
    assert_eq!(wakes.len(), 1, "the producer that has shown a waker");
    assert_eq!((all.0.len(), all.0.queued(), all.0.blocked.len()), (0, 0, 0));
    assert_eq!(all.0.ids(), []);
}

#[test]
fn a_producer_claims_what_its_items_may_take() {
    let mut all = Producers::open([1, 2]);
    all.poll(1, &mut Vec::new());
    assert_eq!(all.0.streams[&1].claim.room, CHUNK + CHUNK + ITEM, "the last item may go beyond by a chunk");
    let taken = all.0.claim_long(2, 2000, Waker::noop(), &mut Vec::new(), &mut Vec::new());
    let claim = all.0.streams[&2].claim;
    assert_eq!((taken, claim.credit, claim.room), (Some(true), 2000 + ITEM, 0));

    let mut all = Producers::open([1]);
    all.0.shared.credit = 0;
    assert_eq!(all.poll(1, &mut Vec::new()), StreamRoom { items: 1, bytes: 1 });
    assert_eq!(all.0.streams[&1].claim.room, CHUNK + ITEM, "one short item of any length");
}

#[test]
fn an_item_of_one_chunk_is_not_long_and_fills_the_queue() {
    let mut all = Producers::open([1, 2]);
    all.queue(1, CHUNK);
    assert_eq!(all.0.shared.long, 0);
    all.queue(2, CHUNK - ITEM);
    let stream = &all.0.streams[&2];
    assert!(!stream.takes(CHUNK) && stream.takes(CHUNK + 1));
}

#[test]
fn the_end_of_a_stream_can_be_watched_until_it_has_come() {
    let mut all = Producers::open([1]);
    assert!(all.0.watch(1, Waker::noop(), &mut Vec::new()));
    assert!(all.0.streams[&1].waker.is_some());
    assert!(!all.0.watch(2, Waker::noop(), &mut Vec::new()), "there is no such stream");
    all.0.finish(1, Ok(()), &mut Vec::new());
    assert!(!all.0.watch(1, Waker::noop(), &mut Vec::new()));
}

#[test]
fn as_many_producers_are_woken_as_may_get_a_part_of_what_there_is() {
    let mut all = Producers::open(1..=10);
    all.0.shared.credit = 0;
    for id in 1..=10 {
        // One short item would go without shared credit, if all were read.
        all.0.streams.get_mut(&id).unwrap().sent = 1;
        assert_eq!(all.poll(id, &mut Vec::new()), StreamRoom::default());
    }
    all.0.shared.credit = 500;
    let mut wakes = Vec::new();
    all.0.pass_on(&mut wakes);
    assert_eq!(wakes.len(), 3, "each may take 232 bytes");
}

#[test]
fn a_producer_that_asks_again_and_again_leaves_few_entries() {
    let mut all = Producers::open([1]);
    all.0.shared.credit = 0;
    all.0.streams.get_mut(&1).unwrap().sent = 1;
    for _ in 0..100 {
        assert_eq!(all.poll(1, &mut Vec::new()), StreamRoom::default());
        all.0.check();
    }
}

#[test]
fn a_table_that_is_empty_goes_and_the_next_one_has_the_credit_that_is_left() {
    let limits = Arc::new(PeerLimits { streams_bytes: 8000, stream_bytes: 10_000, ..PeerLimits::all(100, 1 << 20) });
    let mut streams = Rare::<SendStreams>::default();
    streams.open(1, None, &limits, 0);
    streams.set_terms(SendTerms::new(&limits, &Config::default()), SendStreams::obey);
    assert_eq!(streams.shared.credit, 8000, "what was opened before the other side announced its limits");
    streams.shared.credit -= 300;
    streams.trim(SendStreams::trim);
    assert!(streams.is_there(), "a stream is there");
    streams.forget(1);
    streams.trim(SendStreams::trim);
    assert!(!streams.is_there());
    streams.open(2, None, &limits, 0);
    assert_eq!(streams.shared.credit, 7700);
    assert_eq!(streams.shared.room, SendStreams::begin(&SendTerms::new(&limits, &Config::default())).shared.room);
}
