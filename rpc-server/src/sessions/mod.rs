//! `Sessions`: the sessions that a server has, from the upgrade to the end.

mod changes;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::vec;

use rpc_core::logging::LogLimit;
use rpc_core::{ConnectionError, Principal, Session, SessionHooks, Status, Stub, async_trait};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info};

pub use changes::{SessionChange, SessionChanges};
use state::{Phase, State};

/// The open sessions of a server. Cheap to clone; all clones show the same. May be used from any task at any time, in handlers too (but see
/// [`Self::drain`]).
///
/// A session is among them from the moment in which its hooks have let it in (before its first call is served) until it ends. The making of its objects
/// comes after that and may still refuse it.
///
/// ```
/// # use rpc_server::Sessions;
/// use futures::future::join_all;
///
/// #[rpc_core::callback]
/// trait ChatEvents {
///     #[rpc(oneway, timeout = "2s")]
///     async fn posted(&self, text: &str);
/// }
///
/// async fn announce(sessions: &Sessions, text: &str) {
///     // At once, so that a client that is gone or does not keep up delays nobody else; its own call ends with the timeout.
///     join_all(sessions.clients::<ChatEventsClient>().map(|member| member.posted(text))).await;
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many have entered, for those who wait for none.
    entered: watch::Sender<usize>,
    /// Of the log lines that sum sessions up.
    lines: LogLimit,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                entered: watch::Sender::new(0),
                lines: LogLimit::new(),
            }),
        }
    }

    /// How many sessions are open.
    pub fn len(&self) -> usize {
        self.shared.lock().sessions().len()
    }

    /// Whether no session is open. There may be [connections](Self::connections) all the same.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many connections there are from their upgrade on: those of the open sessions, and those whose handshake or end is under way.
    pub fn connections(&self) -> usize {
        self.shared.lock().entered.len()
    }

    /// The sessions that are open now, in the order in which they opened. Ones that come or go later do not change what is returned.
    pub fn iter(&self) -> vec::IntoIter<Session> {
        self.shared.lock().sessions().cloned().collect::<Vec<_>>().into_iter()
    }

    /// The open session of this number, which [`Session::id`] tells.
    pub fn get(&self, id: u64) -> Option<Session> {
        self.shared.lock().session(id).cloned()
    }

    /// The open sessions of one principal, in the order in which they opened: somebody may be connected from several devices. Looks at every session.
    pub fn of(&self, principal: &Principal) -> Vec<Session> {
        let state = self.shared.lock();
        state.sessions().filter(|session| session.principal() == Some(principal)).cloned().collect()
    }

    /// Stubs to call the clients back, one for each open session whose client hosts this callback contract. A stub of a session that has
    /// ended fails at once.
    pub fn clients<C: Stub>(&self) -> impl Iterator<Item = C> + use<C> {
        self.iter().filter(|session| session.hosts(C::CONTRACT.name())).map(|session| session.client())
    }

    /// Openings and closings from now on, as a stream that begins with those that are open.
    pub fn changes(&self) -> SessionChanges {
        SessionChanges::new(Arc::clone(&self.shared))
    }

    /// Takes in no more sessions, drains the live ones and waits until the last has ended.
    ///
    /// A drain tells the other side, lets running calls end, and closes with code 1012; that takes
    /// [`Config::drain_timeout`](rpc_core::Config::drain_timeout) at most, closing
    /// [`Config::close_timeout`](rpc_core::Config::close_timeout), and each `closed` hook
    /// [`Config::hook_timeout`](rpc_core::Config::hook_timeout). Dropping the future stops the waiting, not the drain. Do not await it in a handler, which is
    /// one of those it waits for: spawn it.
    pub async fn drain(&self) {
        for session in self.enter_phase(Phase::Draining) {
            session.drain();
        }
        self.ended().await;
    }

    /// Waits until there is no session and no upgrade under way.
    pub(crate) async fn ended(&self) {
        let mut entered = self.shared.entered.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = entered.wait_for(|&count| count == 0).await;
    }

    /// Closes every session without waiting.
    pub(crate) fn close(&self) {
        for session in self.enter_phase(Phase::Closing) {
            session.shut_down();
        }
    }

    /// A place for a session to come; `None` if no more are taken in.
    pub(crate) fn enter(&self) -> Option<Entry> {
        let mut state = self.shared.lock();
        if state.phase != Phase::Open {
            return None;
        }
        let number = state.number();
        state.entered.insert(number, None);
        drop(state);
        self.shared.announce();
        Some(Entry { shared: Arc::clone(&self.shared), number })
    }

    /// What tells of openings and closings. To be the last of all hooks: the last to let a session in, the first to hear of its end.
    pub(crate) fn hooks(&self) -> impl SessionHooks {
        Hooks(Arc::clone(&self.shared))
    }

    /// Everyone that has entered is to go, also those that are not open yet.
    fn enter_phase(&self, phase: Phase) -> Vec<Session> {
        let mut state = self.shared.lock();
        state.phase = phase;
        let sessions = state.entered.values().flatten().cloned().collect();
        let wakers = state.wakers();
        drop(state);
        wake(wakers);
        sessions
    }
}

impl IntoIterator for &Sessions {
    type Item = Session;
    type IntoIter = vec::IntoIter<Session>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait for it how many there are. Never under the lock: that wakes them.
    fn announce(&self) {
        self.entered.send_modify(|count| *count = self.lock().entered.len());
    }

    fn closed(&self, session: u64, reason: ConnectionError) {
        let (wakers, record) = self.lock().closed(session, reason);
        wake(wakers);
        drop(record);
        self.sum_up();
    }

    /// Sessions come and go as often as clients like, so that a line for each of them is for debugging. Operators get the counts.
    fn sum_up(&self) {
        if self.lines.admit(Instant::now().into_std()).is_some() {
            let (open, opened, closed) = {
                let state = self.lock();
                (state.sessions().len(), state.opened, state.closed)
            };
            info!(open, opened, closed, "sessions so far");
        }
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

struct Hooks(Arc<Shared>);

#[async_trait]
impl SessionHooks for Hooks {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        debug!(session = session.id(), peer = session.peer_addr().map(display), "session opened");
        let wakers = self.0.lock().opened(session.clone());
        wake(wakers);
        self.0.sum_up();
        Ok(())
    }

    async fn closed(&self, session: &Session, reason: &ConnectionError) {
        self.0.closed(session.id(), reason.clone());
    }
}

/// One session's place among the [`Sessions`]; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    shared: Arc<Shared>,
    number: u64,
}

impl Entry {
    /// The session that the upgrade led to.
    pub(crate) fn begun(&self, session: &Session) {
        let phase = {
            let mut state = self.shared.lock();
            state.entered.insert(self.number, Some(session.clone()));
            state.phase
        };
        // It came too late for whoever went through the sessions when the phase began.
        match phase {
            Phase::Open => {}
            Phase::Draining => session.drain(),
            Phase::Closing => drop(session.shut_down()),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let session = state.entered.remove(&self.number).flatten();
        // Its hooks have said so, unless its task was dropped.
        let lost = || ConnectionError::Lost("the session's task was dropped".to_owned());
        let (mut wakers, record) =
            session.as_ref().map(|session| state.closed(session.id(), lost())).unwrap_or_default();
        wakers.extend(state.wakers());
        drop(state);
        self.shared.announce();
        wake(wakers);
        if record.is_some() {
            self.shared.sum_up();
        }
        drop((record, session));
    }
}
