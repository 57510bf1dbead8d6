//! Streams between two ends.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    proto::{Completion, ITEM, Outcome, Reading, StreamEnd, StreamError, Taken},
    status::{Code, Status},
    wire::{ErrorBody, Frame, TransferId},
};

impl Pair {
    /// Queues as many items as the stream takes. Gives how many are left.
    pub(super) fn produce(&mut self, at: usize, id: TransferId, items: impl IntoIterator<Item = Bytes>) -> usize {
        let mut items: VecDeque<_> = items.into_iter().map(|item| (item.into(), 0)).collect();
        let now = self.now;
        self.ends[at].connection.push_items(now, id, &mut items);
        items.len()
    }

    pub(super) fn finish(&mut self, at: usize, id: TransferId, end: StreamEnd) {
        let now = self.now;
        self.ends[at].connection.finish_stream(now, id, end);
    }

    /// Reads what has come, and reports it.
    pub(super) fn read(&mut self, at: usize, id: TransferId) -> (Vec<Bytes>, Option<StreamEnd>) {
        let mut all = Vec::new();
        let connection = &mut self.ends[at].connection;
        loop {
            let mut items = VecDeque::new();
            match connection.take_items(id, Reading::default(), &mut items, Waker::noop()) {
                Taken::Items => {
                    // A reader reports its progress with its next read.
                    for some in items.make_contiguous().chunks(16) {
                        let bytes = some.iter().map(|item| i64::try_from(item.len()).unwrap() + 32).sum();
                        let items = i64::try_from(some.len()).unwrap();
                        connection.count_read(id, Reading { items, bytes, slow: items < 16 });
                    }
                    all.extend(items);
                }
                Taken::Nothing => return (all, None),
                Taken::End(end) => return (all, Some(end)),
            }
        }
    }

    /// Makes a call with one argument stream, which arrives. Gives the call and the stream.
    fn open_stream(&mut self) -> (crate::proto::CallKey, super::pair::Arrived, TransferId) {
        let (key, arrived) = self.call_and_arrive(CLIENT, Call::new().payload(1).streams(1));
        let id = arrived.streams[0];
        assert_eq!(self.ends[CLIENT].connection.argument_streams(key)[..], [id]);
        (key, arrived, id)
    }
}

fn items(count: usize, len: usize) -> impl Iterator<Item = Bytes> {
    (0..count).map(move |_| vec![7; len].into())
}

#[test]
fn items_come_in_order_and_the_end_comes_last() {
    let mut pair = Pair::with_defaults();
    let (key, arrived, id) = pair.open_stream();
    let sent: Vec<Bytes> = [1, 70_000, 2, 65_537, 65_536, 3].map(|len| vec![1; len].into()).into();
    let mut queue: VecDeque<Bytes> = sent.clone().into();
    let (mut came, mut end) = (Vec::new(), None);
    while end.is_none() {
        if let Some(item) = queue.pop_front() {
            if pair.produce(CLIENT, id, [item.clone()]) > 0 {
                queue.push_front(item);
            } else if queue.is_empty() {
                pair.finish(CLIENT, id, Err(StreamError::Fault(Bytes::from_static(&[9]))));
            }
        }
        pair.run();
        let (items, ended) = pair.read(SERVER, id);
        came.extend(items);
        end = ended;
    }
    assert_eq!(came, sent);
    assert_eq!(end, Some(Err(StreamError::Fault(Bytes::from_static(&[9])))));
    pair.answer_ok(SERVER, &arrived);
    pair.run();
    assert_eq!(pair.outcome(CLIENT, key), Some(Outcome::Value(Bytes::from_static(&[1]))));
    pair.assert_empty();
}

#[test]
fn a_reader_that_does_not_read_stops_its_producer() {
    let mut pair = Pair::open(&Config::builder().stream_items(10_000).build().unwrap());
    let (_, _, id) = pair.open_stream();
    let mut sent = 0;
    for _ in 0..100 {
        sent += 1000 - pair.produce(CLIENT, id, items(1000, 100));
        pair.run();
    }
    let held = pair.ends[SERVER].connection.stats().stream_bytes_held;
    // The last item may go beyond the window.
    assert!((256 * 1024..256 * 1024 + 132).contains(&held), "{held}");
    assert_eq!(sent, held / 132);
    let (came, _) = pair.read(SERVER, id);
    assert_eq!(came.len(), sent);
    pair.run();
    assert!(pair.produce(CLIENT, id, items(1, 100)) == 0, "there is credit again");

    let mut pair = Pair::with_defaults();
    let (_, _, id) = pair.open_stream();
    assert_eq!(pair.produce(CLIENT, id, items(100, 1)), 36, "64 are announced");
}

