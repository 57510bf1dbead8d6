use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::{contract::MethodDescriptor, overflow::Overflow, wire::Rope};

static PRICE: MethodDescriptor = MethodDescriptor::new("Market", "price", 1).oneway();
static NOTE: MethodDescriptor = MethodDescriptor::new("Market", "note", 1).oneway();

fn config(calls: usize, bytes: usize) -> Config {
    Config::builder().max_queued_calls(calls).max_queued_bytes(bytes).build().unwrap()
}

fn call(
    method: &'static MethodDescriptor,
    overflow: Overflow,
    key: &'static str,
    text: &'static str,
) -> Arc<QueuedCall> {
    Arc::new(QueuedCall {
        method,
        depth: 0,
        metadata: Vec::new(),
        arguments: Rope::from(Bytes::from_static(text.as_bytes())),
        overflow,
        key: Bytes::from_static(key.as_bytes()),
        ttl: None,
    })
}

struct Bench {
    queue: OnewayQueue,
    config: Config,
    now: Instant,
}

impl Bench {
    fn new(calls: usize, bytes: usize) -> Self {
        Self { queue: OnewayQueue::default(), config: config(calls, bytes), now: Instant::now() }
    }

    fn push(&mut self, overflow: Overflow, key: &'static str, text: &'static str) -> Enqueued {
        match self.queue.push(self.now, &call(&PRICE, overflow, key, text), &self.config).unwrap() {
            Enqueued::Queued { dropped, waiting } => {
                assert_eq!(waiting, self.queue.len());
                Enqueued::Queued { dropped, waiting: 0 }
            }
            other => other,
        }
    }

    /// Sends all that may go; the texts, with how many were missed.
    fn send(&mut self) -> Vec<(String, Option<u64>)> {
        let mut sent = Vec::new();
        self.queue.drop_late(self.now);
        while self.queue.front().is_some() {
            let Leaving { call, missed } = self.queue.pop().unwrap();
            self.queue.drop_late(self.now);
            sent.push((String::from_utf8(call.arguments.clone().into_bytes().to_vec()).unwrap(), missed));
        }
        sent
    }

    fn texts(&mut self) -> Vec<String> {
        self.send().into_iter().map(|(text, _)| text).collect()
    }
}

const QUEUED: Enqueued = Enqueued::Queued { dropped: 0, waiting: 0 };
const DISPLACED: Enqueued = Enqueued::Queued { dropped: 1, waiting: 0 };

#[test]
fn calls_leave_in_the_order_in_which_they_came() {
    let mut bench = Bench::new(8, 10_000);
    for text in ["one", "two", "three"] {
        assert_eq!(bench.push(Overflow::DropNewest, "", text), QUEUED);
    }
    assert_eq!((bench.queue.len(), bench.queue.bytes(), bench.queue.last()), (3, 11 + 3 * 64, 3));
    assert_eq!(bench.texts(), ["one", "two", "three"]);
    assert_eq!((bench.queue.len(), bench.queue.bytes(), bench.queue.gone()), (0, 0, 3));
}

#[test]
fn the_oldest_or_the_newest_makes_room() {
    let mut bench = Bench::new(2, 10_000);
    for (text, taken) in [("a", QUEUED), ("b", QUEUED), ("c", DISPLACED), ("d", DISPLACED)] {
        assert_eq!(bench.push(Overflow::DropOldest, "", text), taken);
    }
    assert_eq!(bench.push(Overflow::DropNewest, "", "e"), Enqueued::Dropped);
    assert_eq!(bench.queue.dropped(), 3);
    assert_eq!(bench.send(), [("c".to_owned(), Some(3)), ("d".to_owned(), Some(0))]);
}

#[test]
fn each_bound_holds_at_one_and_one_call_may_always_wait() {
    let mut bench = Bench::new(1, 1);
    assert_eq!(bench.push(Overflow::DropOldest, "", "longer than the bound"), QUEUED);
    assert_eq!(bench.push(Overflow::DropOldest, "", "next"), DISPLACED);
    assert_eq!(bench.push(Overflow::DropNewest, "", "lost"), Enqueued::Dropped);
    assert_eq!(bench.texts(), ["next"]);
}

#[test]
fn bytes_bound_the_queue_as_calls_do() {
    let mut bench = Bench::new(100, 2 * (64 + 4));
    for text in ["aaaa", "bbbb"] {
        assert_eq!(bench.push(Overflow::DropOldest, "", text), QUEUED);
    }
    assert_eq!(bench.push(Overflow::DropOldest, "", "ccccc"), Enqueued::Queued { dropped: 2, waiting: 0 });
    assert_eq!(bench.texts(), ["ccccc"], "two of four and five bytes are too many");
}

