//! `Sessions`: the sessions of a server, each from its upgrade to its end.

mod audience;
mod changes;
mod detached;
mod entry;
mod forgetting;
mod lost;
mod principals;
mod relief;
mod run;
mod state;
mod watcher;

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicUsize},
    task::Waker,
    time::Duration,
    vec,
};

use rpc_core::{
    __server::drain_together, ConnectionError, Session, SessionHooks, SessionId, Status, Stub, async_trait,
    logging::LogLimit,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{debug, info};

pub use changes::{SessionChange, SessionChanges};
pub(crate) use entry::{Entry, Kind};
pub(crate) use run::Run;
use state::{Entered, Phase, State};

use crate::{caps::Place, groups::Groups};

/// The open sessions of a server. Cheap to clone; all clones show the same sessions. Any task may use the collection at
/// any time, handlers included (but see [`Self::drain`]).
///
/// A session is added when its hooks have let it in, before its first call is served, and stays until it ends, also
/// while it has no link. Its objects are made after that, and may still refuse it.
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
///     // All calls at once: a client that does not keep up delays no other, and its own call ends with the timeout.
///     join_all(sessions.clients::<ChatEventsClient>().map(|member| member.posted(text))).await;
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    shared: Arc<ServerSessions>,
}

#[derive(Debug)]
struct ServerSessions {
    state: Mutex<State>,
    groups: Groups,
    /// Wakes the tasks that wait for the end of the server.
    drain: watch::Sender<DrainState>,
    /// Tells of the end: that no more sessions are taken ends the wait for a Hello.
    phase: watch::Sender<Phase>,
    /// The time that a drain may take.
    drain_timeout: OnceLock<Duration>,
    /// How many sessions may be without a link.
    most_detached: OnceLock<usize>,
    /// Limits the log lines that sum sessions up.
    lines: LogLimit,
    /// Held while a thread closes the heaviest sessions, or chooses those that have to forget what they keep.
    relieving: Mutex<()>,
    /// The bytes that sessions have been asked to forget, and have not forgotten yet.
    to_forget: AtomicUsize,
}