/// The shared window is full, and yet each stream can move.
#[test]
fn no_stream_waits_for_the_reader_of_another() {
    let config = Config::builder().streams_window(10_000).stream_items(1000).build().unwrap();
    let mut pair = Pair::open(&config);
    let (_, _, stuck) = pair.open_stream();
    let (_, _, other) = pair.open_stream();
    let left = pair.produce(CLIENT, stuck, items(1000, 100));
    pair.run();
    assert!(pair.ends[SERVER].connection.stats().stream_bytes_held >= 7_500);
    let mut came = 0;
    for _ in 0..50 {
        assert_eq!(pair.produce(CLIENT, other, items(1, 1000)), 0);
        pair.run();
        came += pair.read(SERVER, other).0.len();
        pair.run();
    }
    assert_eq!(came, 50);
    // The stream that was stuck goes on when it is read.
    let mut came = 0;
    for _ in 0..50 {
        came += pair.read(SERVER, stuck).0.len();
        pair.run();
    }
    assert_eq!(came, 1000 - left);
}

/// A window doubles while the reader waits for it, and not for the producer.
#[test]
fn a_window_grows_for_a_fast_reader_of_a_slow_link() {
    let mut pair = Pair::with_defaults();
    let (_, _, id) = pair.open_stream();
    let mut most = 0;
    for _ in 0..20 {
        // The window is full, because credit takes a round trip.
        let mut sent = 0;
        loop {
            let taken = 1000 - pair.produce(CLIENT, id, items(1000, 1000));
            sent += taken;
            if taken == 0 {
                break;
            }
            pair.transmit(CLIENT);
            pair.transmit(SERVER);
        }
        while pair.receive(SERVER) {}
        pair.read(SERVER, id);
        pair.run();
        most = most.max(sent);
    }
    assert!(most * 1032 > 3 << 20, "{most}");
    assert!(most * 1032 <= (4 << 20) + 66_000, "{most}");
}

/// With small items, the window of 64 items is the limit at first.
#[test]
fn a_window_grows_in_items_too() {
    let mut pair = Pair::with_defaults();
    let (_, _, id) = pair.open_stream();
    let mut most = 0;
    for _ in 0..40 {
        let sent = 10_000 - pair.produce(CLIENT, id, items(10_000, 8));
        most = most.max(sent);
        pair.run();
        pair.read(SERVER, id);
        pair.run();
    }
    // The producer's queue is the limit now.
    assert!(most > 1000, "{most}");
}

/// The reader of a slow producer waits for the producer, and not for the window.
#[test]
fn a_window_does_not_grow_if_the_producer_is_slow() {
    let mut pair = Pair::with_defaults();
    let (_, _, id) = pair.open_stream();
    for _ in 0..1000 {
        assert_eq!(pair.produce(CLIENT, id, items(1, 8)), 0);
        pair.run();
        assert_eq!(pair.read(SERVER, id).0.len(), 1);
        pair.pass(0.3);
    }
    let ahead = 10_000 - pair.produce(CLIENT, id, items(10_000, 8));
    assert!(ahead <= 64, "{ahead}");
}

#[test]
fn leaving_a_stream_stops_its_producer_and_the_call_goes_on() {
    let mut pair = Pair::with_defaults();
    let (key, arrived, id) = pair.open_stream();
    pair.produce(CLIENT, id, [vec![1; 200_000].into()]);
    pair.transmit(CLIENT);
    pair.receive(SERVER);
    pair.ends[SERVER].connection.leave_stream(id);
    pair.run();
    assert_eq!(pair.ends[CLIENT].connection.poll_stream(id, Waker::noop()), None);
    pair.answer_ok(SERVER, &arrived);
    pair.run();
    assert!(pair.outcome(CLIENT, key).is_some());
    pair.assert_empty();
}

