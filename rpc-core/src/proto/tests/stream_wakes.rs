//! After any interleaving, all producers come to their end, although each goes on only when it is woken, as the peer's
//! pump does.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    pair::{CLIENT, Call, Pair, SERVER, least},
    producers::Bell,
};
use crate::{
    Config,
    proto::{CallKey, Completion, ITEM, LongState, StreamRoom},
    wire::{Rope, TransferId},
};

/// The most polls of producers that other producers may cause.
const MOST_POLLS: usize = 20_000;

#[derive(Clone, Debug)]
enum Step {
    Call {
        from: usize,
        streams: usize,
    },
    Answer {
        at: usize,
        which: usize,
        streams: usize,
    },
    Cancel {
        at: usize,
        which: usize,
    },
    /// A source has more items.
    Make {
        which: usize,
        count: usize,
        len: usize,
    },
    /// All sources have more items.
    MakeAll {
        len: usize,
    },
    End {
        which: usize,
    },
    Read {
        at: usize,
        which: usize,
    },
    Leave {
        at: usize,
        which: usize,
    },
    Window {
        at: usize,
        which: usize,
        bytes: usize,
    },
    Poll(usize),
    Transmit(usize),
    Receive(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || prop_oneof![Just(CLIENT), Just(SERVER)];
    let which = || 0_usize..12;
    let len = || {
        prop_oneof![
            6 => 0_usize..200,
            2 => 300_usize..3000,
            1 => 20_000_usize..40_000,
            1 => 65_000_usize..140_000
        ]
    };
    prop_oneof![
        30 => (at(), 0_usize..5).prop_map(|(from, streams)| Step::Call { from, streams }),
        30 => (at(), which(), 0_usize..5).prop_map(|(at, which, streams)| Step::Answer { at, which, streams }),
        15 => (at(), which()).prop_map(|(at, which)| Step::Cancel { at, which }),
        60 => (which(), 1_usize..30, len()).prop_map(|(which, count, len)| Step::Make { which, count, len }),
        20 => len().prop_map(|len| Step::MakeAll { len }),
        10 => which().prop_map(|which| Step::End { which }),
        40 => (at(), which()).prop_map(|(at, which)| Step::Read { at, which }),
        8 => (at(), which()).prop_map(|(at, which)| Step::Leave { at, which }),
        5 => (at(), which(), 1_usize..100_000).prop_map(|(at, which, bytes)| Step::Window { at, which, bytes }),
        90 => which().prop_map(Step::Poll),
        50 => at().prop_map(Step::Transmit),
        50 => at().prop_map(Step::Receive),
        10 => (1_u64..500).prop_map(Step::Pass),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Wait,
    Gather(StreamRoom),
    HandOver,
    /// Waits until more items may be handed over.
    Room,
    Claim(usize),
    Sent(usize),
    Done,
}

/// The peer's pump, step by step.
struct Producer {
    at: usize,
    id: TransferId,
    bell: Arc<Bell>,
    doing: Doing,
    /// A long item that follows the items that are ready.
    long: Option<usize>,
    source: VecDeque<usize>,
    ends: bool,
    ready: VecDeque<(Rope, u32)>,
}

impl Producer {
    fn new(at: usize, id: TransferId) -> Self {
        let bell = Arc::new(Bell::default());
        bell.ring();
        Self {
            at,
            id,
            bell,
            doing: Doing::Wait,
            long: None,
            source: VecDeque::new(),
            ends: false,
            ready: VecDeque::new(),
        }
    }

    fn item(len: usize) -> (Rope, u32) {
        (Bytes::from(vec![7; len]).into(), 0)
    }

    /// Runs the producer until it has to wait.
    fn poll(&mut self, pair: &mut Pair) {
        let (id, now, waker) = (self.id, pair.now, self.bell.clone().into());
        let connection = &mut pair.ends[self.at].connection;
        loop {
            self.doing = match self.doing {
                Doing::Wait | Doing::Room => match connection.poll_stream(id, &waker) {
                    None => Doing::Done,
                    Some(room) if room.items == 0 => return,
                    Some(room) if matches!(self.doing, Doing::Wait) => Doing::Gather(room),
                    Some(_) => Doing::HandOver,
                },
                Doing::Gather(room) => {
                    let mut bytes = 0;
                    while self.ready.len() < room.items.min(512) && bytes < room.bytes {
                        let Some(len) = self.source.pop_front() else { break };
                        if len > connection.chunk() {
                            self.long = Some(len);
                            break;
                        }
                        bytes += len + ITEM;
                        self.ready.push_back(Self::item(len));
                    }
                    if self.ready.is_empty() && self.long.is_none() && !self.ends {
                        if connection.idle_stream(id, &waker) {
                            self.doing = Doing::Wait;
                            return;
                        }
                        Doing::Done
                    } else {
                        Doing::HandOver
                    }
                }
                Doing::HandOver if !self.ready.is_empty() => {
                    if !connection.push_items(now, id, &mut self.ready) {
                        Doing::Done
                    } else if self.ready.is_empty() {
                        Doing::HandOver
                    } else {
                        Doing::Room
                    }
                }
                Doing::HandOver => match self.long.take() {
                    Some(len) => Doing::Claim(len),
                    None if self.ends && self.source.is_empty() => {
                        connection.finish_stream(now, id, Ok(()));
                        Doing::Done
                    }
                    None => Doing::Wait,
                },
                Doing::Claim(len) => match connection.poll_long_item(id, len, &waker) {
                    None => Doing::Done,
                    Some(false) => return,
                    Some(true) => {
                        let mut items = VecDeque::from([Self::item(len)]);
                        if connection.push_items(now, id, &mut items) {
                            assert!(items.is_empty(), "claimed items are taken");
                            Doing::Sent(len)
                        } else {
                            Doing::Done
                        }
                    }
                },
                Doing::Sent(len) => match connection.poll_long(id, &waker) {
                    None => Doing::Done,
                    Some(LongState::Waits) => return,
                    Some(LongState::Returned) => Doing::Claim(len),
                    Some(LongState::Gone) => Doing::Wait,
                },
                Doing::Done => return,
            };
        }
    }
}

#[derive(Default)]
struct World {
    calls: [Vec<CallKey>; 2],
    serving: [Vec<super::pair::Arrived>; 2],
    reading: [Vec<TransferId>; 2],
    producers: Vec<Producer>,
}

impl World {
    fn look(&mut self, pair: &mut Pair) {
        let now = pair.now;
        for at in [CLIENT, SERVER] {
            pair.ends[at].take_events(now);
            for arrived in std::mem::take(&mut pair.ends[at].arrived) {
                self.reading[at].extend(&arrived.streams);
                self.serving[at].push(arrived);
            }
            for key in std::mem::take(&mut self.calls[at]) {
                match pair.outcome(at, key) {
                    None => self.calls[at].push(key),
                    Some(outcome) => self.reading[at].extend(&outcome.streams()),
                }
            }
        }
    }

    fn produces(&mut self, at: usize, streams: &[TransferId]) {
        self.producers.extend(streams.iter().map(|id| Producer::new(at, *id)));
    }

    fn read(&mut self, pair: &mut Pair, at: usize, id: TransferId) {
        if pair.read(at, id).1.is_some() {
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
            Step::Answer { at, which, streams } if which < self.serving[at].len() => {
                let served = self.serving[at].swap_remove(which);
                let value = Bytes::from_static(&[0xc0]).into();
                let completion =
                    if streams == 0 { Completion::Value(value) } else { Completion::Streaming(value, streams) };
                let streams = pair.answer(at, &served, completion);
                self.produces(at, &streams);
            }
            Step::Cancel { at, which } if which < self.calls[at].len() => {
                let key = self.calls[at].swap_remove(which);
                pair.ends[at].connection.cancel_call(key);
            }
            Step::Make { which, count, len } => {
                let all = self.producers.len().max(1);
                if let Some(producer) = self.producers.get_mut(which % all) {
                    if !producer.ends {
                        producer.source.extend(std::iter::repeat_n(len, count));
                        producer.bell.ring();
                    }
                }
            }
            Step::MakeAll { len } => {
                for producer in self.producers.iter_mut().filter(|producer| !producer.ends) {
                    producer.source.push_back(len);
                    producer.bell.ring();
                }
            }
            Step::End { which } => {
                let all = self.producers.len().max(1);
                if let Some(producer) = self.producers.get_mut(which % all) {
                    producer.ends = true;
                    producer.bell.ring();
                }
            }
            Step::Read { at, which } if which < self.reading[at].len() => self.read(pair, at, self.reading[at][which]),
            Step::Leave { at, which } if which < self.reading[at].len() => {
                let id = self.reading[at].swap_remove(which);
                pair.ends[at].connection.leave_stream(id);
            }
            Step::Window { at, which, bytes } if which < self.reading[at].len() => {
                pair.ends[at].connection.set_stream_window(self.reading[at][which], bytes);
            }
            Step::Poll(which) => {
                let rung: Vec<_> = self.producers.iter_mut().filter(|producer| producer.bell.is_rung()).collect();
                let count = rung.len().max(1);
                if let Some(producer) = rung.into_iter().nth(which % count) {
                    producer.bell.was_rung();
                    producer.poll(pair);
                }
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
            _ => {}
        }
    }

    /// Polls woken producers until no producer is woken.
    fn poll_woken(&mut self, pair: &mut Pair) {
        let mut polls = 0;
        loop {
            self.look(pair);
            let before = polls;
            for producer in self.producers.iter_mut().filter(|producer| producer.bell.was_rung()) {
                producer.poll(pair);
                polls += 1;
                assert!(polls < MOST_POLLS, "producers wake each other for ever");
            }
            if polls == before {
                return;
            }
        }
    }

    /// Lets sources end, readers read and handlers end.
    fn settle(&mut self, pair: &mut Pair) {
        for producer in &mut self.producers {
            producer.ends = true;
            producer.bell.ring();
        }
        for _ in 0..3000 {
            self.poll_woken(pair);
            pair.run();
            pair.check();
            self.look(pair);
            for at in [CLIENT, SERVER] {
                for served in std::mem::take(&mut self.serving[at]) {
                    pair.answer_ok(at, &served);
                }
                for id in self.reading[at].clone() {
                    self.read(pair, at, id);
                }
            }
            pair.pass(0.05);
            if self.is_done() {
                break;
            }
        }
    }

    fn is_done(&self) -> bool {
        let done = |producer: &Producer| matches!(producer.doing, Doing::Done);
        self.producers.iter().all(done) && self.reading.iter().all(Vec::is_empty)
    }

    fn check(&self, pair: &Pair) {
        for producer in &self.producers {
            let (id, doing, left) = (producer.id, producer.doing, producer.source.len());
            assert!(matches!(doing, Doing::Done), "stream {id} waits for ever: {doing:?}, {left} more in its source");
        }
        assert!(self.is_done(), "every stream has ended for its reader");
        for end in &pair.ends {
            assert_eq!(end.closed, None, "neither side broke the rules");
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
    let polls: usize = world.producers.iter().map(|producer| producer.bell.count.load(Ordering::Relaxed)).sum();
    assert!(polls < 200_000, "{polls} polls");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_the_defaults(steps in prop::collection::vec(step(), 0..300)) {
        run(steps, &Config::default());
    }

    #[test]
    fn with_little_room_and_credit(
        steps in prop::collection::vec(step(), 0..300),
        streams_window in 1_usize..300_000,
        stream_window in 1_usize..100_000,
        stream_items in 1_u32..64,
    ) {
        let config = Config::builder()
            .session_memory(1 << 20)
            .max_payload(200_000)
            .chunk(16 << 10)
            .outbox_soft(64 << 10)
            .outbox_hard(128 << 10)
            .max_stream_window(100_000)
            .stream_items(stream_items)
            .stream_window(stream_window)
            .streams_window(streams_window)
            .unacked_bulk(128 << 10)
            .max_unacked_bulk(128 << 10)
            .build()
            .unwrap();
        run(steps, &config);
    }

    #[test]
    fn with_every_bound_at_its_least(steps in prop::collection::vec(step(), 0..300)) {
        run(steps, &least());
    }
}
