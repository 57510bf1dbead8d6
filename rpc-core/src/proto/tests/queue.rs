//! One-way calls with a policy: what waits behind what, and what a queue that does not empty costs.

use std::{sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;

use super::pair::{Arrived, CLIENT, Call, Pair, SERVER};
use crate::{
    Config, Overflow,
    contract::MethodDescriptor,
    error::{ConnectionError, MemoryLimit, TimeLimit},
    proto::{CallProgress, CallStart, Charges, Enqueued, QueuedCall},
    status::{Code, Execution, Status},
    wire::{Frame, PacketHeader, Rope, put_frame, put_header, read_packet},
};

static PRICE: MethodDescriptor = MethodDescriptor::new("Market", "price", 1).oneway();
/// The bytes that may be under way.
const WINDOW: usize = 64 * 1024;

fn queued(overflow: Overflow, len: usize) -> Arc<QueuedCall> {
    Arc::new(QueuedCall {
        method: &PRICE,
        depth: 0,
        metadata: Vec::new(),
        arguments: Rope::from(Bytes::from(vec![7; len])),
        overflow,
        key: Bytes::new(),
        ttl: None,
    })
}

impl Pair {
    fn queue(&mut self, overflow: Overflow, len: usize) -> Result<Enqueued, Status> {
        let start = CallStart { method: Some(&PRICE), oneway: true, ..CallStart::default() };
        self.ends[SERVER].connection.queue_call(self.now, &start, &queued(overflow, len))
    }

    /// The server's queue has calls that cannot go, because the client acknowledges nothing.
    fn stall(&mut self, waiting: usize) {
        for _ in 0..WINDOW / 4096 + waiting {
            self.queue(Overflow::Disconnect, 4096).unwrap();
            self.transmit(SERVER);
        }
        assert_eq!(self.ends[SERVER].connection.stats().queued_calls, waiting);
    }

    /// Time passes at the server, which hears nothing.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.ends[SERVER].connection.handle_timeout(self.now);
            self.transmit(SERVER);
            match self.ends[SERVER].connection.poll_timeout() {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = until;
    }

    fn arrived(&mut self) -> Vec<Arrived> {
        self.run();
        std::mem::take(&mut self.ends[CLIENT].arrived)
    }

    fn finish_all(&mut self, calls: &[Arrived]) {
        calls.iter().for_each(|call| self.answer_ok(CLIENT, call));
        self.run();
    }
}

fn roomy() -> Config {
    Config::builder().max_queued_calls(1000).max_queued_bytes(1 << 20).build().unwrap()
}

#[test]
fn a_call_with_a_policy_arrives_and_is_counted_like_any_other() {
    let mut pair = Pair::with_defaults();
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest, Overflow::Conflate] {
        assert!(matches!(pair.queue(overflow, 10), Ok(Enqueued::Queued { dropped: 0, .. })));
        let calls = pair.arrived();
        let missed: Vec<_> = calls.iter().map(|arrived| arrived.call.missed).collect();
        assert_eq!(missed, [(overflow != Overflow::Disconnect).then_some(0)], "{overflow:?}");
        pair.finish_all(&calls);
    }
    pair.pass(0.2);
    pair.assert_empty();
}

#[test]
fn one_way_calls_and_two_way_calls_wait_behind_the_queue() {
    let mut pair = Pair::open(&roomy());
    pair.stall(2);
    let oneway = pair.call(SERVER, Call::new().oneway().payload(1)).unwrap();
    let two_way = pair.call(SERVER, Call::new().payload(2)).unwrap();
    for key in [oneway, two_way] {
        assert_eq!(pair.ends[SERVER].connection.peek_admitted(key), Some(false));
    }
    pair.queue(Overflow::Disconnect, 3).unwrap();
    let order: Vec<_> = pair.arrived().iter().map(|arrived| arrived.payload.len()).collect();
    assert_eq!(order.len(), WINDOW / 4096 + 5);
    assert_eq!(order.iter().filter(|len| **len == 4096).count(), WINDOW / 4096 + 2);
    // The last of the queue may go as soon as those before it have gone.
    let late: std::collections::BTreeSet<_> = order[WINDOW / 4096 + 2..].iter().copied().collect();
    assert_eq!(late, [1, 2, 3].into());
}

