//! Hooks of many sessions in virtual time: links are cut while hooks run, sessions come back, close and are given up,
//! at any instant.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rpc_core::{
    MemoryPool, Resume,
    session::{Memory, ResumableSessions, ResumeOutcome, Resumed, Transport, resume},
};
use tokio::{runtime::Builder, time::sleep};

use super::*;
use crate::testing::{Cable, Random};

/// Seeds in one run of the test. `SIMULATION_SEEDS` sets another number.
const SEEDS: u64 = 1000;
const STEPS: usize = 100;
/// How many hooks each session has.
const HOOKS: usize = 2;

/// What a hook has seen of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Opening,
    Opened,
    Closing,
    Closed,
}

/// What all hooks have seen, in its order.
#[derive(Debug, Default)]
struct Diary {
    seen: Mutex<BTreeMap<SessionId, Vec<(usize, Seen)>>>,
    random: Mutex<Random>,
    /// How often clients have asked to come back, and how often a hook has refused that.
    asked: AtomicU64,
    refused: AtomicU64,
}

impl Diary {
    fn note(&self, session: &Session, hook: usize, seen: Seen) {
        self.seen.lock().unwrap().entry(session.id()).or_default().push((hook, seen));
    }

    fn below(&self, end: usize) -> usize {
        self.random.lock().unwrap().below(end)
    }

    /// A hook takes its time; now and then more than it has.
    async fn dawdle(&self) {
        let millis = match self.below(40) {
            0 => 20_000,
            1..20 => 0,
            _ => self.below(300),
        };
        sleep(Duration::from_millis(millis as u64)).await;
    }
}

struct Hook(usize, Arc<Diary>);

#[async_trait]
impl SessionHooks for Hook {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let Self(hook, diary) = self;
        diary.note(session, *hook, Seen::Opening);
        diary.dawdle().await;
        if diary.below(16) == 0 {
            return Err(Status::permission_denied("not today"));
        }
        diary.note(session, *hook, Seen::Opened);
        Ok(())
    }

    async fn resuming(&self, _: &Session, _: &ConnectionInfo) -> Result<Resume, Status> {
        let Self(_, diary) = self;
        diary.asked.fetch_add(1, Relaxed);
        diary.dawdle().await;
        match diary.below(8) {
            0 => {
                diary.refused.fetch_add(1, Relaxed);
                Err(Status::permission_denied("not this time"))
            }
            1 => Ok(Resume::Allow),
            _ => Ok(Resume::NoOpinion),
        }
    }

    async fn closed(&self, session: &Session, _: &ConnectionError) {
        let Self(hook, diary) = self;
        diary.note(session, *hook, Seen::Closing);
        diary.dawdle().await;
        diary.note(session, *hook, Seen::Closed);
    }
}

/// The server's side.
struct House {
    sessions: Sessions,
    resumable: ResumableSessions,
    hosting: Hosting,
    config: Config,
    diary: Arc<Diary>,
}

impl House {
    fn new(seed: u64) -> Self {
        let sessions = Sessions::new();
        let diary = Arc::new(Diary { random: Mutex::new(Random(!seed)), ..Diary::default() });
        let hooks = (0..HOOKS).fold(Hosting::builder(), |hosting, hook| hosting.hooks(Hook(hook, diary.clone())));
        let hosting = hooks.hooks(sessions.hooks()).build().unwrap();
        let config = Config::builder().resume_window(Duration::from_secs(30)).build().unwrap();
        Self { sessions, resumable: ResumableSessions::new(), hosting, config, diary }
    }

    /// A link comes, with a client that wants a session, or its own back. Authentication takes its time.
    async fn admit(self: Arc<Self>, link: Memory) {
        let place = Arc::new(Caps::new(1, 1).enter(None).unwrap());
        let Some(mut entry) = self.sessions.enter(place, Kind::Newcomer(None)) else { return };
        let Ok(handshake) = Handshake::read(link, &self.config).await else { return };
        self.diary.dawdle().await;
        let info = ConnectionInfo::default();
        let stop = entry.stopped();
        let handshake = match self.resumable.resume(handshake, &self.hosting, &info, stop).await {
            ResumeOutcome::New(handshake) => handshake,
            ResumeOutcome::Done(session) => return entry.hand_over(&session),
            ResumeOutcome::Closed => return,
        };
        let (session, driver) = handshake.accept(&self.hosting, info);
        entry.begun(&session);
        self.resumable.insert(&session);
        let pool = || MemoryPool::new(usize::MAX);
        self.sessions.run(session.clone(), Box::new(driver), entry, [pool(), pool()]).await;
        self.resumable.remove(&session);
    }

    /// Every hook that has let a session in has seen its end once, the last one first, and nothing after that.
    fn check(&self) -> usize {
        let seen = self.diary.seen.lock().unwrap();
        for (session, seen) in &*seen {
            let when = |hook, what| seen.iter().position(|seen| *seen == (hook, what));
            let all: BTreeSet<_> = seen.iter().map(|(hook, what)| (*hook, *what as u8)).collect();
            assert_eq!(all.len(), seen.len(), "{session}: something was seen twice: {seen:?}");
            for hook in 0..HOOKS {
                let [opened, closing] = [when(hook, Seen::Opened), when(hook, Seen::Closing)];
                assert_eq!(opened.is_some(), closing.is_some(), "{session}: {seen:?}");
                assert!(opened <= closing, "{session}: {seen:?}");
                let before = hook.checked_sub(1);
                assert!(
                    before.is_none_or(|before| when(hook, Seen::Opening) >= when(before, Seen::Opened)),
                    "{seen:?}"
                );
                let later = when(hook + 1, Seen::Closing).filter(|_| closing.is_some());
                assert!(later <= closing, "{session}: {seen:?}");
            }
        }
        seen.len()
    }
}

