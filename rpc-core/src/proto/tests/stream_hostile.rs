//! A peer that breaks the rules of streams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use rpc_testing::thread_time;

use super::{
    hostile::{Liar, request_with},
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ProtocolError, StreamViolation, TransferViolation},
    proto::{Completion, ITEM, Outcome, StreamError, StreamRoom},
    status::{Code, Status},
    wire::{ErrorBody, Frame, Payload, TransferId},
};

fn item(stream: TransferId, len: usize) -> Frame {
    Frame::Item { stream, payload: Payload::Inline(vec![1; len].into()) }
}

fn opened(streams: &[TransferId]) -> Frame {
    request_with(1, |request| request.streams = streams.to_vec().into())
}

#[test]
fn a_breach_of_the_rules_of_streams_closes_with_1002() {
    use StreamViolation as S;
    use TransferViolation as T;

    let end = |stream| Frame::End { stream, error: None };
    let announced = |transfer, total| Frame::Item { stream: 1, payload: Payload::announced(transfer, total) };
    let chunk = |len: usize| Frame::Chunk { transfer: 1, data: vec![0; len].into() };
    let abort = || Frame::Abort { transfer: 1 };
    let credit = |stream, items, bytes| Frame::Credit { stream, items, bytes, read: 0 };
    let long_fault = ErrorBody::Fault(Payload::announced(5, 70_000));
    let small = Config::builder().stream_items(2).max_streams(2).build().unwrap();
    let not_open = || S::NotOpen { stream: 1 }.into();
    let cases: Vec<(&str, Vec<Frame>, ProtocolError)> = vec![
        (
            "an item beyond the credit in items",
            vec![opened(&[1]), item(1, 1), item(1, 1), item(1, 1)],
            S::BeyondCredit { stream: 1 }.into(),
        ),
        ("an item for a stream that was never opened", vec![item(1, 1)], not_open()),
        ("an item after the end", vec![opened(&[1]), end(1), item(1, 1)], not_open()),
        ("an end for a stream that was never opened", vec![end(1)], not_open()),
        ("a second end", vec![opened(&[1]), end(1), end(1)], not_open()),
        (
            "an end within an item",
            vec![opened(&[1]), announced(1, 70_000), end(1)],
            S::EndWithinItem { stream: 1 }.into(),
        ),
        (
            "an item within an item",
            vec![opened(&[1]), announced(1, 70_000), item(1, 1)],
            S::ItemWithinItem { stream: 1 }.into(),
        ),
        (
            "an item after one that was given up",
            vec![opened(&[1]), announced(1, 70_000), abort(), item(1, 1)],
            S::ItemAfterAborted { stream: 1 }.into(),
        ),
        (
            "finished with an item given up",
            vec![opened(&[1]), announced(1, 70_000), abort(), end(1)],
            S::FinishedAfterAborted { stream: 1 }.into(),
        ),
        (
            "an item by another number",
            vec![opened(&[1]), announced(2, 70_000)],
            S::ItemByOtherNumber { stream: 1, transfer: 2 }.into(),
        ),
        ("an item announced with no bytes", vec![opened(&[1]), announced(1, 0)], T::Empty { transfer: 1 }.into()),
        (
            "an item that cannot be counted",
            vec![opened(&[1]), announced(1, u64::MAX - 32)],
            S::ItemTooLong { stream: 1, len: u64::MAX - 32 }.into(),
        ),
        (
            "a chunk beyond an item",
            vec![opened(&[1]), announced(1, 70_000), chunk(60_000), chunk(20_000)],
            T::UnfitChunk { transfer: 1, len: 20_000, left: 10_000 }.into(),
        ),
        ("a chunk for no item", vec![opened(&[1]), chunk(10)], T::StrayChunk { transfer: 1 }.into()),
        ("a stream by a number that was used", vec![opened(&[1, 1])], T::OldNumber { id: 1, last: 1 }.into()),
        ("more streams than announced", vec![opened(&[1, 2, 3])], S::TooMany { stream: 3, max: 2 }.into()),
        ("credit for a stream that was never opened", vec![credit(9, 1, 1)], S::CreditForUnopened { stream: 9 }.into()),
        ("credit that overflows", vec![credit(0, 0, u64::MAX)], S::CreditTooLarge { stream: 0 }.into()),
        (
            "a fault in chunks",
            vec![opened(&[1]), Frame::End { stream: 1, error: Some(long_fault) }],
            S::FaultInChunks { stream: 1 }.into(),
        ),
    ];
    for (what, frames, rule) in cases {
        let mut liar = Liar::new(&small);
        liar.say(&frames);
        liar.assert_broken(rule, CloseCode::PROTOCOL, what);
    }
}

