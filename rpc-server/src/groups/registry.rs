//! `Registry`: which session is in which group.
//!
//! One lock covers all groups. Members, with the notes of the application, are dropped outside of it. The lock of a
//! session is taken under this one, and never the other way round.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rpc_core::{ConnectionError, Member, Session, SessionId, SessionState};

use super::{
    error::JoinError,
    name::{GroupName, remember},
    room::{Dropped, Room},
};

pub(super) type Note = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The groups that have members.
    rooms: HashMap<GroupName, Room>,
    /// The groups of each session that is in one.
    joined: HashMap<SessionId, BTreeSet<GroupName>>,
}

impl Registry {
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
        remember(session, self);
        let mut state = self.lock();
        // The state of a session says that it has ended before it is taken out of its groups under this lock. So it is
        // either refused here or taken out later.
        if matches!(session.state(), SessionState::Closing | SessionState::Closed) {
            return Err(JoinError::Ended { session: id });
        }
        let (is_new, dropped) = state.rooms.entry(name.clone()).or_default().join(session, note);
        if is_new {
            state.joined.entry(id).or_default().insert(name.clone());
        }
        drop(state);
        drop(dropped);
        Ok(is_new)
    }

    /// Takes a session out of a group. True if it was a member.
    pub(super) fn leave(&self, name: &GroupName, session: SessionId) -> bool {
        let dropped = self.lock().leave(name, session);
        dropped.is_some()
    }

    /// Takes a session out of all groups.
    pub(super) fn ended(&self, session: SessionId, reason: &ConnectionError) {
        let _ = reason;
        let mut state = self.lock();
        // A session that has never joined costs this look.
        let Some(names) = state.joined.remove(&session) else { return };
        let dropped: Vec<_> = names.iter().filter_map(|name| state.take_out(name, session)).collect();
        drop(state);
        drop(dropped);
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

    /// The number of groups that have members.
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
    fn leave(&mut self, name: &GroupName, session: SessionId) -> Option<Dropped> {
        let dropped = self.take_out(name, session)?;
        if let Entry::Occupied(mut names) = self.joined.entry(session) {
            names.get_mut().remove(name);
            if names.get().is_empty() {
                names.remove();
            }
        }
        Some(dropped)
    }

    /// Takes a member out of a group, and the group away with its last member.
    fn take_out(&mut self, name: &GroupName, session: SessionId) -> Option<Dropped> {
        let room = self.rooms.get_mut(name)?;
        let dropped = room.leave(session)?;
        if room.is_idle() {
            self.rooms.remove(name);
        }
        Some(dropped)
    }
}