#[test]
fn argument_streams_outlive_a_good_answer_and_not_a_bad_one() {
    for good in [true, false] {
        let mut pair = Pair::with_defaults();
        let (key, arrived, id) = pair.open_stream();
        let completion = if good {
            Completion::Value(Bytes::from_static(&[1]).into())
        } else {
            Completion::Status(Status::aborted("no"))
        };
        pair.answer(SERVER, &arrived, completion);
        pair.run();
        assert!(pair.outcome(CLIENT, key).is_some());
        assert_eq!(pair.ends[CLIENT].connection.poll_stream(id, Waker::noop()).is_some(), good);
        pair.produce(CLIENT, id, items(1, 5));
        pair.finish(CLIENT, id, Ok(()));
        pair.run();
        let (came, end) = pair.read(SERVER, id);
        assert_eq!(came.len(), usize::from(good));
        match end {
            Some(Ok(())) => assert!(good),
            Some(Err(StreamError::Status(status))) => assert!(!good && status.code() == Code::Cancelled),
            other => panic!("{other:?}"),
        }
        pair.assert_empty();
    }
}

/// An end that was queued behind items is dropped with these items.
#[test]
fn an_end_behind_dropped_items_is_dropped_with_them() {
    for queued in [0, 1] {
        let mut pair = Pair::with_defaults();
        let (key, _, id) = pair.open_stream();
        pair.produce(CLIENT, id, items(queued, 10));
        pair.finish(CLIENT, id, Err(StreamError::Fault(Bytes::from_static(&[9]))));
        pair.ends[CLIENT].connection.cancel_call(key);
        // The call ends without the Cancel, which may come later.
        pair.transmit(CLIENT);
        let end = pair.ends[CLIENT].connection.stats().streams_sending;
        assert_eq!(end, 0);
        let frames: Vec<_> = std::mem::take(&mut pair.ends[SERVER].inbox)
            .into_iter()
            .flat_map(|packet| crate::wire::read_packet(packet).unwrap().1)
            .map(Result::unwrap)
            .collect();
        let ends = frames.iter().filter_map(|frame| match frame {
            Frame::End { error, .. } => error.as_ref(),
            _ => None,
        });
        let faults = ends.filter(|error| matches!(error, ErrorBody::Fault(_))).count();
        assert_eq!(faults, usize::from(queued == 0));
    }
}

#[test]
fn result_streams_of_calls_that_were_given_up_are_stopped() {
    for when in 0..4 {
        let mut pair = Pair::with_defaults();
        let (key, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1));
        if when == 0 {
            pair.ends[CLIENT].connection.cancel_call(key);
        }
        let streams = pair.answer(SERVER, &arrived, Completion::Streaming(Bytes::from_static(&[0xc0]).into(), 2));
        assert_eq!(streams.len(), 2);
        pair.produce(SERVER, streams[0], items(3, 10));
        if when == 1 {
            pair.transmit(SERVER);
            pair.ends[CLIENT].connection.cancel_call(key);
        }
        pair.run();
        if when == 2 {
            // The call is answered, and its outcome has not been taken.
            pair.ends[CLIENT].connection.cancel_call(key);
        }
        if when == 3 {
            let Some(Outcome::Streaming(_, streams)) = pair.outcome(CLIENT, key) else { panic!("no streams") };
            assert_eq!(pair.read(CLIENT, streams[0]).0.len(), 3);
            for id in &streams {
                pair.ends[CLIENT].connection.leave_stream(*id);
            }
        }
        pair.run();
        for id in &streams {
            assert_eq!(pair.ends[SERVER].connection.poll_stream(*id, Waker::noop()), None, "{when}");
        }
        pair.assert_empty();
    }
}

#[test]
fn a_call_with_streams_lives_while_they_move() {
    let mut pair = Pair::with_defaults();
    let call = Call::new().payload(1).streams(1).idle_timeout(60);
    let (key, arrived) = pair.call_and_arrive(CLIENT, call);
    let id = arrived.streams[0];
    for _ in 0..10 {
        pair.pass(59.0);
        assert_eq!(pair.produce(CLIENT, id, items(1, 10)), 0);
        pair.run();
        pair.read(SERVER, id);
    }
    assert_eq!(pair.outcome(CLIENT, key), None);
    pair.pass(61.0);
    assert_eq!(pair.status(CLIENT, key).code(), Code::DeadlineExceeded);
    assert_eq!(pair.ends[CLIENT].connection.poll_stream(id, Waker::noop()), None);
}