/// Streams that have ended count against no limit, so each call's streams are limited.
#[test]
fn a_call_has_128_streams_at_most() {
    for (count, closed) in [(128, None), (129, Some(CloseCode::PROTOCOL))] {
        let mut liar = Liar::new(&Config::default());
        liar.say(&[opened(&(1..=count).collect::<Vec<_>>())]);
        assert_eq!(liar.closed(), closed, "{count}");
        let rule = StreamViolation::TooManyInFrame { count: 129, max: 128 };
        assert_eq!(liar.pair.ends[SERVER].broken(), closed.map(|_| rule.into()));
    }
}

#[test]
fn bytes_beyond_the_credit_close_with_1002() {
    let mut liar = Liar::new(&Config::builder().stream_window(1000).build().unwrap());
    liar.say(&[opened(&[1]), item(1, 5000)]);
    assert_eq!(liar.closed(), None, "the last item may go beyond the credit");
    liar.say(&[item(1, 1)]);
    liar.assert_broken(StreamViolation::BeyondCredit { stream: 1 }, CloseCode::PROTOCOL, "credit of one stream");

    let mut liar = Liar::new(&Config::builder().streams_window(1000).build().unwrap());
    liar.say(&[opened(&[1, 2]), item(1, 5000), item(2, 5000)]);
    assert_eq!(liar.closed(), None, "each stream may have one item under way");
    liar.say(&[item(2, 1)]);
    liar.assert_broken(StreamViolation::BeyondSharedCredit { stream: 2 }, CloseCode::PROTOCOL, "shared credit");
}

#[test]
fn impossible_credit_closes_with_1002() {
    for (items, bytes, read) in [(u64::MAX, 0, 0), (0, u64::MAX, 0), (1, 1, 1)] {
        let mut liar = Liar::new(&Config::default());
        let streams = liar.call_for_streams(1, 1);
        liar.say(&[Frame::Credit { stream: streams[0], items: 1 << 40, bytes: 1 << 40, read: 0 }]);
        assert_eq!(liar.closed(), None);
        let stream = streams[0];
        liar.say(&[Frame::Credit { stream, items, bytes, read }]);
        let rule = match read {
            0 => StreamViolation::CreditTooLarge { stream },
            _ => StreamViolation::ReadMoreThanSent { stream, read, sent: 0 },
        };
        liar.assert_broken(rule, CloseCode::PROTOCOL, "impossible");
    }
}

/// Items of a stream that was stopped are dropped, within the credit that the producer had.
#[test]
fn items_after_a_stop_are_dropped() {
    let mut liar = Liar::new(&Config::builder().stream_items(10).build().unwrap());
    liar.say(&[opened(&[1])]);
    liar.pair.ends[SERVER].connection.leave_stream(1);
    let long = Frame::Item { stream: 1, payload: Payload::announced(1, 70_000) };
    liar.say(&[item(1, 10), long, Frame::Chunk { transfer: 1, data: vec![0; 60_000].into() }]);
    liar.say(&[Frame::Chunk { transfer: 1, data: vec![0; 10_000].into() }]);
    let stats = liar.pair.ends[SERVER].connection.stats();
    assert_eq!((stats.stream_bytes_held, stats.assembly_bytes, stats.streams_receiving), (0, 0, 1));
    for _ in 0..8 {
        liar.say(&[item(1, 10)]);
    }
    assert_eq!(liar.closed(), None);
    liar.say(&[Frame::End { stream: 1, error: None }]);
    assert_eq!(liar.pair.ends[SERVER].connection.stats().streams_receiving, 0);
}

