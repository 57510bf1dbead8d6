//! One-way calls with policies: what was offered to a queue has started in its order, or was told as missed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    end::SessionEnd,
    ledger::Ledger,
    random::Random,
    world::{World, is_same},
};
use crate::{
    contract::MethodDescriptor,
    overflow::Overflow,
    proto::{
        CallStart, QueuedCall, Role, ServedCall,
        tests::pair::{CLIENT, SERVER},
    },
};

static NOTE: MethodDescriptor = MethodDescriptor::new("Market", "note", 1).oneway();
static PRICE: MethodDescriptor = MethodDescriptor::new("Market", "price", 1).oneway();

/// The last policy ends a session which is long without a packet.
pub(super) const ALL: usize = POLICIES.len();
const POLICIES: [Overflow; 4] = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Conflate, Overflow::Disconnect];

/// The calls with policies of one end of a session.
#[derive(Debug, Default)]
struct Lane {
    /// Calls of [`NOTE`] that were offered, have started, and were told as missed.
    offered: u64,
    started: u64,
    missed: u64,
    /// The last call that has started, of [`NOTE`] and of any method.
    last_note: Option<u64>,
    last: Option<u64>,
    /// The last value of each key that was offered, and that has started; and how many values were missed.
    prices: HashMap<u8, (u64, Option<u64>)>,
    missed_prices: u64,
}

/// All of them, by session and sender.
#[derive(Debug, Default)]
pub(super) struct Queues {
    lanes: HashMap<(u64, usize), Lane>,
    /// The lane of each call, and the key of each value.
    calls: HashMap<u64, ((u64, usize), u8)>,
    pub(super) dropped: u64,
}

impl Queues {
    fn lane(&mut self, session: u64, from: usize) -> &mut Lane {
        self.lanes.entry((session, from)).or_default()
    }

    /// A call has started at its receiver.
    pub(super) fn start(&mut self, number: u64, call: &ServedCall) {
        let Some(((session, from), key)) = self.calls.get(&number).copied() else { return };
        let lane = self.lane(session, from);
        if call.method == NOTE.id() {
            assert!(lane.last < Some(number), "call {number} has started after {:?}", lane.last);
            (lane.started, lane.missed) = (lane.started + 1, lane.missed + call.missed.unwrap_or(0));
            lane.last_note = Some(number);
        } else {
            assert!(lane.last_note < Some(number), "value {number} has started after {:?}", lane.last_note);
            let (_, started) = lane.prices.get_mut(&key).unwrap();
            assert!(*started < Some(number), "value {number} has started after {started:?}");
            *started = Some(number);
            lane.missed_prices += call.missed.unwrap_or(0);
        }
        lane.last = lane.last.max(Some(number));
    }

    /// What must be true once the session has had all the time that it needs.
    fn check(&mut self, session: u64, from: usize) {
        let lane = self.lane(session, from);
        assert_eq!(lane.offered, lane.started + lane.missed, "calls were lost: {lane:?}");
        if lane.missed_prices == 0 {
            assert!(lane.prices.values().all(|(offered, started)| Some(*offered) == *started), "{lane:?}");
        }
        self.dropped += self.lanes[&(session, from)].missed;
    }
}

fn side(end: &SessionEnd) -> usize {
    if end.connection.role() == Role::Client { CLIENT } else { SERVER }
}

fn offer(end: &mut SessionEnd, now: Instant, (overflow, key): (Overflow, u8), ledger: &mut Ledger) {
    let is_price = overflow == Overflow::Conflate;
    let method = if is_price { &PRICE } else { &NOTE };
    let number = ledger.begin(true);
    let arguments = Ledger::arguments(number, 8).into();
    let key_bytes = Bytes::copy_from_slice(&[key]);
    let call = QueuedCall { method, depth: 0, metadata: Vec::new(), arguments, overflow, key: key_bytes, ttl: None };
    let start = CallStart { method: Some(method), oneway: true, ..CallStart::default() };
    match end.connection.queue_call(now, &start, &Arc::new(call)) {
        Ok(_) => {
            let (session, from) = (end.session, side(end));
            let lane = ledger.queues.lane(session, from);
            if is_price {
                let started = lane.prices.get(&key).and_then(|(_, started)| *started);
                lane.prices.insert(key, (number, started));
            } else {
                lane.offered += 1;
            }
            ledger.queues.calls.insert(number, ((session, from), key));
        }
        Err(status) => ledger.refuse(number, status),
    }
}

/// Several calls of one end.
pub(super) fn step(world: &mut World, side: usize) {
    let (now, policies) = (world.now, world.policies);
    let (Some(end), ledger, random) = world.parts(side) else { return };
    for _ in 0..=below(random) {
        let overflow = POLICIES[random.below(policies)];
        let key = u8::try_from(random.below(4)).unwrap();
        offer(end, now, (overflow, key), ledger);
    }
}

/// Few calls mostly, and now and then more than a queue takes.
fn below(random: &mut Random) -> usize {
    if random.once_in(4) { random.below(100) } else { random.below(5) }
}

/// Ends that live have sent all: the last call of each method tells what was missed before it.
pub(super) fn finish(world: &mut World) {
    for last in [(Overflow::DropNewest, 0), (Overflow::Conflate, 9)] {
        for side in [CLIENT, SERVER] {
            let now = world.now;
            let (Some(end), ledger, _) = world.parts(side) else { continue };
            if is_living(end) {
                assert_eq!(end.connection.stats().queued_calls, 0, "{:?}", end.connection);
                offer(end, now, last, ledger);
            }
        }
        for _ in 0..2 {
            world.exchange();
            let World { client, server, ledger, .. } = &mut *world;
            server.iter_mut().chain([client]).for_each(|end| end.answer_all(ledger));
        }
        world.pass(Duration::from_secs(1));
        world.exchange();
    }
    let Some(server) = world.server.last() else { return };
    if !is_same(server, &world.client) || !is_living(server) || !is_living(&world.client) {
        return;
    }
    for side in [CLIENT, SERVER] {
        let (Some(end), ledger, _) = world.parts(side) else { continue };
        ledger.queues.check(end.session, side);
    }
}

fn is_living(end: &SessionEnd) -> bool {
    end.connection.is_open() && !end.connection.is_leaving()
}
