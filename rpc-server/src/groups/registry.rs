//! `Registry`: which session is in which group.
//!
//! One lock covers all groups. Members, with the notes of the application, are dropped outside of it. The lock of a
//! session is taken under this one, and never the other way round.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use rpc_core::{ConnectionError, Member, Session, SessionId, SessionState};
use tokio::time::Instant;

use super::{
    error::{JoinError, MAX_NAME},
    name::{GroupName, remember},
    room::{After, Room},
};

pub(super) type Note = Arc<dyn Any + Send + Sync>;

/// How many groups a session may be in, unless the server says otherwise.
const MOST: usize = 1000;

pub(super) struct Registry {
    state: Mutex<State>,
    /// How many groups a session may be in.
    most: AtomicUsize,
}

impl Default for Registry {
    fn default() -> Self {
        Self { state: Mutex::default(), most: AtomicUsize::new(MOST) }
    }
}

#[derive(Default)]
struct State {
    /// The groups that have members or watchers.
    rooms: HashMap<GroupName, Room>,
    /// The greatest number that a change had in a group which is gone. A group that comes again goes on behind it, so
    /// that no watcher ever sees a number twice.
    last_number: u64,
    /// No session will join any more, because the server has ended.
    is_over: bool,
    /// The groups of each session that is in one.
    joined: HashMap<SessionId, BTreeSet<GroupName>>,
}

impl Registry {
    /// One session may be in this many groups.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Adds a session to a group, or replaces its note if there is a new one. True if it was not a member.
    pub(super) fn join(
        self: &Arc<Self>,
        name: &GroupName,
        session: &Session,
        note: Option<Note>,
    ) -> Result<bool, JoinError> {
        let id = session.id();
        if !session.hosts(name.contract()) {
            return Err(JoinError::NotHosted { session: id, contract: name.contract() });
        }
        let len = name.name().len();
        if len > MAX_NAME {
            return Err(JoinError::NameTooLong { len });
        }
        remember(session, self);
        let mut state = self.lock();
        // The state of a session says that it has ended before it is taken out of its groups under this lock. So it is
        // either refused here or taken out later.
        if matches!(session.state(), SessionState::Closing | SessionState::Closed) {
            return Err(JoinError::Ended { session: id });
        }
        let most = self.most.load(Ordering::Relaxed);
        if state.joined.get(&id).map_or(most == 0, |names| names.len() >= most && !names.contains(name)) {
            return Err(JoinError::TooMany { session: id, most });
        }
        let mut after = After::default();
        let is_new = state.room(name).join(session, note, &mut after);
        if is_new {
            state.joined.entry(id).or_default().insert(name.clone());
        }
        drop(state);
        after.run();
        Ok(is_new)
    }

    /// Takes a session out of a group. True if it was a member.
    pub(super) fn leave(&self, name: &GroupName, session: SessionId) -> bool {
        let mut after = After::default();
        let was_in = self.lock().leave(name, session, &mut after);
        after.run();
        was_in
    }

    /// Takes a session out of all groups.
    pub(super) fn ended(&self, session: SessionId, reason: &ConnectionError) {
        let mut after = After::default();
        let mut state = self.lock();
        // A session that has never joined costs this look.
        let Some(names) = state.joined.remove(&session) else { return };
        for name in &names {
            state.take_out(name, session, Some(reason), &mut after);
        }
        drop(state);
        after.run();
    }

    /// A session may have lost its link, or have one again. Which of both is asked under the lock, so that the
    /// newest answer stays.
    pub(super) fn link_changed(&self, session: SessionId, is_detached: impl Fn() -> bool) {
        let mut after = After::default();
        {
            let state = &mut *self.lock();
            for name in state.joined.get(&session).into_iter().flatten() {
                if let Some(room) = state.rooms.get_mut(name) {
                    room.link_changed(session, is_detached(), &mut after);
                }
            }
        }
        after.run();
    }

    /// The server has ended, and with it what watches its groups.
    pub(super) fn end(&self) {
        let mut wakers = Vec::new();
        {
            let state = &mut *self.lock();
            state.is_over = true;
            let watched = state.rooms.values_mut().filter_map(Room::watched);
            watched.for_each(|watched| wakers.extend(watched.wakers()));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Begins to watch a group, which is kept from now on.
    pub(super) fn watch(&self, name: &GroupName) -> u64 {
        self.lock().room(name).watch()
    }

    pub(super) fn unwatch(&self, name: &GroupName, watcher: u64) {
        let dropped = {
            let mut state = self.lock();
            let dropped = state.rooms.get_mut(name).map(|room| room.unwatch(watcher));
            state.sweep(name);
            dropped
        };
        drop(dropped);
    }

    /// Looks at a group that is watched, after members that have no link for long are reported. The question is also
    /// told whether the server has ended.
    pub(super) fn ask<T>(&self, name: &GroupName, question: impl FnOnce(&mut Room, bool) -> T) -> Option<T> {
        let mut after = After::default();
        let answer = {
            let state = &mut *self.lock();
            let is_over = state.is_over;
            state.rooms.get_mut(name).map(|room| {
                room.report_overdue(Instant::now(), &mut after);
                question(room, is_over)
            })
        };
        after.run();
        answer
    }

    /// The groups that a session is in, sorted.
    pub(super) fn of(&self, session: SessionId) -> Vec<GroupName> {
        self.lock().joined.get(&session).map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }

    /// The members of a group. The list never changes, and is made anew for the first who asks after a change.
    pub(super) fn members(&self, name: &GroupName) -> Arc<[Member]> {
        self.lock().rooms.get_mut(name).map(Room::list).unwrap_or_default()
    }

    /// The number of members of a group.
    pub(super) fn count(&self, name: &GroupName) -> usize {
        self.lock().rooms.get(name).map_or(0, Room::len)
    }

    pub(super) fn contains(&self, name: &GroupName, session: SessionId) -> bool {
        self.lock().rooms.get(name).is_some_and(|room| room.contains(session))
    }

    /// The number of groups that have members or watchers.
    pub(super) fn len(&self) -> usize {
        self.lock().rooms.len()
    }

    /// The number of sessions that are in groups.
    #[cfg(test)]
    pub(super) fn sessions(&self) -> usize {
        self.lock().joined.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn room(&mut self, name: &GroupName) -> &mut Room {
        let last_number = self.last_number;
        self.rooms.entry(name.clone()).or_insert_with(|| Room::new(last_number))
    }

    fn leave(&mut self, name: &GroupName, session: SessionId, after: &mut After) -> bool {
        let was_in = self.take_out(name, session, None, after);
        if let Entry::Occupied(mut names) = self.joined.entry(session) {
            names.get_mut().remove(name);
            if names.get().is_empty() {
                names.remove();
            }
        }
        was_in
    }

    /// Takes a member out of a group, and the group away with its last member.
    fn take_out(
        &mut self,
        name: &GroupName,
        session: SessionId,
        end: Option<&ConnectionError>,
        after: &mut After,
    ) -> bool {
        let was_in = self.rooms.get_mut(name).is_some_and(|room| room.leave(session, end, after));
        self.sweep(name);
        was_in
    }

    /// Takes a group away if nothing is lost with it.
    fn sweep(&mut self, name: &GroupName) {
        if let Some(room) = self.rooms.get(name).filter(|room| room.is_idle()) {
            self.last_number = self.last_number.max(room.number());
            self.rooms.remove(name);
        }
    }
}
