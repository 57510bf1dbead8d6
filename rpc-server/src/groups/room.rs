//! `Room`: the members of one group.

use std::{collections::BTreeMap, sync::Arc};

use rpc_core::{Member, Session, SessionId};

use super::registry::Note;

/// What a group does not have any more, to be dropped outside of the lock: the drop of a note is users' code.
#[must_use]
pub(super) struct Dropped {
    _member: Option<Member>,
    _list: Option<Arc<[Member]>>,
}

#[derive(Default)]
pub(super) struct Room {
    members: BTreeMap<SessionId, Member>,
    /// The members as a list, unless they have changed since the last who asked.
    list: Option<Arc<[Member]>>,
}

impl Room {
    /// Adds a member, or replaces its note if there is a new one. True if it was not a member.
    pub(super) fn join(&mut self, session: &Session, note: Option<Note>) -> (bool, Dropped) {
        let is_known = self.members.contains_key(&session.id());
        if is_known && note.is_none() {
            return (false, Dropped { _member: None, _list: None });
        }
        let member = self.members.insert(session.id(), Member::__new(session.clone(), note));
        (!is_known, Dropped { _member: member, _list: self.list.take() })
    }

    /// Takes a member out; `None` if it is none.
    pub(super) fn leave(&mut self, session: SessionId) -> Option<Dropped> {
        let member = self.members.remove(&session)?;
        Some(Dropped { _member: Some(member), _list: self.list.take() })
    }

    pub(super) fn list(&mut self) -> Arc<[Member]> {
        let list = self.list.get_or_insert_with(|| self.members.values().cloned().collect());
        Arc::clone(list)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.members.contains_key(&session)
    }

    /// Whether nothing is lost with the group.
    pub(super) fn is_idle(&self) -> bool {
        self.members.is_empty()
    }
}
