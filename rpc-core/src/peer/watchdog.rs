//! The watchdog: names a method that blocks a thread, while the method still blocks it.
//!
//! A poll of users' code that does not return stops everything else on its thread, its session included. No task in the
//! same runtime is sure to notice. So each thread notes what it polls, with a few stores into its own memory, and one
//! thread of the process reads these notes at intervals.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use foldhash::HashMap;

use super::session_id::SessionId;
use crate::{contract::MethodDescriptor, panics::catch};

/// The interval at which the watchdog reads the notes.
const TICK: Duration = Duration::from_millis(250);
/// The watchdog names no poll that is shorter than this. [`super::slow`] reports such a poll after its end.
const LEAST: Duration = Duration::from_secs(1);

/// Users' code that a thread polls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Polled {
    Handler(&'static MethodDescriptor),
    /// A stream of this method, for its next items.
    Stream(&'static MethodDescriptor),
    /// A hook, the factory of an object, or an object that is dropped.
    Hook,
}

impl Polled {
    pub(super) fn method(self) -> Option<&'static MethodDescriptor> {
        match self {
            Self::Handler(method) | Self::Stream(method) => Some(method),
            Self::Hook => None,
        }
    }
}

impl fmt::Display for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(method) => method.fmt(f),
            Self::Stream(method) => write!(f, "a stream of {method}"),
            Self::Hook => f.write_str("a hook, or the making or dropping of an object"),
        }
    }
}

/// What one thread polls now. Only that thread writes this.
#[derive(Debug, Default)]
struct Note {
    /// A number that changes whenever another field does.
    turn: AtomicU64,
    session: AtomicU64,
    /// The number of milliseconds after which the watchdog names the poll.
    limit: AtomicU64,
    /// The [`Polled`] that is polled: its index in the list of all, plus 1; 0 for none.
    what: AtomicU64,
}

/// The content of a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    session: u64,
    limit: u64,
    what: u64,
}

impl Note {
    fn read(&self) -> Said {
        Said {
            session: self.session.load(Ordering::Relaxed),
            limit: self.limit.load(Ordering::Relaxed),
            what: self.what.load(Ordering::Relaxed),
        }
    }

    /// Whether the thread polls something now.
    #[inline]
    fn is_set(&self) -> bool {
        self.what.load(Ordering::Relaxed) != 0
    }

    #[inline]
    fn write(&self, said: Said) {
        self.session.store(said.session, Ordering::Relaxed);
        self.limit.store(said.limit, Ordering::Relaxed);
        self.set_what(said.what);
    }

    /// Notes what the thread polls now, for the same session as before.
    #[inline]
    fn set_what(&self, what: u64) {
        self.what.store(what, Ordering::Relaxed);
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Release);
    }
}

/// This thread's note, and the numbers that the thread knows from the list of all polled code.
struct Here {
    note: Arc<Note>,
    /// The address of the method that was polled last, and its number.
    last: Cell<(usize, u64)>,
    numbers: RefCell<HashMap<usize, u64>>,
}

thread_local! {
    static HERE: Here = Here::new();
}

impl Here {
    fn new() -> Self {
        let note = Arc::<Note>::default();
        let mut state = lock();
        state.threads.retain(|thread| thread.note.strong_count() > 0);
        state.threads.push(Thread { note: Arc::downgrade(&note), turn: 0, since: Instant::now(), named: false });
        Self { note, last: Cell::default(), numbers: RefCell::default() }
    }

    #[inline]
    fn number(&self, polled: Polled) -> u64 {
        // Streams have odd addresses, and methods have even ones.
        let key = match polled {
            Polled::Handler(method) => std::ptr::from_ref(method).addr(),
            Polled::Stream(method) => std::ptr::from_ref(method).addr() | 1,
            Polled::Hook => 1,
        };
        let (last, number) = self.last.get();
        if last == key { number } else { self.find(key, polled) }
    }

