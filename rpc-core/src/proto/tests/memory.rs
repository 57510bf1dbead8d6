//! The memory of one session stays within `Config::session_memory`, even if the limits of its parts allow more.

use std::time::Duration;

use bytes::Bytes;

use super::{
    hostile::{Liar, request_of, request_with},
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ConnectionError, MemoryLimit},
    proto::{Completion, Outcome, StreamError},
    status::{Code, Execution},
    wire::{ErrorBody, Frame, Notify, Payload, Streams, TransferId},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn inline(len: usize) -> Payload {
    Payload::Inline(vec![0xc0; len].into())
}

fn held(liar: &Liar) -> usize {
    liar.pair.ends[SERVER].connection.stats().memory_held
}

fn notify(len: usize) -> Frame {
    Frame::Notify(Notify { method: 1, depth: 0, metadata: Vec::new(), payload: inline(len), missed: None })
}

fn with_streams(id: u64, streams: impl IntoIterator<Item = TransferId>) -> Frame {
    request_with(id, |request| request.streams = streams.into_iter().collect::<Vec<_>>().into())
}

/// A configuration in which the part for what comes in is 3 MiB.
fn small() -> Config {
    Config::builder().session_memory(8 * MIB).outbox_hard(3 * MIB).max_payload(2 * MIB).build().unwrap()
}

#[test]
fn arguments_count_alike_in_their_frame_and_in_chunks() {
    let mut liar = Liar::new(&Config::builder().max_arguments(MIB).build().unwrap());
    for id in 1..=20 {
        liar.say(&[request_of(id, inline(100 * KIB))]);
    }
    let statuses = liar.statuses();
    assert_eq!((statuses.len(), statuses[0]), (10, (11, Code::ResourceExhausted)));
    assert_eq!(liar.closed(), None);
}

#[test]
fn short_arguments_do_not_count() {
    let mut liar = Liar::new(&Config::builder().max_arguments(1).build().unwrap());
    liar.say(&[request_of(1, inline(4 * KIB)), request_of(2, inline(4 * KIB + 1))]);
    // No attempt will succeed, because the arguments are longer than the limit by themselves.
    assert_eq!(liar.statuses(), [(2, Code::OutOfRange)]);
}

#[test]
fn done_reports_what_one_way_calls_counted() {
    let mut pair = Pair::open(&Config::builder().max_arguments(64 * KIB).build().unwrap());
    for _ in 0..100 {
        let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().oneway().payload(30_000));
        pair.answer_ok(SERVER, &arrived);
        pair.run();
    }
    pair.assert_empty();
}

/// Each call is refused, and its announced bytes are reported as done nevertheless.
#[test]
fn refused_one_way_calls_of_any_length_can_be_counted() {
    let mut liar = Liar::new(&Config::default());
    for transfer in 1..=3 {
        let payload = Payload::announced(transfer, u64::MAX);
        liar.say(&[Frame::Notify(Notify { method: 1, depth: 0, metadata: Vec::new(), payload, missed: None })]);
        liar.say(&[Frame::Abort { transfer }]);
    }
    assert_eq!((liar.closed(), held(&liar)), (None, 0));
}

#[test]
fn calls_beyond_the_memory_of_a_session_are_refused() {
    let config = small().to_builder().max_arguments(64 * MIB).build().unwrap();
    for announced in [false, true] {
        let mut liar = Liar::new(&config);
        for id in 1..=100 {
            let payload = if announced { Payload::announced(id, 100_000) } else { inline(100_000) };
            liar.say(&[request_of(id, payload)]);
        }
        let statuses = liar.statuses();
        assert!((65..75).contains(&statuses.len()), "{} calls", statuses.len());
        assert!(statuses.iter().all(|(_, code)| *code == Code::ResourceExhausted));
        assert!(held(&liar) <= 3 * MIB && liar.closed().is_none());
    }
}

#[test]
fn metadata_and_many_small_calls_count() {
    let mut liar = Liar::new(&small().to_builder().max_calls(100_000).max_metadata(60_000).build().unwrap());
    for id in 1..=100 {
        let large = vec![("k".to_owned(), "v".repeat(50_000))];
        liar.say(&[request_with(id, |request| request.metadata = large)]);
    }
    assert!(liar.statuses().len() > 30 && held(&liar) <= 3 * MIB, "{} bytes", held(&liar));
    let mut liar = Liar::new(&small().to_builder().max_calls(100_000).build().unwrap());
    for packet in 0..100 {
        liar.say(&(0..100).map(|n| request_with(packet * 100 + n + 1, |_| {})).collect::<Vec<_>>());
    }
    assert!(liar.statuses().len() > 3_000 && held(&liar) <= 3 * MIB, "{} bytes", held(&liar));
    assert_eq!(liar.closed(), None);
}