/// A reader leaves within an item, and then the call fails: the item is uncounted once.
#[test]
fn an_item_under_way_is_uncounted_once() {
    let mut liar = Liar::new(&Config::default());
    let second = request_with(2, |request| request.streams = vec![2].into());
    liar.say(&[opened(&[1]), second, Frame::Item { stream: 1, payload: Payload::announced(1, 70_000) }]);
    let arrived = liar.pair.ends[SERVER].arrived.remove(0);
    liar.pair.ends[SERVER].connection.leave_stream(1);
    liar.pair.answer(SERVER, &arrived, Completion::Status(Status::internal("it fails")));
    liar.say(&[item(2, 1000)]);
    assert_eq!(liar.pair.ends[SERVER].connection.stats().stream_bytes_held, 1000 + ITEM);
    assert_eq!(liar.closed(), None);
}

#[test]
fn an_item_that_is_too_long_fails_its_stream_alone() {
    let mut liar = Liar::new(&Config::builder().max_payload(100_000).build().unwrap());
    liar.say(&[opened(&[1])]);
    liar.say(&[item(1, 10), Frame::Item { stream: 1, payload: Payload::announced(1, 100_001) }]);
    liar.say(&[Frame::Abort { transfer: 1 }, Frame::End { stream: 1, error: None }]);
    assert_eq!(liar.closed(), None);
    let (came, end) = liar.pair.read(SERVER, 1);
    assert_eq!(came.len(), 1);
    assert!(matches!(end, Some(Err(StreamError::Status(status))) if status.code() == Code::OutOfRange));
    assert_eq!(liar.pair.ends[SERVER].connection.stats().streams_receiving, 0);
}

/// The same for an item in one frame, if payloads are shorter than chunks.
#[test]
fn an_item_that_is_too_long_is_not_counted_for_ever() {
    let mut liar = Liar::new(&Config::builder().max_payload(1000).build().unwrap());
    liar.say(&[opened(&[1]), item(1, 10), item(1, 60_000), Frame::End { stream: 1, error: None }]);
    let (came, end) = liar.pair.read(SERVER, 1);
    assert_eq!(came.len(), 1);
    assert!(matches!(end, Some(Err(StreamError::Status(status))) if status.code() == Code::OutOfRange));
    let stats = liar.pair.ends[SERVER].connection.stats();
    assert_eq!((stats.streams_receiving, stats.stream_bytes_held), (0, 0));
    assert_eq!(liar.closed(), None);
}

#[test]
fn a_fault_that_is_too_long_at_the_end_of_a_stream_is_replaced() {
    let mut liar = Liar::new(&Config::builder().max_payload(1000).build().unwrap());
    liar.say(&[opened(&[1, 2])]);
    for (stream, len) in [(1, 1000), (2, 1001)] {
        let fault = ErrorBody::Fault(Payload::Inline(vec![1; len].into()));
        liar.say(&[Frame::End { stream, error: Some(fault) }]);
    }
    assert!(matches!(liar.pair.read(SERVER, 1).1, Some(Err(StreamError::Fault(fault))) if fault.len() == 1000));
    let (_, end) = liar.pair.read(SERVER, 2);
    assert!(matches!(&end, Some(Err(StreamError::Status(status))) if status.code() == Code::OutOfRange), "{end:?}");
    assert_eq!(liar.closed(), None);
}

/// Streams that wait for credit which never comes are stopped, over and over.
#[test]
fn streams_that_have_waited_for_credit_are_forgotten() {
    let mut pair = Pair::apart(
        &Config::builder().streams_window(1).build().unwrap(),
        &Config::builder().unacked_bulk(8 << 20).build().unwrap(),
    );
    pair.run();
    let mut liar = Liar::at(pair);
    for n in 1..=500 {
        let streams = liar.call_for_streams(n, 1);
        liar.pair.produce(SERVER, streams[0], [vec![0; 10].into(), vec![0; 10].into()]);
        liar.pair.transmit(SERVER);
        liar.say(&[Frame::Stop { transfer: streams[0] }]);
        liar.pair.transmit(SERVER);
        liar.pair.check();
    }
    assert_eq!(liar.closed(), None);
}