    #[cold]
    fn find(&self, key: usize, polled: Polled) -> u64 {
        let number = *self.numbers.borrow_mut().entry(key).or_insert_with(|| lock().number(polled));
        self.last.set((key, number));
        number
    }
}

/// Runs a poll of users' code for a session, and notes the poll for the watchdog, which names it after `limit`
/// milliseconds.
#[inline]
pub(super) fn polling<R>(session: u64, limit: u64, polled: Polled, mut poll: impl FnMut() -> R) -> R {
    /// Restores the previous note, because a handler may poll another session.
    struct Leave<'a>(&'a Note, Option<Said>);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            match self.1 {
                None => self.0.set_what(0),
                Some(before) => self.0.write(before),
            }
        }
    }
    let noted = HERE.try_with(|here| {
        let note = &*here.note;
        let _leave = Leave(note, note.is_set().then(|| note.read()));
        note.write(Said { session, limit, what: here.number(polled) });
        poll()
    });
    // If the thread is ending, its note is gone, and the watchdog does not see the poll.
    noted.unwrap_or_else(|_| poll())
}

/// The number of milliseconds after which the watchdog names a poll.
pub(super) fn blocks_after(slow_poll: Duration) -> u64 {
    u64::try_from(slow_poll.max(LEAST).as_millis()).unwrap_or(u64::MAX)
}

/// What a thread polls for a session now. If there are several threads, this is the first one's.
pub(super) fn polled_for(session: u64) -> Option<Polled> {
    let state = lock();
    let notes = state.threads.iter().filter_map(|thread| thread.note.upgrade());
    let mut said = notes.map(|note| note.read());
    said.find(|said| said.what != 0 && said.session == session).and_then(|said| state.polled(said.what))
}

/// Keeps the watchdog awake. Each driver has one.
#[derive(Debug)]
pub(crate) struct Watched(());

impl Watched {
    pub(crate) fn new() -> Self {
        let mut state = lock();
        state.sessions += 1;
        if !state.runs {
            // If the system gives no thread, only the lines of the watchdog are missing from the log.
            state.runs = thread::Builder::new().name("rpc-watchdog".to_owned()).spawn(run).is_ok();
        }
        drop(state);
        AWAKE.notify_one();
        Self(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock().sessions -= 1;
    }
}

/// The watchdog's state: the threads of the process, and what they have polled.
struct State {
    sessions: usize,
    /// Whether the watchdog's thread runs.
    runs: bool,
    threads: Vec<Thread>,
    /// Everything that was ever polled, which is bounded by the number of methods.
    polled: Vec<Polled>,
}

/// A thread, as the watchdog saw it last.
struct Thread {
    note: Weak<Note>,
    turn: u64,
    /// The instant at which the watchdog first saw that turn.
    since: Instant,
    /// Whether the watchdog has named the poll of that turn.
    named: bool,
}

static STATE: Mutex<State> = Mutex::new(State { sessions: 0, runs: false, threads: Vec::new(), polled: Vec::new() });
static AWAKE: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn number(&mut self, polled: Polled) -> u64 {
        let known = self.polled.iter().position(|other| match (*other, polled) {
            (Polled::Handler(one), Polled::Handler(other)) | (Polled::Stream(one), Polled::Stream(other)) => {
                std::ptr::eq(one, other)
            }
            (Polled::Hook, Polled::Hook) => true,
            _ => false,
        });
        let index = known.unwrap_or_else(|| {
            self.polled.push(polled);
            self.polled.len() - 1
        });
        index as u64 + 1
    }

    fn polled(&self, what: u64) -> Option<Polled> {
        usize::try_from(what).ok()?.checked_sub(1).and_then(|index| self.polled.get(index)).copied()
    }

    /// Whether any thread polls something now.
    fn is_polling(&self) -> bool {
        let mut notes = self.threads.iter().filter_map(|thread| thread.note.upgrade());
        notes.any(|note| note.read().what != 0)
    }