/// No one-way call is dropped while the session lives, so too many of them end the session.
#[test]
fn one_way_calls_beyond_the_memory_of_a_session_end_it() {
    let mut liar = Liar::new(&small().to_builder().max_arguments(64 * MIB).build().unwrap());
    let sent = (1..=100).find(|_| {
        liar.say(&[notify(100_000)]);
        liar.closed().is_some()
    });
    assert!(sent.is_some_and(|sent| (30..36).contains(&sent)), "{sent:?}");
    assert_eq!((liar.closed(), held(&liar)), (Some(CloseCode::TRY_AGAIN_LATER), 0));
    let closed = &liar.pair.ends[SERVER].closed;
    let Some(ConnectionError::Overloaded(overload)) = closed else { panic!("{closed:?}") };
    let input = small().session_memory() / 4 * 3 - small().outbox_hard();
    assert_eq!((overload.limit, overload.max), (MemoryLimit::Session, input), "the bound that counts");
    assert!(overload.held > overload.max + overload.max / 16, "{overload:?}");
    assert!((3 * MIB..4 * MIB).contains(&overload.held), "{overload:?}");
}

#[test]
fn results_beyond_the_memory_of_a_session_fail_their_calls() {
    // In chunks, and in the frame.
    for (len, calls, fit) in [(MIB, 4, 3), (60 * KIB, 60, 51)] {
        let mut pair = Pair::apart(&small(), &Config::default());
        pair.run();
        let calls: Vec<_> = (0..calls).map(|_| pair.call_and_arrive(CLIENT, Call::new())).collect();
        for (_, arrived) in &calls {
            pair.answer(SERVER, arrived, Completion::Value(Bytes::from(vec![7; len]).into()));
        }
        pair.run();
        assert!(pair.ends[CLIENT].connection.is_open());
        assert!(pair.ends[CLIENT].connection.stats().memory_held <= 3 * MIB);
        let outcomes = calls.iter().map(|(key, _)| match pair.outcome(CLIENT, *key) {
            Some(Outcome::Value(bytes)) => Ok(bytes.len()),
            Some(Outcome::Status(status)) => Err((status.code(), status.execution())),
            other => panic!("{other:?}"),
        });
        let refused = Err((Code::ResourceExhausted, Execution::Unknown));
        for (place, outcome) in outcomes.enumerate() {
            assert_eq!(outcome, if place < fit { Ok(len) } else { refused }, "result {place} of {len} bytes");
        }
        pair.assert_empty();
    }
}

/// A result in its frame is refused like a result in chunks, and the session goes on.
#[test]
fn short_results_beyond_the_memory_of_a_session_fail_their_calls() {
    let mut liar = Liar::new(&small());
    let keys: Vec<_> = (0..100).map(|_| liar.pair.call(SERVER, Call::new()).expect("there are permits")).collect();
    liar.pair.transmit(SERVER);
    for key in &keys {
        let (payload, streams) = (inline(60_000), Streams::default());
        liar.say(&[Frame::Response { id: key.id(), payload, streams }]);
    }
    assert!(held(&liar) <= 3 * MIB && liar.closed().is_none(), "{} bytes", held(&liar));
    assert!(matches!(liar.pair.outcome(SERVER, keys[0]), Some(Outcome::Value(_))));
    let refused = liar.pair.status(SERVER, keys[99]);
    assert_eq!((refused.code(), refused.execution()), (Code::ResourceExhausted, Execution::Unknown));
}

#[test]
fn items_beyond_the_memory_of_a_session_stop_their_streams() {
    let mut liar = Liar::new(&small());
    liar.say(&[with_streams(1, 1..=100)]);
    for stream in 1..=100 {
        liar.say(&[Frame::Item { stream, payload: inline(60_000) }]);
    }
    assert!(held(&liar) <= 3 * MIB + 60_000 && liar.closed().is_none(), "{} bytes", held(&liar));
    let (came, end) = liar.pair.read(SERVER, 100);
    assert!(came.is_empty());
    assert!(matches!(end, Some(Err(StreamError::Status(status))) if status.code() == Code::ResourceExhausted));
    assert_eq!(liar.pair.read(SERVER, 1).0.len(), 1);
}