/// Little is remembered of the credit of a peer that acknowledges nothing.
#[test]
fn credit_that_is_never_acknowledged_is_bounded() {
    let mut liar = Liar::new(&Config::builder().stream_items(2).max_stream_window(1).stream_window(1).build().unwrap());
    liar.say(&[opened(&[1])]);
    for _ in 0..1000 {
        liar.say(&[item(1, 1)]);
        liar.pair.read(SERVER, 1);
        liar.pair.transmit(SERVER);
        liar.pair.check();
    }
    assert_eq!(liar.closed(), None);
}

/// A tiny item does not keep a packet that is many times what it counts.
#[test]
fn tiny_items_do_not_keep_their_packets() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[opened(&[1, 2])]);
    liar.say(&[item(1, 1), item(2, 10_000)]);
    let (tiny, _) = liar.pair.read(SERVER, 1);
    liar.pair.ends[SERVER].connection.leave_stream(1);
    assert!(tiny.into_iter().next().unwrap().try_into_mut().unwrap().capacity() < 100);
}

/// Small items do not keep the large packets that they came in.
#[test]
fn small_items_of_large_packets_are_copied() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[opened(&[1, 2])]);
    liar.say(&[item(1, 10), item(2, 60_000)]);
    let capacity = |liar: &mut Liar, stream| {
        let item = liar.pair.read(SERVER, stream).0.into_iter().next().unwrap();
        liar.pair.ends[SERVER].connection.leave_stream(stream);
        item.try_into_mut().unwrap().capacity()
    };
    assert!(capacity(&mut liar, 1) < 100 && capacity(&mut liar, 2) >= 60_000);
}

/// A peer that allows any number of streams, and calls for more and more of them, does not get them.
#[test]
fn streams_are_bounded_by_this_sides_own_limit_too() {
    let generous = Config::builder().max_streams(u32::MAX).build().unwrap();
    let mut pair = Pair::apart(&generous, &Config::builder().max_streams(10).build().unwrap());
    pair.run();
    let mut refused = 0;
    for _ in 0..20 {
        let (key, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1));
        let streams = pair.answer(SERVER, &arrived, Completion::Streaming(Bytes::from_static(&[0xc0]).into(), 1));
        pair.run();
        match pair.outcome(CLIENT, key) {
            Some(Outcome::Streaming(..)) => assert_eq!(streams.len(), 1),
            Some(Outcome::Status(status)) => {
                assert_eq!((status.code(), streams.len()), (Code::ResourceExhausted, 0));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, pair.ends[SERVER].connection.stats().streams_sending), (10, 10));
}

/// The connection ends while the arguments that streams came with are arriving, or cannot arrive. The shell was not
/// told of these streams, so they have no reader.
#[test]
fn streams_of_incomplete_calls_are_not_kept() {
    let announced = |total| {
        request_with(1, |request| {
            request.payload = Payload::announced(1, total);
            request.streams = vec![2].into();
        })
    };
    let cases: [(&str, Vec<Frame>); 3] = [
        ("arguments are arriving", vec![announced(70_000), item(2, 10), item(9, 1)]),
        ("arguments beyond the limit", vec![announced(u64::MAX), item(2, 10), item(9, 1)]),
        ("a stream twice", vec![opened(&[1, 1])]),
    ];
    for (what, frames) in cases {
        let mut liar = Liar::new(&Config::default());
        liar.say(&frames);
        assert_eq!(liar.closed(), Some(CloseCode::PROTOCOL), "{what}");
        let stats = liar.pair.ends[SERVER].connection.stats();
        assert_eq!((stats.streams_receiving, stats.stream_bytes_held), (0, 0), "{what}");
    }
}