#[test]
fn the_newest_of_a_key_takes_the_place_of_the_older_one() {
    let mut bench = Bench::new(8, 10_000);
    for (key, text) in [("x", "x1"), ("y", "y1"), ("x", "x2"), ("z", "z1"), ("y", "y2")] {
        assert_eq!(bench.push(Overflow::Conflate, key, text), QUEUED);
    }
    assert_eq!(bench.queue.dropped(), 0, "a call that is replaced is not dropped");
    assert_eq!(bench.send(), [("x2", 0), ("y2", 0), ("z1", 0)].map(|(text, n)| (text.to_owned(), Some(n))));
}

#[test]
fn what_is_replaced_behind_other_calls_goes_to_the_end() {
    let mut bench = Bench::new(8, 10_000);
    bench.push(Overflow::Conflate, "x", "x1");
    bench.push(Overflow::Disconnect, "", "order");
    bench.push(Overflow::Conflate, "x", "x2");
    bench.push(Overflow::Conflate, "x", "x3");
    assert_eq!(bench.texts(), ["order", "x3"]);
}

#[test]
fn a_key_that_finds_no_place_takes_that_of_the_oldest_key() {
    let mut bench = Bench::new(2, 10_000);
    bench.push(Overflow::Conflate, "x", "x1");
    bench.push(Overflow::Conflate, "y", "y1");
    assert_eq!(bench.push(Overflow::Conflate, "z", "z1"), DISPLACED);
    assert_eq!(bench.send(), [("y1".to_owned(), Some(1)), ("z1".to_owned(), Some(0))]);
}

#[test]
fn calls_that_may_not_be_dropped_are_not_counted_and_end_the_session_by_their_bytes() {
    let mut bench = Bench::new(1, 3 * 65);
    for _ in 0..3 {
        assert_eq!(bench.push(Overflow::Disconnect, "", "a"), QUEUED);
    }
    assert_eq!(bench.push(Overflow::DropOldest, "", "b"), Enqueued::Dropped, "they make no room");
    bench.now += Duration::from_secs(1);
    let fourth = call(&PRICE, Overflow::Disconnect, "", "c");
    assert_eq!(bench.queue.push(bench.now, &fourth, &bench.config), Err(Overflowing { held: 4 * 65 }));
    assert_eq!(bench.send(), vec![("a".to_owned(), None); 3]);
}

#[test]
fn only_some_calls_leave_until_others_are_done() {
    let mut bench = Bench::new(100, 1 << 20);
    for _ in 0..20 {
        bench.push(Overflow::DropOldest, "", "a");
    }
    assert_eq!(bench.texts().len(), 16);
    assert!(bench.queue.front().is_none());
    bench.queue.handle_done(3).unwrap();
    assert!(bench.queue.front().is_some());
    assert_eq!(bench.texts().len(), 3);
    assert!(bench.queue.handle_done(20).is_err());
}

#[test]
fn what_is_too_old_when_its_turn_comes_is_dropped() {
    let mut bench = Bench::new(8, 10_000);
    let ttl = Duration::from_secs(2);
    let aging = |overflow, text| {
        let call = call(&PRICE, overflow, "", text);
        Arc::new(QueuedCall { ttl: Some(ttl), ..Arc::into_inner(call).unwrap() })
    };
    bench.queue.push(bench.now, &aging(Overflow::DropOldest, "old"), &bench.config).unwrap();
    bench.push(Overflow::Disconnect, "", "kept");
    bench.queue.push(bench.now, &aging(Overflow::Disconnect, "old as well"), &bench.config).unwrap();
    bench.now += ttl + Duration::from_millis(1);
    bench.queue.push(bench.now, &aging(Overflow::DropOldest, "new"), &bench.config).unwrap();
    assert_eq!(bench.send(), [("kept".to_owned(), None), ("new".to_owned(), Some(2))]);
}

#[test]
fn a_replaced_call_has_the_time_of_the_newer_one() {
    let mut bench = Bench::new(8, 10_000);
    let ttl = Some(Duration::from_secs(2));
    let price =
        |text| Arc::new(QueuedCall { ttl, ..Arc::into_inner(call(&PRICE, Overflow::Conflate, "x", text)).unwrap() });
    bench.queue.push(bench.now, &price("x1"), &bench.config).unwrap();
    bench.now += Duration::from_secs(2);
    bench.queue.push(bench.now, &price("x2"), &bench.config).unwrap();
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.texts(), ["x2"]);
}

