//! `Sessions`: the sessions that a server has, from the upgrade to the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use rpc_core::Session;
use tokio::sync::watch;

/// The live sessions of a server. Cheap to clone; all clones show the same.
#[derive(Clone, Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many entries there are, for those who wait for none.
    entries: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    next: u64,
    /// `None` while the upgrade is under way.
    live: BTreeMap<u64, Option<Session>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Draining,
    Closing,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), entries: watch::Sender::new(0) }) }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.shared.lock().live.values().flatten().count()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sessions that are live now, oldest first. Ones that come or go later do not change what is returned.
    pub fn iter(&self) -> vec::IntoIter<Session> {
        self.shared.lock().live.values().flatten().cloned().collect::<Vec<_>>().into_iter()
    }

    /// Takes in no more sessions, drains the live ones and waits until the last has ended.
    ///
    /// A drain tells the other side, lets running calls end, and closes with code 1012; how long that may take is
    /// [`Config::drain_timeout`](rpc_core::Config::drain_timeout). Dropping the future stops the waiting, not the drain.
    pub async fn drain(&self) {
        for session in self.enter_phase(Phase::Draining) {
            session.drain();
        }
        self.ended().await;
    }

    /// Waits until there is no session and no upgrade under way.
    pub(crate) async fn ended(&self) {
        let mut entries = self.shared.entries.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = entries.wait_for(|&count| count == 0).await;
    }

    /// Closes every session without waiting.
    pub(crate) fn close(&self) {
        for session in self.enter_phase(Phase::Closing) {
            session.close();
        }
    }

    /// A place for a session to come; `None` if no more are taken in.
    pub(crate) fn enter(&self) -> Option<Entry> {
        let mut state = self.shared.lock();
        if state.phase != Phase::Open {
            return None;
        }
        let key = state.next;
        state.next += 1;
        state.live.insert(key, None);
        self.shared.entries.send_replace(state.live.len());
        Some(Entry { shared: Arc::clone(&self.shared), key })
    }

    fn enter_phase(&self, phase: Phase) -> vec::IntoIter<Session> {
        self.shared.lock().phase = phase;
        self.iter()
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
}

/// One session's place among the [`Sessions`]; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    shared: Arc<Shared>,
    key: u64,
}

impl Entry {
    /// The session that the upgrade led to.
    pub(crate) fn opened(&self, session: &Session) {
        let phase = {
            let mut state = self.shared.lock();
            state.live.insert(self.key, Some(session.clone()));
            state.phase
        };
        // It came too late for whoever went through the sessions when the phase began.
        match phase {
            Phase::Open => {}
            Phase::Draining => session.drain(),
            Phase::Closing => session.close(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let session = state.live.remove(&self.key);
        self.shared.entries.send_replace(state.live.len());
        drop(state);
        drop(session);
    }
}