/// The error at a stream's end counts until it is read, also if the stream's call is not complete.
#[test]
fn the_errors_that_streams_end_with_count() {
    let mut liar = Liar::new(&small());
    let mut id = 0;
    let mut number = || {
        id += 1;
        id
    };
    for call in 1..=100 {
        let transfer = number();
        let streams: Vec<_> = (0..10).map(|_| number()).collect();
        let ends = streams.clone();
        liar.say(&[request_with(call, |request| {
            request.payload = Payload::announced(transfer, 10_000);
            request.streams = streams.into();
        })]);
        for stream in ends {
            let fault = ErrorBody::Fault(inline(60_000));
            liar.say(&[Frame::End { stream, error: Some(fault) }]);
        }
    }
    assert!(held(&liar) <= 3 * MIB + 3 * MIB / 16, "{} bytes", held(&liar));
    assert_eq!(liar.closed(), None);
}

/// Streams that have ended do not count as open, but their entries take memory.
#[test]
fn streams_that_have_ended_and_are_not_read_count() {
    let mut liar = Liar::new(&small());
    let mut id: TransferId = 0;
    for call in 1..=500 {
        let (first, last) = (id + 2, id + 129);
        let transfer = id + 1;
        id = last;
        liar.say(&[request_with(call, |request| {
            request.payload = Payload::announced(transfer, 300);
            request.streams = (first..=last).collect::<Vec<_>>().into();
        })]);
        if liar.closed().is_some() {
            break;
        }
        liar.say(&(first..=last).map(|stream| Frame::End { stream, error: None }).collect::<Vec<_>>());
        // The peer reads the refusals.
        liar.statuses();
    }
    let stats = liar.pair.ends[SERVER].connection.stats();
    assert!(stats.streams_receiving <= 6_600, "{} streams", stats.streams_receiving);
    assert!(held(&liar) <= 3 * MIB + 3 * MIB / 16, "{} bytes", held(&liar));
    assert_eq!(liar.closed(), None);
}

/// Streams that have not ended take memory too, although their calls are refused.
#[test]
fn streams_that_cannot_be_refused_end_the_session() {
    let mut liar = Liar::new(&small().to_builder().max_streams(u32::MAX).build().unwrap());
    let closed = (0..1_000).find(|call| {
        liar.say(&[with_streams(call + 1, call * 128 + 1..=call * 128 + 128)]);
        liar.closed().is_some()
    });
    assert!(closed.is_some_and(|calls| calls < 60), "{closed:?}");
    assert_eq!(liar.closed(), Some(CloseCode::TRY_AGAIN_LATER));
}

/// A table that was large once becomes small again, within seconds.
#[test]
fn nothing_is_left_of_many_streams() {
    let mut liar = Liar::new(&Config::default());
    let streams: Vec<TransferId> = (1..=12_800).collect();
    for (call, streams) in (1..).zip(streams.chunks(128)) {
        liar.say(&[with_streams(call, streams.iter().copied())]);
    }
    assert!(liar.pair.ends[SERVER].connection.room_for_streams() >= 12_800);
    for stream in &streams {
        liar.say(&[Frame::End { stream: *stream, error: None }]);
        liar.pair.ends[SERVER].connection.leave_stream(*stream);
    }
    let after = liar.pair.now + Duration::from_secs(5);
    liar.pair.ends[SERVER].connection.handle_timeout(after);
    let room = liar.pair.ends[SERVER].connection.room_for_streams();
    assert_eq!(room, 0);
    assert_eq!(liar.pair.ends[SERVER].connection.rare_parts(), [""; 0]);
    assert_eq!(liar.closed(), None);
}

/// Each of many streams has one tiny item, for which no large block is allocated.
#[test]
fn tiny_items_of_many_streams_take_little() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[with_streams(1, 1..=100)]);
    for stream in 1..=100 {
        let filler = vec![Frame::Cancel { id: 99, expired: false }; 1000];
        liar.say(&[vec![Frame::Item { stream, payload: inline(1) }], filler].concat());
    }
    for stream in 1..=100 {
        let (items, _) = liar.pair.read(SERVER, stream);
        let item = items.into_iter().next().unwrap();
        liar.pair.ends[SERVER].connection.leave_stream(stream);
        let capacity = item.try_into_mut().map(|item| item.capacity());
        assert!(capacity.as_ref().is_ok_and(|capacity| *capacity < 200), "{capacity:?}");
    }
}