    /// The polls that have blocked their threads for too long and have not been named.
    fn look(&mut self, now: Instant) -> Vec<(u64, Polled, Duration)> {
        let mut blocked = Vec::new();
        let mut threads = std::mem::take(&mut self.threads);
        threads.retain_mut(|thread| {
            let Some(note) = thread.note.upgrade() else { return false };
            let turn = note.turn.load(Ordering::Acquire);
            if turn != thread.turn {
                (thread.turn, thread.since, thread.named) = (turn, now, false);
                return true;
            }
            let (said, took) = (note.read(), now.saturating_duration_since(thread.since));
            if thread.named || said.what == 0 || took < Duration::from_millis(said.limit) {
                return true;
            }
            // If the note has just changed, it belongs to another poll, which has not blocked for that time.
            if let (true, Some(polled)) = (note.turn.load(Ordering::Acquire) == turn, self.polled(said.what)) {
                thread.named = true;
                blocked.push((said.session, polled, took));
            }
            true
        });
        self.threads = threads;
        blocked
    }
}

/// Runs the watchdog's thread. The thread sleeps while there are no sessions and no polls that sessions have left
/// behind.
fn run() {
    loop {
        let mut state = lock();
        while state.sessions == 0 && !state.is_polling() {
            state = AWAKE.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let blocked = state.look(Instant::now());
        drop(state);
        for (session, polled, took) in blocked {
            // The subscriber is users' code, and may panic.
            let _ = catch(|| name(SessionId::local(session), polled, took));
        }
        thread::sleep(TICK);
    }
}

fn name(session: SessionId, polled: Polled, took: Duration) {
    let (contract, method) = polled.method().map(|method| (method.contract(), method.name())).unzip();
    let blocked_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match polled {
        Polled::Handler(_) => tracing::warn!(
            %session,
            contract,
            method,
            blocked_ms,
            "a handler still blocks its thread; its session and others may hang until it returns. Wait with .await \
             and never with block_on, which may wait for ever for a callback's answer; move blocking work to \
             tokio::task::spawn_blocking"
        ),
        Polled::Stream(_) => tracing::warn!(
            %session,
            contract,
            method,
            blocked_ms,
            "a stream still blocks its thread while it makes items; make them in tokio::task::spawn_blocking and \
             send them through Streaming::channel"
        ),
        Polled::Hook => tracing::warn!(
            %session,
            blocked_ms,
            "a hook, or the making or dropping of a session's object, still blocks its thread; its session and \
             others may hang until it returns. Wait with .await; move blocking work to tokio::task::spawn_blocking"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Said = Said { session: 7, limit: 1000, what: 1 };

    fn state() -> (State, Arc<Note>, Instant) {
        let (note, now) = (Arc::<Note>::default(), Instant::now());
        let thread = Thread { note: Arc::downgrade(&note), turn: 0, since: now, named: false };
        (State { sessions: 1, runs: true, threads: vec![thread], polled: vec![Polled::Hook] }, note, now)
    }

    #[test]
    fn a_poll_is_named_once_while_it_blocks_and_the_next_one_again() {
        let (mut state, note, mut now) = state();
        let mut named = |note: &Note, said, looks| {
            note.write(said);
            let mut named = Vec::new();
            for _ in 0..looks {
                now += TICK;
                named.extend(state.look(now));
            }
            named.len()
        };
        assert_eq!(named(&note, SLOW, 5), 1);
        assert_eq!(named(&note, SLOW, 50), 1, "another poll");
        assert_eq!(named(&note, SLOW, 4), 0, "it has returned in time");
        assert_eq!(named(&note, Said::default(), 50), 0, "nothing is polled");
        assert_eq!(named(&note, Said { limit: 20_000, ..SLOW }, 50), 0, "the poll is within its limit");
    }

    #[test]
    fn nothing_is_kept_of_threads_that_have_ended() {
        let (mut state, note, now) = state();
        note.write(SLOW);
        drop(note);
        assert!(state.look(now + LEAST).is_empty());
        assert!(state.threads.is_empty());
    }
}