/// The producer is done, and the progress of its reader keeps the call alive.
#[test]
fn a_call_lives_while_the_rest_of_its_streams_is_read() {
    let mut pair = Pair::with_defaults();
    let (key, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(1).idle_timeout(60));
    let id = arrived.streams[0];
    assert_eq!(pair.produce(CLIENT, id, items(3, 10)), 0);
    pair.finish(CLIENT, id, Ok(()));
    pair.run();
    let mut came = VecDeque::new();
    let server = &mut pair.ends[SERVER].connection;
    assert_eq!(server.take_items(id, Reading::default(), &mut came, Waker::noop()), Taken::Items);
    for item in came {
        pair.pass(59.0);
        let bytes = i64::try_from(item.len() + ITEM).unwrap();
        pair.ends[SERVER].connection.count_read(id, Reading { items: 1, bytes, slow: true });
        pair.run();
    }
    pair.pass(59.0);
    assert_eq!(pair.outcome(CLIENT, key), None);
    pair.pass(2.0);
    let status = pair.status(CLIENT, key);
    assert!(status.code() == Code::DeadlineExceeded && status.message().contains("no answer"), "{status}");
}

#[test]
fn a_drain_waits_for_streams_and_stops_them_after_its_grace() {
    let mut pair = Pair::with_defaults();
    let (key, arrived, id) = pair.open_stream();
    pair.answer_ok(SERVER, &arrived);
    pair.run();
    assert!(pair.outcome(CLIENT, key).is_some());
    let now = pair.now;
    pair.ends[SERVER].connection.drain(now, "bye");
    pair.pass(9.0);
    assert_eq!(pair.produce(CLIENT, id, items(1, 10)), 0);
    pair.run();
    assert_eq!(pair.read(SERVER, id).0.len(), 1);
    pair.pass(2.0);
    assert!(
        matches!(pair.read(SERVER, id).1, Some(Err(StreamError::Status(status))) if status.code() == Code::Unavailable)
    );
    assert!(pair.ends[SERVER].closed.is_some(), "nothing is left to wait for");
}

#[test]
fn items_that_have_come_are_read_after_the_link_is_lost() {
    let mut pair = Pair::with_defaults();
    let (_, _, id) = pair.open_stream();
    pair.produce(CLIENT, id, items(5, 10));
    pair.run();
    pair.ends[SERVER].connection.handle_lost(pair.now, crate::ConnectionError::Lost("cut".to_owned()));
    let (came, end) = pair.read(SERVER, id);
    assert_eq!(came.len(), 5);
    assert!(matches!(end, Some(Err(StreamError::Status(status))) if status.code() == Code::Unavailable));
    assert_eq!(pair.ends[SERVER].connection.stats().streams_receiving, 0);
}

/// More streams than the other side takes are refused before they are sent.
#[test]
fn streams_beyond_the_announced_limit_fail_their_call() {
    let config = Config::builder().max_streams(3).build().unwrap();
    let mut pair = Pair::open(&config);
    let now = pair.now;
    pair.open_stream();
    let mut start = crate::proto::CallStart::default();
    let connection = &mut pair.ends[CLIENT].connection;
    let (key, _) = connection.begin_call(now, &mut start, Waker::noop()).unwrap();
    let mut outgoing = crate::proto::Outgoing {
        method: 1,
        metadata: Vec::new(),
        payload: Bytes::from_static(&[0x90]).into(),
        streams: 3,
        charges: crate::proto::Charges::default(),
    };
    assert!(!connection.send_call(key, &mut outgoing, Waker::noop()));
    assert_eq!(pair.status(CLIENT, key).code(), Code::ResourceExhausted);
    let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(2));
    let streams = pair.answer(SERVER, &arrived, Completion::Streaming(Bytes::from_static(&[0xc0]).into(), 4));
    assert!(streams.is_empty());
}

#[test]
fn ten_thousand_streams_opened_and_dropped_leave_nothing() {
    let mut pair = Pair::with_defaults();
    for round in 0..1000 {
        let (key, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(10));
        for id in &arrived.streams {
            pair.produce(CLIENT, *id, items(3, 100));
        }
        if round % 2 == 0 {
            pair.transmit(CLIENT);
        }
        for id in &arrived.streams {
            pair.ends[SERVER].connection.leave_stream(*id);
        }
        pair.answer_ok(SERVER, &arrived);
        pair.run();
        assert!(pair.outcome(CLIENT, key).is_some());
    }
    pair.assert_empty();
    assert!(pair.ends.iter().all(|end| end.closed.is_none()));
}
