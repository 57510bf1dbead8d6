//! `Watched`: the latest changes of a group whose presence is watched, and which of its members have no link.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    task::Waker,
    time::Duration,
};

use rpc_core::{ConnectionError, Member, SessionId};
use tokio::time::Instant;

/// The changes that are kept. A watcher that is further behind gets a list of all members instead.
const KEPT_CHANGES: usize = 256;

/// How long a member must have no link until it is detached. Most clients are back before.
const DETACHED_AFTER: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) enum Change {
    Joined(Member),
    Updated(Member),
    Detached(Member),
    Resumed(Member),
    Left(Member, Option<ConnectionError>),
}

/// What the watchers of one group share.
#[derive(Default)]
pub(super) struct Watched {
    last_watcher: u64,
    watchers: BTreeMap<u64, Option<Waker>>,
    /// The latest changes, numbered up to the number of the group.
    changes: VecDeque<Change>,
    /// Members without a link that are not reported yet, and when they will be.
    pending: BTreeMap<SessionId, Instant>,
    /// The same in the order of time. It also has members that have come back meanwhile.
    due: VecDeque<(Instant, SessionId)>,
    /// Members without a link, as watchers know.
    detached: BTreeSet<SessionId>,
}

impl Watched {
    /// Begins with the members that have no link.
    pub(super) fn new(detached: BTreeSet<SessionId>) -> Self {
        Self { detached, ..Self::default() }
    }

    pub(super) fn add_watcher(&mut self) -> u64 {
        self.last_watcher += 1;
        self.watchers.insert(self.last_watcher, None);
        self.last_watcher
    }

    pub(super) fn remove_watcher(&mut self, watcher: u64) -> Option<Waker> {
        self.watchers.remove(&watcher).flatten()
    }

    pub(super) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Keeps the waker of a watcher that has heard all. Gives the waker that was kept before.
    pub(super) fn wait(&mut self, watcher: u64, waker: Waker) -> Option<Waker> {
        self.watchers.get_mut(&watcher).and_then(|place| place.replace(waker))
    }

    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.watchers.values_mut().filter_map(Option::take)
    }

    pub(super) fn detached(&self) -> &BTreeSet<SessionId> {
        &self.detached
    }

    /// Keeps a change, which has the next number. Gives what is kept no more, to be dropped outside of the lock.
    pub(super) fn push(&mut self, change: Change) -> Option<Change> {
        let oldest = if self.changes.len() == KEPT_CHANGES { self.changes.pop_front() } else { None };
        self.changes.push_back(change);
        oldest
    }

    /// The change with this number, if it is kept; `newest` is the number of the newest change.
    pub(super) fn change(&self, number: u64, newest: u64) -> Option<&Change> {
        let behind = usize::try_from(newest.checked_sub(number)?).ok()?;
        self.changes.len().checked_sub(behind + 1).and_then(|index| self.changes.get(index))
    }

    /// Notes whether a member has a link now. True if it has one again and was reported as detached.
    pub(super) fn link_changed(&mut self, session: SessionId, is_detached: bool, now: Instant) -> bool {
        if !is_detached {
            self.pending.remove(&session);
            return self.detached.remove(&session);
        }
        if !self.detached.contains(&session) && !self.pending.contains_key(&session) {
            let due = now + DETACHED_AFTER;
            self.pending.insert(session, due);
            if self.due.len() > 2 * self.pending.len() + KEPT_CHANGES {
                let pending = &self.pending;
                self.due.retain(|(due, session)| pending.get(session) == Some(due));
            }
            self.due.push_back((due, session));
        }
        false
    }

    /// A member has left.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.pending.remove(&session);
        self.detached.remove(&session);
    }

    /// A member that has had no link for long enough by now, if there is one that was not reported.
    pub(super) fn next_overdue(&mut self, now: Instant) -> Option<SessionId> {
        self.next_due().filter(|due| *due <= now)?;
        let (_, session) = self.due.pop_front()?;
        self.pending.remove(&session);
        self.detached.insert(session);
        Some(session)
    }

    /// When the next member is overdue.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        while let Some((due, session)) = self.due.front() {
            if self.pending.get(session) == Some(due) {
                return Some(*due);
            }
            self.due.pop_front();
        }
        None
    }
}