#[test]
fn the_oldest_call_that_is_not_dropped_is_due() {
    let mut bench = Bench::new(8, 10_000);
    let (begun, second) = (bench.now, Duration::from_secs(1));
    bench.push(Overflow::DropOldest, "", "a");
    assert_eq!(bench.queue.due(10 * second), None);
    bench.now += second;
    bench.push(Overflow::Disconnect, "", "b");
    bench.now += second;
    bench.push(Overflow::Disconnect, "", "c");
    assert_eq!(bench.queue.due(10 * second), Some(begun + 11 * second));
    let now = begun + 11 * second;
    assert!(!bench.queue.is_overdue(now, 10 * second), "the program may have been stopped itself");
    assert!(bench.queue.due(10 * second).unwrap() > now && !bench.queue.is_overdue(now, 10 * second));
    assert!(bench.queue.is_overdue(now + second, 10 * second));
    bench.queue.restart(bench.now + second);
    assert_eq!(bench.queue.due(10 * second), Some(begun + 13 * second));
}

#[test]
fn what_was_missed_is_told_for_each_method_by_the_next_call_that_goes() {
    let mut bench = Bench::new(1, 10_000);
    bench.push(Overflow::DropNewest, "", "a");
    bench.push(Overflow::DropNewest, "", "b");
    let note = call(&NOTE, Overflow::DropNewest, "", "note");
    bench.queue.push(bench.now, &note, &bench.config).unwrap();
    assert_eq!(bench.send(), [("a".to_owned(), Some(1))]);
    bench.queue.push(bench.now, &note, &bench.config).unwrap();
    assert_eq!(bench.send(), [("note".to_owned(), Some(1))]);
    bench.push(Overflow::DropNewest, "", "c");
    assert_eq!(bench.send(), [("c".to_owned(), Some(0))]);
}

#[test]
fn calls_that_queues_share_are_counted_about_once() {
    let (mut queues, config, now) = (Vec::new(), config(8, 1 << 20), Instant::now());
    let shared = Arc::new(QueuedCall {
        arguments: Rope::from(Bytes::from(vec![7; 100_000])),
        ..Arc::into_inner(call(&NOTE, Overflow::Disconnect, "", "")).unwrap()
    });
    for _ in 0..100 {
        let mut queue = OnewayQueue::default();
        queue.push(now, &shared, &config).unwrap();
        queues.push(queue);
    }
    assert!(queues.iter().all(|queue| queue.bytes() == 100_064));
    let memory: usize = queues.iter().map(OnewayQueue::memory).sum();
    assert!((100_000..=600_000).contains(&memory), "{memory}");
    for queue in &mut queues {
        queue.pop();
    }
    assert!(queues.iter().all(|queue| queue.memory() == 0));
}

#[test]
fn calls_that_may_be_dropped_make_room_for_those_that_may_not() {
    let mut bench = Bench::new(8, 3 * 65);
    for overflow in [Overflow::DropOldest, Overflow::Conflate, Overflow::DropNewest] {
        assert_eq!(bench.push(overflow, "", "a"), QUEUED);
    }
    bench.now += Duration::from_secs(2);
    assert_eq!(bench.push(Overflow::Disconnect, "", "b"), DISPLACED);
    assert_eq!(bench.texts(), ["a", "a", "b"]);
}

#[test]
fn a_call_that_finds_no_place_costs_no_other_call_its_own() {
    let mut bench = Bench::new(8, 4 * 65);
    bench.push(Overflow::Disconnect, "", "a");
    bench.push(Overflow::Disconnect, "", "b");
    bench.push(Overflow::Conflate, "x", "x");
    bench.push(Overflow::DropOldest, "", "c");
    let long = "longer than all that could make room for it, and much too long for the queue as well";
    let long: &'static str = Box::leak(long.repeat(4).into_boxed_str());
    assert_eq!(bench.push(Overflow::DropOldest, "", long), Enqueued::Dropped);
    assert_eq!(bench.push(Overflow::Conflate, "x", long), Enqueued::Dropped);
    assert_eq!(bench.texts(), ["a", "b", "x", "c"]);
}

#[test]
fn what_is_too_old_makes_room_wherever_it_waits() {
    let mut bench = Bench::new(2, 10_000);
    let ttl = Some(Duration::from_secs(1));
    bench.push(Overflow::DropNewest, "", "kept");
    let old = Arc::new(QueuedCall { ttl, ..Arc::into_inner(call(&PRICE, Overflow::DropNewest, "", "old")).unwrap() });
    bench.queue.push(bench.now, &old, &bench.config).unwrap();
    bench.now += Duration::from_secs(2);
    assert_eq!(bench.push(Overflow::DropNewest, "", "new"), DISPLACED);
    assert_eq!(bench.texts(), ["kept", "new"]);
}
