//! After any interleaving of openings, items, credit, stops, ends, cancels and a lost link, both sides agree on every
//! stream, and hold nothing.

use std::{
    collections::{HashMap, HashSet},
    task::Waker,
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::pair::{Arrived, CLIENT, Call, Pair, SERVER, least};
use crate::{
    Config, ConnectionError,
    proto::{CallKey, Completion, LongState, Outcome, StreamEnd, StreamError},
    status::Status,
    wire::TransferId,
};

#[derive(Clone, Debug)]
enum Step {
    Call { from: usize, streams: usize },
    Answer { at: usize, which: usize, streams: usize, good: bool },
    Cancel { at: usize, which: usize },
    Produce { at: usize, which: usize, count: u32, len: usize },
    Finish { at: usize, which: usize, good: bool },
    Read { at: usize, which: usize },
    Leave { at: usize, which: usize },
    Window { at: usize, which: usize, bytes: usize },
    Transmit(usize),
    Receive(usize),
    Pass(u64),
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    let at = || prop_oneof![Just(CLIENT), Just(SERVER)];
    let which = || 0_usize..6;
    let len = prop_oneof![6 => 8_usize..200, 1 => 300_usize..3000, 1 => 65_000_usize..140_000];
    prop_oneof![
        40 => (at(), 0_usize..3).prop_map(|(from, streams)| Step::Call { from, streams }),
        40 => (at(), which(), 0_usize..3, prop::bool::weighted(0.8))
            .prop_map(|(at, which, streams, good)| Step::Answer { at, which, streams, good }),
        10 => (at(), which()).prop_map(|(at, which)| Step::Cancel { at, which }),
        90 => (at(), which(), 1_u32..30, len)
            .prop_map(|(at, which, count, len)| Step::Produce { at, which, count, len }),
        20 => (at(), which(), any::<bool>()).prop_map(|(at, which, good)| Step::Finish { at, which, good }),
        60 => (at(), which()).prop_map(|(at, which)| Step::Read { at, which }),
        10 => (at(), which()).prop_map(|(at, which)| Step::Leave { at, which }),
        5 => (at(), which(), 1_usize..100_000).prop_map(|(at, which, bytes)| Step::Window { at, which, bytes }),
        60 => at().prop_map(Step::Transmit),
        60 => at().prop_map(Step::Receive),
        10 => (1_u64..500).prop_map(Step::Pass),
        1 => Just(Step::Lose),
    ]
}

/// The name of a stream: the side that produces it, and its number.
type Name = (usize, TransferId);

/// What the producer of a stream has done.
#[derive(Default)]
struct Produced {
    items: u32,
    /// Whether the last item was longer than a chunk. Nothing is queued behind such an item before it has gone.
    long: bool,
    finished: Option<bool>,
}

/// What the reader of a stream has seen.
#[derive(Default)]
struct Seen {
    items: u32,
    end: Option<StreamEnd>,
    left: bool,
}

#[derive(Default)]
struct World {
    calls: [Vec<CallKey>; 2],
    serving: [Vec<Arrived>; 2],
    producing: [Vec<TransferId>; 2],
    reading: [Vec<TransferId>; 2],
    produced: HashMap<Name, Produced>,
    seen: HashMap<Name, Seen>,
    /// Argument streams of calls that were given up or have failed, which may end with a status of this crate.
    given_up: HashSet<Name>,
    lost: bool,
}

impl World {
    /// Takes the calls that have arrived at both ends.
    fn look(&mut self, pair: &mut Pair) {
        for at in [CLIENT, SERVER] {
            for arrived in std::mem::take(&mut pair.ends[at].arrived) {
                for id in &arrived.streams {
                    self.reading[at].push(*id);
                    self.seen.insert((1 - at, *id), Seen::default());
                }
                self.serving[at].push(arrived);
            }
            let mut ended = Vec::new();
            self.calls[at].retain(|key| match pair.outcome(at, *key) {
                None => true,
                Some(outcome) => {
                    ended.push(outcome);
                    false
                }
            });
            for outcome in ended {
                let Outcome::Streaming(_, streams) = outcome else { continue };
                for id in &streams {
                    self.reading[at].push(*id);
                    self.seen.insert((1 - at, *id), Seen::default());
                }
            }
        }
    }

    fn produces(&mut self, at: usize, streams: &[TransferId]) {
        self.producing[at].extend(streams);
        self.produced.extend(streams.iter().map(|id| ((at, *id), Produced::default())));
    }

    /// Whether a long item of a stream waits. An item that was given back is made again.
    fn is_busy(&mut self, pair: &mut Pair, at: usize, id: TransferId) -> bool {
        let Some(produced) = self.produced.get_mut(&(at, id)).filter(|produced| produced.long) else { return false };
        match pair.ends[at].connection.poll_long(id, Waker::noop()) {
            Some(LongState::Waits) => return true,
            Some(LongState::Returned) => produced.items -= 1,
            Some(LongState::Gone) | None => {}
        }
        produced.long = false;
        false
    }

    fn produce(&mut self, pair: &mut Pair, at: usize, id: TransferId, count: u32, len: usize) {
        for _ in 0..count {
            if self.is_busy(pair, at, id) {
                break;
            }
            let Some(produced) = self.produced.get_mut(&(at, id)) else { return };
            let long = len > pair.ends[at].connection.chunk();
            if long && pair.ends[at].connection.poll_long_item(id, len, Waker::noop()) != Some(true) {
                break;
            }
            let mut item = BytesMut::new();
            item.put_u32(produced.items);
            item.resize(len, 0);
            if pair.produce(at, id, [Bytes::from(item)]) > 0 {
                break;
            }
            produced.items += 1;
            produced.long = long;
        }
    }

    fn read(&mut self, pair: &mut Pair, at: usize, id: TransferId) {
        let (items, end) = pair.read(at, id);
        let Some(seen) = self.seen.get_mut(&(1 - at, id)) else { return };
        for item in items {
            let number = u32::from_be_bytes(item[..4].try_into().unwrap());
            assert!(item[4..].iter().all(|byte| *byte == 0));
            assert_eq!(number, seen.items, "items come in order, and none twice");
            seen.items += 1;
        }
        if end.is_some() {
            seen.end = end;
            self.reading[at].retain(|other| *other != id);
        }
    }

    fn step(&mut self, pair: &mut Pair, step: Step) {
        match step {
            Step::Call { from, streams } => {
                if let Ok(key) = pair.call(from, Call::new().payload(1).streams(streams)) {
                    self.calls[from].push(key);
                    let streams = pair.ends[from].connection.argument_streams(key);
                    self.produces(from, &streams);
                }
            }
            Step::Answer { at, which, streams, good } if which < self.serving[at].len() => {
                let served = self.serving[at].swap_remove(which);
                let completion = match good {
                    true if streams == 0 => Completion::Value(Bytes::from_static(&[0xc0]).into()),
                    true => Completion::Streaming(Bytes::from_static(&[0xc0]).into(), streams),
                    false => Completion::Status(Status::aborted("no")),
                };
                if !good {
                    self.given_up.extend(served.streams.iter().map(|id| (1 - at, *id)));
                }
                let streams = pair.answer(at, &served, completion);
                self.produces(at, &streams);
            }
            Step::Cancel { at, which } if which < self.calls[at].len() => {
                let key = self.calls[at].swap_remove(which);
                self.given_up.extend(pair.ends[at].connection.argument_streams(key).iter().map(|id| (at, *id)));
                pair.ends[at].connection.cancel_call(key);
            }
            Step::Produce { at, which, count, len } if which < self.producing[at].len() => {
                self.produce(pair, at, self.producing[at][which], count, len);
            }
            Step::Finish { at, which, good } if which < self.producing[at].len() => {
                let id = self.producing[at][which];
                if !self.is_busy(pair, at, id) {
                    self.producing[at].swap_remove(which);
                    self.finish(pair, at, id, good);
                }
            }
            Step::Read { at, which } if which < self.reading[at].len() => self.read(pair, at, self.reading[at][which]),
            Step::Leave { at, which } if which < self.reading[at].len() => {
                let id = self.reading[at].swap_remove(which);
                pair.ends[at].connection.leave_stream(id);
                self.seen.entry((1 - at, id)).or_default().left = true;
            }
            Step::Window { at, which, bytes } if which < self.reading[at].len() => {
                pair.ends[at].connection.set_stream_window(self.reading[at][which], bytes);
            }
            Step::Transmit(at) => pair.transmit(at),
            Step::Receive(at) => {
                pair.receive(at);
            }
            Step::Pass(ms) => {
                pair.now += Duration::from_millis(ms);
                for end in &mut pair.ends {
                    end.connection.handle_timeout(pair.now);
                }
            }
            Step::Lose => {
                self.lost = true;
                for end in &mut pair.ends {
                    end.connection.handle_lost(pair.now, ConnectionError::Lost("cut".to_owned()));
                    end.inbox.clear();
                    end.take_events(pair.now);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, pair: &mut Pair, at: usize, id: TransferId, good: bool) {
        let end = if good { Ok(()) } else { Err(StreamError::Fault(Bytes::from_static(&[1]))) };
        pair.finish(at, id, end);
        if let Some(produced) = self.produced.get_mut(&(at, id)) {
            produced.finished = Some(good);
        }
    }

    /// Lets readers read, producers finish and handlers end.
    fn settle(&mut self, pair: &mut Pair) {
        for _ in 0..400 {
            pair.pass(0.3);
            self.look(pair);
            for at in [CLIENT, SERVER] {
                for id in std::mem::take(&mut self.producing[at]) {
                    self.produce(pair, at, id, 1, 10);
                    if self.is_busy(pair, at, id) {
                        self.producing[at].push(id);
                    } else {
                        self.finish(pair, at, id, true);
                    }
                }
                for served in std::mem::take(&mut self.serving[at]) {
                    pair.answer_ok(at, &served);
                }
                for id in self.reading[at].clone() {
                    self.read(pair, at, id);
                }
            }
        }
    }

    fn check(&self, pair: &Pair) {
        assert!(self.calls.iter().all(Vec::is_empty), "every call has ended");
        assert!(self.reading.iter().all(Vec::is_empty), "every stream has ended for its reader");
        for (name, seen) in self.seen.iter().filter(|(_, seen)| !seen.left) {
            let produced = &self.produced[name];
            assert!(seen.items <= produced.items);
            match &seen.end {
                Some(Ok(())) => assert_eq!((produced.finished, seen.items), (Some(true), produced.items)),
                Some(Err(StreamError::Fault(_))) => {
                    assert_eq!((produced.finished, seen.items), (Some(false), produced.items));
                }
                Some(Err(StreamError::Status(status))) => {
                    assert!(self.lost || self.given_up.contains(name), "{status}");
                }
                None => panic!("a stream has not ended"),
            }
        }
        if !self.lost {
            for end in &pair.ends {
                assert_eq!(end.closed, None, "neither side broke the rules");
            }
        }
        for end in &pair.ends {
            let stats = end.connection.stats();
            let expected = crate::proto::ConnectionStats { unacked_bulk: stats.unacked_bulk, ..Default::default() };
            assert_eq!(stats, expected);
        }
    }
}

fn run(steps: Vec<Step>, config: &Config) {
    let (mut pair, mut world) = (Pair::open(config), World::default());
    for step in steps {
        world.look(&mut pair);
        world.step(&mut pair, step);
        pair.check();
    }
    world.settle(&mut pair);
    world.check(&pair);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_the_defaults(steps in prop::collection::vec(step(), 0..200)) {
        run(steps, &Config::default());
    }

    #[test]
    fn with_every_bound_at_its_least(steps in prop::collection::vec(step(), 0..200)) {
        run(steps, &least());
    }
}