#[test]
fn a_call_that_belongs_to_one_of_the_other_side_passes_the_queue() {
    let mut pair = Pair::open(&roomy());
    let (_, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.stall(1);
    let nested = pair.call(SERVER, Call::new().within(&served.call)).unwrap();
    assert_eq!(pair.ends[SERVER].connection.peek_admitted(nested), None, "it is in the outbox");
    let oneway = pair.call(SERVER, Call::new().oneway().within(&served.call)).unwrap();
    assert_eq!(pair.ends[SERVER].connection.peek_admitted(oneway), Some(false), "one-way calls keep their order");
}

#[test]
fn a_nested_call_waits_behind_the_queue_as_long_as_it_waits_for_a_permit() {
    let mut pair = Pair::open(&roomy());
    let mut other = Pair::with_defaults();
    let (_, served) = other.call_and_arrive(CLIENT, Call::new());
    pair.stall(1);
    let nested = pair.call(SERVER, Call::new().within(&served.call)).unwrap();
    pair.wait(Duration::from_millis(1001));
    let status = pair.status(SERVER, nested);
    assert_eq!((status.code(), status.execution()), (Code::ResourceExhausted, Execution::NotExecuted));
    assert!(status.message().contains("one-way calls were sent before it"), "{status}");
}

#[test]
fn a_call_that_waits_behind_the_queue_ends_at_its_deadline_or_when_its_caller_gives_up() {
    let mut pair = Pair::open(&roomy());
    pair.stall(1);
    let late = pair.call(SERVER, Call::new().timeout(1)).unwrap();
    let mut gone = Vec::new();
    for _ in 0..200 {
        gone.push(pair.call(SERVER, Call::new().oneway()).unwrap());
    }
    gone.iter().for_each(|key| pair.ends[SERVER].connection.cancel_call(*key));
    pair.wait(Duration::from_secs(1));
    assert_eq!(pair.status(SERVER, late).code(), Code::DeadlineExceeded);
    assert_eq!(pair.ends[SERVER].connection.stats().calls_pending, 0);
    let last = pair.call(SERVER, Call::new()).unwrap();
    assert_eq!(pair.ends[SERVER].connection.poll_call(last, Waker::noop()), CallProgress::Waiting);
    assert!(pair.arrived().iter().any(|arrived| arrived.call.id.is_some()), "it goes when the queue has gone");
}

#[test]
fn few_calls_that_may_be_dropped_are_under_way_until_they_are_done() {
    let mut pair = Pair::with_defaults();
    for _ in 0..40 {
        pair.queue(Overflow::DropOldest, 10).unwrap();
    }
    let first = pair.arrived();
    assert_eq!(first.len(), 16);
    pair.finish_all(&first[..7]);
    assert_eq!(pair.arrived().len(), 0, "seven are reported later");
    pair.finish_all(&first[7..8]);
    assert_eq!(pair.arrived().len(), 8, "no time has passed");
}

#[test]
fn what_was_dropped_is_told_by_the_next_call_and_counted() {
    let mut pair = Pair::open(&Config::builder().max_queued_calls(2).build().unwrap());
    for _ in 0..16 {
        pair.queue(Overflow::DropOldest, 10).unwrap();
        pair.transmit(SERVER);
    }
    let mut dropped = 0;
    for _ in 0..5 {
        let Ok(Enqueued::Queued { dropped: more, .. }) = pair.queue(Overflow::DropOldest, 20) else { panic!("queued") };
        dropped += more;
    }
    assert_eq!((dropped, pair.ends[SERVER].connection.oneway_dropped()), (3, 3));
    let first = pair.arrived();
    assert!(first.iter().all(|arrived| arrived.call.missed == Some(0)));
    pair.finish_all(&first);
    let missed: Vec<_> = pair.arrived().iter().map(|arrived| arrived.call.missed).collect();
    assert_eq!(missed, [Some(3), Some(0)]);
}

#[test]
fn a_call_that_must_not_wait_for_long_ends_the_session() {
    let mut pair = Pair::open(&roomy());
    pair.stall(1);
    pair.wait(Duration::from_secs(10));
    assert!(pair.ends[SERVER].closed.is_none(), "the program may have been stopped itself");
    pair.wait(Duration::from_millis(100));
    assert_eq!(pair.ends[SERVER].ran_out(), Some(TimeLimit::Queue));
    let stats = pair.ends[SERVER].connection.stats();
    assert_eq!((stats.queued_calls, stats.queued_bytes, stats.outbox_bytes), (0, 0, 0));
    let why = pair.ends[SERVER].connection.ended().unwrap();
    assert_eq!(why.close_code().0, 1013);
}

#[test]
fn a_queue_that_moves_ends_no_session() {
    let mut pair = Pair::open(&roomy());
    for _ in 0..60 {
        pair.queue(Overflow::Disconnect, 4000).unwrap();
        pair.pass(1.0);
        let calls = pair.arrived();
        pair.finish_all(&calls);
    }
    assert!(pair.ends[SERVER].closed.is_none());
}

#[test]
fn too_many_bytes_that_may_not_be_dropped_end_the_session() {
    let mut pair = Pair::open(&Config::builder().max_queued_bytes(10_000).build().unwrap());
    pair.stall(0);
    pair.queue(Overflow::Disconnect, 4000).unwrap();
    pair.queue(Overflow::Disconnect, 8000).expect("several long calls at once are no sign");
    pair.wait(Duration::from_secs(1));
    let refused = pair.queue(Overflow::Disconnect, 100).unwrap_err();
    assert_eq!((refused.code(), refused.execution()), (Code::Unavailable, Execution::NotExecuted));
    let Some(ConnectionError::Overloaded(overload)) = pair.ends[SERVER].connection.ended() else { panic!("open") };
    assert_eq!((overload.limit, overload.max, overload.held), (MemoryLimit::Queue, 10_000, 12_292));
}

#[test]
fn a_drain_waits_for_the_queue_and_a_close_sends_it() {
    for drains in [true, false] {
        let mut pair = Pair::open(&roomy());
        pair.stall(20);
        let now = pair.now;
        let connection = &mut pair.ends[SERVER].connection;
        if drains {
            connection.drain(now, "bye");
        } else {
            connection.close();
        }
        let refused = pair.queue(Overflow::Disconnect, 1).unwrap_err();
        assert_eq!((refused.code(), refused.execution()), (Code::Unavailable, Execution::NotExecuted));
        assert_eq!(pair.arrived().len(), WINDOW / 4096 + 20, "drains: {drains}");
        assert!(pair.ends[SERVER].closed.is_some());
    }
}

#[test]
fn a_close_sends_no_more_calls_than_the_other_side_takes() {
    let mut pair = Pair::open(&Config::builder().max_oneway_calls(3).build().unwrap());
    for _ in 0..10 {
        pair.queue(Overflow::Disconnect, 10).unwrap();
    }
    pair.ends[SERVER].connection.close();
    assert_eq!(pair.ends[SERVER].connection.lost_calls().not_executed, 7);
    assert_eq!(pair.arrived().len(), 3);
}

#[test]
fn a_large_call_goes_when_what_it_needs_is_reserved() {
    let mut pair = Pair::open(&roomy());
    pair.queue(Overflow::Conflate, 100_000).unwrap();
    assert!(pair.arrived().is_empty());
    let need = pair.ends[SERVER].connection.queue_need().unwrap();
    assert_eq!((need.len, need.arguments), (100_000, 100_000));
    let charges = Charges { room: 64, transfers: 100_000, arguments: 100_000 };
    // A newer value has taken the place meanwhile.
    pair.queue(Overflow::Conflate, 90_000).unwrap();
    pair.ends[SERVER].connection.charge_queue(need, charges);
    let released = pair.ends[SERVER].connection.take_released();
    assert_eq!((released.room, released.transfers, released.arguments), (64, 100_000, 100_000));
    let need = pair.ends[SERVER].connection.queue_need().unwrap();
    let charges = Charges { room: 64, transfers: 90_000, arguments: 90_000 };
    pair.ends[SERVER].connection.charge_queue(need, charges);
    assert_eq!(pair.ends[SERVER].connection.queue_need(), None);
    let calls = pair.arrived();
    assert_eq!(calls.iter().map(|arrived| arrived.payload.len()).collect::<Vec<_>>(), [90_000]);
    pair.finish_all(&calls);
    let released = pair.ends[SERVER].connection.take_released();
    assert_eq!((released.room, released.transfers), (0, 0), "the pair has taken them");
    pair.pass(0.2);
    pair.assert_empty();
}

#[test]
fn what_is_reserved_for_a_call_returns_when_the_call_is_dropped() {
    let mut pair = Pair::open(&Config::builder().max_queued_calls(1).max_queued_bytes(1 << 20).build().unwrap());
    pair.queue(Overflow::DropOldest, 100_000).unwrap();
    let connection = &mut pair.ends[SERVER].connection;
    let need = connection.queue_need().unwrap();
    connection.charge_queue(need, Charges { room: 0, transfers: 100_000, arguments: 100_000 });
    pair.queue(Overflow::DropOldest, 10).unwrap();
    let released = pair.ends[SERVER].connection.take_released();
    assert_eq!((released.transfers, released.arguments), (100_000, 100_000));
    assert_eq!(pair.arrived().len(), 1);
}

#[test]
fn all_calls_that_wait_for_permits_go_before_the_queue() {
    let mut pair = Pair::open(&Config::builder().max_oneway_calls(1).build().unwrap());
    let (_, first) = pair.call_and_arrive(SERVER, Call::new().oneway());
    let waiting = pair.call(SERVER, Call::new().oneway().payload(1)).unwrap();
    pair.queue(Overflow::Disconnect, 2).unwrap();
    pair.run();
    assert_eq!(pair.ends[SERVER].connection.peek_admitted(waiting), Some(false));
    pair.finish_all(&[first]);
    let mut order = Vec::new();
    for _ in 0..2 {
        let calls = pair.arrived();
        order.extend(calls.iter().map(|arrived| arrived.payload.len()));
        pair.finish_all(&calls);
    }
    assert_eq!(order, [1, 2]);
}

#[test]
fn a_burst_of_long_calls_has_a_bound() {
    let config = Config::builder().max_queued_bytes(10_000).max_payload(20_000).build().unwrap();
    let mut pair = Pair::open(&config);
    pair.stall(0);
    for _ in 0..2 {
        pair.queue(Overflow::Disconnect, 14_000).unwrap();
    }
    assert!(pair.queue(Overflow::Disconnect, 14_000).is_err());
    assert!(pair.ends[SERVER].connection.ended().is_some());
}

#[test]
fn what_waits_behind_calls_that_were_dropped_goes_on() {
    let mut pair = Pair::open(&Config::builder().max_queued_calls(2).build().unwrap());
    for _ in 0..18 {
        pair.queue(Overflow::DropOldest, 10).unwrap();
        pair.transmit(SERVER);
    }
    let behind = pair.call(SERVER, Call::new()).unwrap();
    pair.queue(Overflow::DropOldest, 10).unwrap();
    assert_eq!(pair.ends[SERVER].connection.peek_admitted(behind), Some(false), "one of both is there still");
    pair.queue(Overflow::DropOldest, 10).unwrap();
    assert_eq!(pair.ends[SERVER].connection.peek_admitted(behind), Some(true));
}

#[test]
fn an_other_side_that_does_not_count_marked_calls_gets_the_next_ones_when_all_are_done() {
    let mut pair = Pair::with_defaults();
    for _ in 0..40 {
        pair.queue(Overflow::DropOldest, 10).unwrap();
    }
    let first = pair.arrived();
    assert_eq!(first.len(), 16);
    let (ack, ..) = pair.ends[CLIENT].connection.positions();
    let (now, server) = (pair.now, &mut pair.ends[SERVER].connection);
    let mut packet = bytes::BytesMut::new();
    put_header(&mut packet, PacketHeader { seq: server.positions().0 + 1, ack });
    put_frame(&mut packet, &Frame::Done { depth: 0, count: 16, bytes: 0, marked: 0 });
    server.handle_packet(now, packet.freeze());
    assert_eq!((server.ended(), server.stats().oneway_pending), (None, 0));
    pair.transmit(SERVER);
    let packets = pair.ends[CLIENT].inbox.iter().map(|packet| read_packet(packet.clone()).unwrap().1);
    let marked = |frame: &Frame| matches!(frame, Frame::Notify(notify) if notify.missed == Some(0));
    assert_eq!(packets.flatten().map(Result::unwrap).filter(marked).count(), 16);
}