/// How far a server is from its end, for the tasks that wait for that.
#[derive(Clone, Copy, Debug, Default)]
struct DrainState {
    /// The number of connections that have entered and not left.
    entered: usize,
    /// The instant by which every connection must have left; `None` before the drain begins.
    until: Option<Instant>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(ServerSessions {
                state: Mutex::default(),
                groups: Groups::new(),
                drain: watch::Sender::default(),
                phase: watch::Sender::default(),
                drain_timeout: OnceLock::new(),
                most_detached: OnceLock::new(),
                lines: LogLimit::new(),
                relieving: Mutex::default(),
                to_forget: AtomicUsize::new(0),
            }),
        }
    }

    /// Called once, when the configuration is known.
    pub(crate) fn set_drain_timeout(&self, timeout: Duration) {
        let _ = self.shared.drain_timeout.set(timeout);
    }

    /// Called once, when the configuration is known.
    pub(crate) fn set_most_detached(&self, most: usize) {
        let _ = self.shared.most_detached.set(most);
    }

    /// The number of open sessions, [detached](Self::detached) ones included.
    pub fn len(&self) -> usize {
        self.shared.lock().sessions().len()
    }

    /// Whether no session is open. There may still be [connections](Self::connections) that are no open sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of open sessions that have no link at the moment, and whose clients may come back
    /// ([`Config::resume_window`](rpc_core::Config::resume_window)). They are among the sessions that [`Self::len`]
    /// counts; which they are, [`SessionState::Detached`](rpc_core::SessionState::Detached) tells.
    pub fn detached(&self) -> usize {
        self.shared.lock().detached
    }

    /// The number of upgraded connections: of open sessions, detached ones included, of sessions whose handshake or end
    /// is under way, and of raw WebSockets at the server's routes.
    pub fn connections(&self) -> usize {
        self.shared.lock().entered.len()
    }

    /// The sessions that are open now, in the order in which they opened. Sessions that come or go later do not change
    /// what is returned.
    pub fn iter(&self) -> vec::IntoIter<Session> {
        self.shared.lock().sessions().cloned().collect::<Vec<_>>().into_iter()
    }

    /// The open session with this [`Session::id`]; `None` if there is none.
    pub fn get(&self, id: SessionId) -> Option<Session> {
        self.shared.lock().session(id).cloned()
    }

    /// Stubs to call the clients back, one for each open session whose client hosts this callback contract. A stub of a
    /// session that has ended fails at once.
    pub fn clients<C: Stub>(&self) -> impl Iterator<Item = C> + use<C> {
        self.iter().filter(|session| session.hosts(C::CONTRACT.name())).map(|session| session.client())
    }

    /// The groups of these sessions.
    pub(crate) fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// A stream of what happens to sessions: they open, lose their links, go on, and close. It begins with the sessions
    /// that are open now.
    pub fn changes(&self) -> SessionChanges {
        SessionChanges::new(Arc::clone(&self.shared))
    }

    /// Takes no more sessions, drains the live ones and waits until the last one has ended. Until then clients may come
    /// back to sessions that can be [resumed](rpc_core::Config::resume_window).
    ///
    /// A drain tells the other side, lets running calls end, and closes with code 1012, while `closed` hooks run. No
    /// session is closed before all sessions have ended the calls that they serve, or
    /// [`Config::drain_grace`](rpc_core::Config::drain_grace) is over, because a handler may call the client of another
    /// session. This returns within [`Config::drain_timeout`](rpc_core::Config::drain_timeout) of its first call in
    /// every case: hooks that take longer run on, and a session that has not ended by then (a handler blocks its
    /// thread) is named in the log and left behind. Dropping the future stops the waiting, not the drain.
    ///
    /// A handler must not await a drain, which waits for the handler: spawn it. To close the server's listeners too,
    /// use [`Server::shutdown`](crate::Server::shutdown).
    pub async fn drain(&self) {
        self.begin_drain();
        self.ended().await;
    }

    /// Whether sessions are taken: no drain has begun.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.lock().phase == Phase::Open
    }

    /// Takes no more sessions and drains the live ones.
    pub(crate) fn begin_drain(&self) {
        let sessions = self.enter_phase(Phase::Resuming);
        let phase = self.shared.lock().next_phase();
        if let Some(phase) = phase {
            self.shared.go_on_to(phase);
        }
        drain_together(&sessions);
        let now = Instant::now();
        let until = self.shared.drain_timeout.get().and_then(|timeout| now.checked_add(*timeout));
        self.shared.drain.send_if_modified(|drain| {
            let first = drain.until.is_none();
            drain.until = drain.until.or(until);
            first
        });
    }

    /// Waits until no client is taken any more, not even one that comes back to its session, or the time for a drain is
    /// over. From then on none is taken in either case.
    pub(crate) async fn until_none_resumes(&self) {
        let mut phase = self.shared.phase.subscribe();
        self.within_drain(async move { drop(phase.wait_for(|&phase| phase > Phase::Resuming).await) }).await;
        self.shared.go_on_to(Phase::Draining);
    }

    /// Whether clients are taken that come back to their sessions.
    pub(crate) fn admits_resumes(&self) -> bool {
        self.shared.lock().phase <= Phase::Resuming
    }

    /// Waits until there is no session, and no upgrade and no handshake under way. When the time for a drain is over,
    /// the log says what is left.
    pub(crate) async fn ended(&self) {
        let mut drain = self.shared.drain.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let gone = async move { drop(drain.wait_for(|drain| drain.entered == 0).await) };
        if !self.within_drain(gone).await {
            self.report_lost();
        }
    }

    /// Waits for a step of the end, at most until the time for a drain is over. False if the step has not come by then.
    pub(crate) async fn within_drain(&self, end: impl Future<Output = ()>) -> bool {
        let mut drain = self.shared.drain.subscribe();
        let until = async {
            let until = drain.wait_for(|drain| drain.until.is_some()).await.ok().and_then(|s| s.until);
            match until {
                Some(until) => timeout_at(until, std::future::pending::<()>()).await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = end => true,
            () = until => false,
        }
    }

    /// Closes every session without waiting.
    pub(crate) fn close(&self) {
        for session in self.enter_phase(Phase::Closing) {
            session.abort();
        }
    }

    /// Enters a connection, which has this place under the caps; `None` if no more are taken. During a drain those are
    /// taken of clients that may come back to their sessions.
    pub(crate) fn enter(&self, place: Arc<Place>, kind: Kind) -> Option<Entry> {
        let mut state = self.shared.lock();
        let last = if kind.is_for_session() { Phase::Resuming } else { Phase::Open };
        if state.phase > last {
            return None;
        }
        let number = state.number();
        state.entered.insert(number, Entered::Other(kind));
        drop(state);
        self.shared.announce();
        Some(Entry::new(Arc::clone(&self.shared), number, place))
    }

    /// Hooks that record openings and closings. They must be the last ones: the last to let a session in, the first to
    /// hear of its end.
    pub(crate) fn hooks(&self) -> impl SessionHooks {
        Hooks(Arc::clone(&self.shared))
    }

    /// Ends the handshakes under way, and returns the sessions that the phase concerns: all that have begun, whether
    /// they are open or not.
    fn enter_phase(&self, phase: Phase) -> Vec<Session> {
        self.shared.go_on_to(phase);
        self.shared.lock().live().cloned().collect()
    }
}

impl IntoIterator for &Sessions {
    type Item = Session;
    type IntoIter = vec::IntoIter<Session>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl ServerSessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells waiting tasks how many connections there are. Never call it under the lock: it wakes them.
    fn announce(&self) {
        self.drain.send_modify(|drain| drain.entered = self.lock().entered.len());
    }

    /// The end of the server has come as far as this.
    fn go_on_to(&self, phase: Phase) {
        let (wakers, is_over) = {
            let mut state = self.lock();
            state.phase = state.phase.max(phase);
            (state.wakers(), state.is_over())
        };
        self.phase.send_modify(|told| *told = phase.max(*told));
        wake(wakers);
        if is_over {
            self.groups.end();
        }
    }

    fn opened(&self, session: &Session) {
        let principal = session.principal();
        let (wakers, lists) = {
            let mut state = self.lock();
            (state.opened(session.clone(), principal.as_ref()), mem::take(&mut state.lists))
        };
        wake(wakers);
        drop(lists);
        self.sum_up();
    }

    fn closed(&self, session: SessionId, reason: ConnectionError) {
        self.groups.ended(session, &reason);
        let ((wakers, record), lists, phase) = {
            let mut state = self.lock();
            (state.closed(session, reason), mem::take(&mut state.lists), state.next_phase())
        };
        wake(wakers);
        // The `closed` hooks of a session may run on for long, and no client comes back to it.
        if let Some(phase) = phase {
            self.go_on_to(phase);
        }
        drop((record, lists));
        self.sum_up();
    }

    /// Clients decide how often sessions come and go, so a line for each session is for debugging only. Operators get
    /// the counts.
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

struct Hooks(Arc<ServerSessions>);

#[async_trait]
impl SessionHooks for Hooks {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        debug!(session = %session.id(), peer = session.peer_addr().map(display), "session opened");
        self.0.opened(session);
        Ok(())
    }

    async fn closed(&self, session: &Session, reason: &ConnectionError) {
        self.0.closed(session.id(), reason.clone());
    }
}

#[cfg(test)]
mod tests;
