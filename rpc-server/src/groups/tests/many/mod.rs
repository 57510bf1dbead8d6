//! Groups of many sessions in virtual time: sessions join, leave, lose their links, come back and read slowly, while
//! calls of every policy are sent to them.

mod seat;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures::FutureExt;
use rpc_core::{CallOptions, Config, Delivery, Overflow};
use rpc_testing::{SOON, until};
use seat::{BoardClient, Seat, Server};
use tokio::{
    runtime::Builder,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::presence::Reader;
use crate::{
    groups::{Group, Presence},
    testing::Random,
};

/// Seeds in one run of the test. `SIMULATION_SEEDS` sets another number.
const SEEDS: u64 = 1000;
const STEPS: usize = 75;
const GROUPS: usize = 2;

/// What all seeds together have shown.
#[derive(Default)]
struct Shown {
    calls: u64,
    /// How often the results of all calls were found to say what was dropped in all.
    counted: u64,
    resumed: u64,
    missed: u64,
    waited: u64,
    ended: u64,
}

/// A group, who is in it, and those who watch it.
struct Room {
    group: Group<BoardClient>,
    members: BTreeSet<usize>,
    readers: Vec<(Presence, Reader)>,
}

/// A call that waits for members without room, and the members that it was sent to.
struct Waits {
    number: u64,
    members: Vec<usize>,
    /// How many of the members lived when the call began.
    living: usize,
    sending: JoinHandle<Delivery>,
}

struct World {
    random: Random,
    server: Server,
    seats: Vec<Seat>,
    rooms: Vec<Room>,
    waits: Vec<Waits>,
    number: u64,
    /// What the results of the calls say that was dropped.
    dropped: u64,
    /// Calls may also be dropped later, because of their age, and results may be dropped.
    is_loose: bool,
    shown: Shown,
}

impl World {
    async fn new(seed: u64) -> Self {
        let config = Config::builder().max_queued_calls(4).max_oneway_calls(24).resume_window(SOON * 60);
        let server = Server::new(config.build().unwrap());
        let mut random = Random(seed);
        let mut seats = Vec::new();
        // Few sessions mostly, because many take long; now and then more than a broadcast goes to at once.
        let most = match random.below(64) {
            0 => 90,
            1..8 => 30,
            _ => 10,
        };
        for _ in 0..8 + random.below(most - 7) {
            seats.push(Seat::open(&server).await);
        }
        let rooms = (0..GROUPS).map(|n| {
            let group: Group<BoardClient> = server.sessions.groups().get(format!("{n}"));
            let readers = (0..2).map(|_| (group.presence(), Reader::default())).collect();
            Room { group, members: BTreeSet::new(), readers }
        });
        let (rooms, waits, shown) = (rooms.collect(), Vec::new(), Shown::default());
        let is_loose = random.below(4) == 0;
        Self { random, server, seats, rooms, waits, number: 0, dropped: 0, is_loose, shown }
    }

    async fn step(&mut self) {
        let which = self.random.below(self.seats.len());
        let (seat, room) = (&mut self.seats[which], &mut self.rooms[self.random.below(GROUPS)]);
        match self.random.below(32) {
            0..6 => match room.group.join(&seat.session) {
                Ok(is_new) => assert_eq!(is_new, room.members.insert(which)),
                Err(_) => assert!(!seat.lives(), "a session that lives may join"),
            },
            6..8 => {
                let was_in = room.members.remove(&which);
                assert!(room.group.leave(&seat.session) == was_in || !seat.lives());
            }
            8..10 => seat.cable.cut(),
            10..13 => self.shown.resumed += u64::from(seat.resume(&self.server).await),
            13..15 => seat.cable.hold(true),
            15 => seat.cable.hold(false),
            16 if self.random.below(3) == 0 => drop(seat.session.close()),
            16..18 => {
                let (presence, reader) = &mut room.readers[self.random.below(2)];
                while reader.read(presence) {}
            }
            18..22 => {
                let millis = if self.random.below(16) == 0 { 12_000 } else { 1 + self.random.below(800) };
                sleep(Duration::from_millis(millis as u64)).await;
            }
            22 => {
                for _ in 0..self.random.below(60) {
                    self.send().await;
                }
            }
            _ => self.send().await,
        }
    }

    /// Sends a call with any policy to all members of a group.
    async fn send(&mut self) {
        const POLICIES: [Overflow; 4] =
            [Overflow::Wait, Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect];
        self.number += 1;
        let (which, number) = (self.random.below(GROUPS), self.number);
        let symbol = (self.random.below(4) == 0).then(|| u8::try_from(self.random.below(6)).unwrap());
        // A call that ends sessions is rare, so that most sessions live long.
        let policy = if self.random.below(8) == 0 { self.random.below(4) } else { self.random.below(3) };
        let overflow = symbol.map_or(POLICIES[policy], |_| Overflow::Conflate);
        let mut options = CallOptions::new().overflow(overflow);
        if self.is_loose && overflow != Overflow::Wait && self.random.below(16) == 0 {
            options = options.ttl(Duration::from_millis(300));
        }
        let room = &self.rooms[which];
        let members: Vec<usize> = room.members.iter().copied().collect();
        let living = self.living(&members);
        members.iter().for_each(|member| self.seats[*member].expect(number, symbol, overflow));
        let all = room.group.all().with(options);
        let mut sending = match symbol {
            Some(symbol) => all.price(symbol, number),
            None => all.post(number),
        };
        if overflow != Overflow::Wait && self.is_loose && self.random.below(16) == 0 {
            // Dropped after its first poll, it goes to all the same.
            drop(sending.now_or_never());
            return;
        }
        if overflow != Overflow::Wait {
            let sent = timeout(SOON, sending).await.unwrap().unwrap();
            let count = sent.queued + sent.failed;
            assert!(count <= members.len() && count + sent.dropped >= self.living(&members), "{sent:?}");
            self.dropped += sent.dropped as u64;
            return;
        }
        let sending = match (&mut sending).now_or_never() {
            Some(sent) => tokio::spawn(async move { sent.unwrap() }),
            None => {
                members.iter().for_each(|member| self.seats[*member].may_be_late(number));
                self.shown.waited += 1;
                tokio::spawn(async move { sending.await.unwrap() })
            }
        };
        self.waits.push(Waits { number, members, living, sending });
    }

    fn living(&self, members: &[usize]) -> usize {
        members.iter().filter(|member| self.seats[**member].lives()).count()
    }

    /// All clients read, and come back.
    async fn heal(&mut self) {
        for _ in 0..3 {
            for seat in &mut self.seats {
                seat.cable.hold(false);
            }
            sleep(Duration::from_millis(10)).await;
            for seat in &mut self.seats {
                self.shown.resumed += u64::from(seat.resume(&self.server).await);
            }
        }
        // Longer than any client is judged for, and any session takes to end.
        sleep(Duration::from_secs(40)).await;
    }

    async fn check(&mut self) {
        for Waits { number, members, living, sending } in std::mem::take(&mut self.waits) {
            let sent = timeout(SOON, sending).await.unwrap().unwrap();
            assert_eq!(sent.dropped, 0);
            let count = sent.queued + sent.failed;
            assert!(count >= living && count <= members.len(), "{number}: {living} of {members:?} lived, {sent:?}");
            let heard = members.iter().filter(|member| self.seats[**member].has_heard(number)).count();
            assert!(heard <= sent.queued, "{number}: {heard} have heard it, {sent:?}");
            let all_live = self.living(&members) == members.len();
            assert!(!all_live || heard == sent.queued, "{number}: {heard} have heard it, {sent:?}");
        }
        self.tell_what_was_missed().await;
        let mut missed = 0;
        for seat in &self.seats {
            seat.check_order();
            if seat.lives() {
                missed += seat.check_all_counted();
                seat.is_at_rest().await;
            }
        }
        let ended = self.seats.iter().filter(|seat| !seat.lives()).count();
        assert!(missed <= self.dropped || self.is_loose, "{missed} were missed, {} were dropped", self.dropped);
        if !self.is_loose && ended == 0 {
            assert_eq!(missed, self.dropped, "what was missed, and what was dropped");
            self.shown.counted += u64::from(missed > 0);
        }
        (self.shown.missed, self.shown.ended) = (missed, ended as u64);
    }

    /// The next call of each method says what was dropped before it.
    async fn tell_what_was_missed(&mut self) {
        for seat in self.seats.iter_mut().filter(|seat| seat.lives()) {
            let options = CallOptions::new().overflow(Overflow::DropNewest);
            let board = seat.session.client::<BoardClient>();
            self.number += 2;
            seat.expect(self.number - 1, None, Overflow::DropNewest);
            board.with(options).post(self.number - 1).await.unwrap();
            seat.expect(self.number, Some(9), Overflow::Conflate);
            board.price(9, self.number).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// Those who watch know in the end who is there.
    fn check_presence(&mut self) {
        for room in &mut self.rooms {
            let ids = room.members.iter().map(|member| &self.seats[*member]).filter(|seat| seat.lives());
            let ids: BTreeSet<_> = ids.map(|seat| seat.session.id()).collect();
            assert_eq!(super::ids(&room.group.members()), ids, "who is in the group");
            for (presence, reader) in &mut room.readers {
                while reader.read(presence) {}
                assert!(reader.members.keys().eq(&ids) && reader.away.is_empty(), "who watches knows another truth");
            }
        }
    }

    /// Nothing is left when all sessions have ended.
    async fn end(mut self) -> Shown {
        self.rooms.clear();
        for seat in &self.seats {
            seat.session.close();
        }
        let Server { sessions, resumable, .. } = &self.server;
        until("no session is left", || sessions.is_empty() && sessions.connections() == 0).await;
        until("no session can be resumed", || resumable.is_empty()).await;
        let registry = &sessions.groups().registry;
        assert_eq!((registry.len(), registry.sessions()), (0, 0));
        self.shown
    }
}

async fn run(seed: u64) -> Shown {
    let mut world = World::new(seed).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.heal().await;
    world.check().await;
    world.check_presence();
    world.shown.calls = world.number;
    world.end().await
}

#[test]
fn many_sessions_with_every_policy_agree_with_what_was_sent() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (first, seeds) = (setting("SIMULATION_FIRST").unwrap_or(0), setting("SIMULATION_SEEDS").unwrap_or(SEEDS));
    let mut all = Shown::default();
    for seed in first..first + seeds {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let shown = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(seed))));
        let shown = shown.unwrap_or_else(|_| panic!("seed {seed}: SIMULATION_FIRST={seed} SIMULATION_SEEDS=1"));
        all.calls += shown.calls;
        all.counted += shown.counted;
        all.resumed += shown.resumed;
        all.missed += shown.missed;
        all.waited += shown.waited;
        all.ended += shown.ended;
    }
    let Shown { calls, counted, resumed, missed, waited, ended } = all;
    println!("{seeds} seeds, {calls} calls, {resumed} resumes, {missed} missed, {waited} waited, {ended} ended");
    println!("in {counted} worlds all that was missed was counted by its callers");
    let shown = [resumed, missed, waited, 4 * ended, 4 * counted];
    assert!(seeds < 100 || shown.iter().all(|count| *count > seeds / 2), "the seeds show something: {shown:?}");
}