/// A client, whose session may have ended.
struct Client {
    session: Session,
    cable: Cable,
}

struct World {
    random: Random,
    house: Arc<House>,
    clients: Vec<Client>,
}

impl World {
    /// A link between a client and the server, which the world may cut.
    fn link(&self) -> (Cable, impl Transport + use<>) {
        let ((near, far), cable) = (memory(), Cable::default());
        tokio::spawn(self.house.clone().admit(near));
        let around = cable.around(far);
        (cable, around)
    }

    fn begin(&mut self) {
        let (cable, link) = self.link();
        let greeting = Greeting { resumes: true, ..Greeting::default() };
        let (config, info) = (&self.house.config, ConnectionInfo::default());
        let (session, driver) = connect_with(greeting, link, &Hosting::default(), config, info);
        tokio::spawn(driver);
        self.clients.push(Client { session, cable });
    }

    /// A client that has lost its link comes back over another one.
    fn come_back(&mut self) {
        let away: Vec<_> = (0..self.clients.len()).filter(|&who| self.clients[who].session.is_detached()).collect();
        if away.is_empty() {
            return;
        }
        let which = away[self.random.below(away.len())];
        let (cable, link) = self.link();
        self.clients[which].cable = cable;
        let (session, config) = (self.clients[which].session.clone(), self.house.config.clone());
        tokio::spawn(async move {
            let info = ConnectionInfo::default();
            if let Ok(Resumed::Other(other, driver)) =
                resume(&session, None, link, &Hosting::default(), &config, info).await
            {
                // As a client does whose session has gone.
                session.discard();
                tokio::spawn(driver);
                sleep(Duration::from_secs(1)).await;
                other.close();
            }
        });
    }

    async fn step(&mut self) {
        if self.clients.is_empty() || self.random.below(12) == 0 {
            return self.begin();
        }
        let which = self.random.below(self.clients.len());
        match self.random.below(20) {
            0..4 => self.clients[which].cable.cut(),
            4..9 => self.come_back(),
            9 => self.clients[which].cable.hold(true),
            10 => self.clients[which].cable.hold(false),
            11 => drop(self.clients[which].session.close()),
            12 => {
                let sessions: Vec<Session> = self.house.sessions.iter().collect();
                if !sessions.is_empty() {
                    let session = &sessions[self.random.below(sessions.len())];
                    match self.random.below(4) {
                        0 => drop(session.close()),
                        1 => drop(session.abort()),
                        2 => drop(session.drain()),
                        _ => drop(session.discard()),
                    }
                }
            }
            _ => {
                let millis = match self.random.below(20) {
                    0 => 35_000,
                    1..8 => 0,
                    _ => self.random.below(500),
                };
                sleep(Duration::from_millis(millis as u64)).await;
            }
        }
    }

    /// All sessions end, and nothing is left of them.
    async fn end(self) {
        let sessions = &self.house.sessions;
        if self.random.0 % 2 == 0 {
            sessions.begin_drain();
        } else {
            sessions.close();
        }
        self.clients.iter().for_each(|client| drop(client.session.close()));
        // Longer than any window, linger or hook.
        sleep(Duration::from_secs(120)).await;
        until("no session is left", || sessions.is_empty() && sessions.connections() == 0).await;
        assert!(self.house.resumable.is_empty());
        for client in &self.clients {
            assert_eq!(client.session.state(), SessionState::Closed);
        }
    }
}

async fn run(seed: u64) -> [u64; 3] {
    let house = Arc::new(House::new(seed));
    let mut world = World { random: Random(seed), house: house.clone(), clients: Vec::new() };
    for _ in 0..STEPS {
        world.step().await;
    }
    world.end().await;
    let sessions = house.check() as u64;
    [sessions, house.diary.asked.load(Relaxed), house.diary.refused.load(Relaxed)]
}

#[test]
fn each_hook_sees_the_end_of_each_session_that_it_let_in_once() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (first, seeds) = (setting("SIMULATION_FIRST").unwrap_or(0), setting("SIMULATION_SEEDS").unwrap_or(SEEDS));
    let mut all = [0; 3];
    for seed in first..first + seeds {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let shown = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(seed))));
        let shown = shown.unwrap_or_else(|_| panic!("seed {seed}: SIMULATION_FIRST={seed} SIMULATION_SEEDS=1"));
        all.iter_mut().zip(shown).for_each(|(all, shown)| *all += shown);
    }
    let [sessions, asked, refused] = all;
    println!("{seeds} seeds, {sessions} sessions, hooks were asked {asked} times to let one go on, {refused} refused");
    assert!(seeds < 100 || [sessions, asked, 8 * refused].iter().all(|count| *count > seeds), "{all:?}");
}