/// A Stop for an unknown transfer searches nothing, however many streams wait for their turn.
#[test]
fn many_stops_for_nothing_cost_little() {
    let mut liar = Liar::new(&Config::default());
    let streams = liar.call_for_streams(1, 16_000);
    for id in &streams {
        assert_eq!(liar.pair.produce(SERVER, *id, [vec![0; 100].into()]), 0);
    }
    // Some streams go; the others wait for acknowledgements that do not come.
    liar.pair.transmit(SERVER);
    assert!(liar.pair.ends[SERVER].connection.stats().stream_bytes_queued > 1 << 20);
    let begun = thread_time();
    for _ in 0..1000 {
        let stops: Vec<_> = (0..1000).map(|n| Frame::Stop { transfer: (1 << 20) + n }).collect();
        liar.say(&stops);
    }
    assert_eq!(liar.closed(), None);
    let took = thread_time() - begun;
    assert!(took < Duration::from_secs(60), "a million of them took {took:?}");
}

/// A little shared credit lets one stream go on, and the others that wait for it are not looked at.
#[test]
fn credit_in_crumbs_costs_little() {
    let mut pair = Pair::apart(
        &Config::builder().streams_window(1).build().unwrap(),
        &Config::builder().unacked_bulk(8 << 20).build().unwrap(),
    );
    pair.run();
    let mut liar = Liar::at(pair);
    let streams = liar.call_for_streams(1, 16_000);
    for id in &streams {
        assert_eq!(liar.pair.produce(SERVER, *id, [vec![0; 10].into()]), 0);
    }
    // Each stream may send one item without shared credit.
    liar.pair.transmit(SERVER);
    let wakes = Arc::new(Count::default());
    let waker = Waker::from(wakes.clone());
    // Further items are not made before there is credit for them.
    for id in &streams {
        assert_eq!(liar.pair.produce(SERVER, *id, [vec![0; 10].into()]), 1);
        let room = liar.pair.ends[SERVER].connection.poll_stream(*id, &waker);
        assert_eq!(room, Some(StreamRoom::default()));
    }
    assert_eq!(liar.pair.ends[SERVER].connection.stats().stream_bytes_queued, 0);
    // The streams have spent this much more than the one byte of shared credit that they had.
    let owed = 16_000 * 42 - 1;
    let begun = thread_time();
    liar.say(&[Frame::Credit { stream: 0, items: 0, bytes: owed, read: 0 }]);
    for gone in 1..=10_000 {
        liar.say_quietly(&[Frame::Credit { stream: 0, items: 0, bytes: 42, read: 0 }]);
        let mut woken = Vec::new();
        liar.pair.ends[SERVER].connection.take_wakes(&mut woken);
        woken.into_iter().for_each(Waker::wake);
        assert_eq!(wakes.0.load(Ordering::Relaxed), gone, "one stream for each crumb of credit");
        let id = streams[gone - 1];
        assert_eq!(liar.pair.produce(SERVER, id, [vec![0; 10].into()]), 0);
        liar.pair.transmit(SERVER);
    }
    let took = thread_time() - begun;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A peer that grants credit and reads nothing makes this side hold no more than all streams together may queue.
#[test]
fn the_queues_of_many_streams_are_bounded() {
    for windows in [(1 << 30, 1 << 30), (1, 1 << 30), (1 << 30, 1)] {
        let (stream_window, streams_window) = windows;
        let max_stream_window = stream_window.max(4 << 20);
        let taker = Config::builder()
            .stream_window(stream_window)
            .max_stream_window(max_stream_window)
            .streams_window(streams_window)
            .stream_items(1000)
            .build()
            .unwrap();
        let mut pair = Pair::apart(&taker, &Config::default());
        pair.run();
        let mut liar = Liar::at(pair);
        let streams = liar.call_for_streams(1, 16_000);
        for _ in 0..3 {
            for id in &streams {
                liar.pair.produce(SERVER, *id, [vec![0; 60_000].into(), vec![0; 60_000].into()]);
            }
            liar.pair.transmit(SERVER);
        }
        liar.pair.check();
        let queued = liar.pair.ends[SERVER].connection.stats().stream_bytes_queued;
        assert!(queued <= (8 << 20) + 120_000, "{queued} bytes with windows of {windows:?}");
        assert_eq!(liar.closed(), None);
    }
}
