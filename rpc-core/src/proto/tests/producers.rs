//! Producers that wait for room or credit, as the peer's pump does: only their wakers make them go on.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{Config, proto::CallKey, wire::TransferId};

/// Whether a producer was woken, and how often.
#[derive(Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    pub(super) count: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Relaxed)
    }

    /// Whether the bell was rung since the last call of this function.
    pub(super) fn was_rung(&self) -> bool {
        self.rung.swap(false, Ordering::Relaxed)
    }
}

/// A configuration in which all streams together may queue a few chunks.
fn crowded() -> Config {
    Config::builder()
        .session_memory(1 << 20)
        .max_payload(64 << 10)
        .chunk(32 << 10)
        .outbox_soft(64 << 10)
        .outbox_hard(256 << 10)
        .build()
        .unwrap()
}

/// Makes calls whose requests wait, each with a stream, and fills the queues of the streams until stream `id` takes
/// nothing.
fn fill(pair: &mut Pair, id: TransferId, waker: &Waker) -> Vec<CallKey> {
    let mut calls = Vec::new();
    loop {
        let room = pair.ends[CLIENT].connection.poll_stream(id, waker).unwrap();
        if room.items == 0 {
            return calls;
        }
        assert!(pair.ends[CLIENT].connection.idle_stream(id, waker));
        let key = pair.call(CLIENT, Call::new().payload(1).streams(1)).unwrap();
        let stream = pair.ends[CLIENT].connection.argument_streams(key)[0];
        pair.produce(CLIENT, stream, vec![Bytes::from(vec![7; 30_000]); 2]);
        calls.push(key);
        assert!(calls.len() < 1000, "the room is not bounded");
    }
}

/// Calls that are given up before they were sent leave their room to other producers, which are woken.
#[test]
fn the_room_of_unsent_calls_goes_to_waiting_producers() {
    let mut pair = Pair::open(&crowded());
    let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(1));
    let id = arrived.streams[0];
    let bell = Arc::new(Bell::default());
    let calls = fill(&mut pair, id, &bell.clone().into());
    for key in calls {
        pair.ends[CLIENT].connection.cancel_call(key);
    }
    let mut wakes = Vec::new();
    pair.ends[CLIENT].connection.take_wakes(&mut wakes);
    wakes.into_iter().for_each(Waker::wake);
    assert!(bell.was_rung(), "there is room now");
    let mut items = VecDeque::from([(Bytes::from_static(&[7; 1000]).into(), 0)]);
    let now = pair.now;
    assert!(pair.ends[CLIENT].connection.push_items(now, id, &mut items) && items.is_empty());
    pair.run();
    assert_eq!(pair.read(SERVER, id).0.len(), 1);
    pair.check();
}
