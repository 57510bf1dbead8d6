//! `Room`: the members of one group.

use std::{collections::BTreeMap, sync::Arc, task::Waker};

use rpc_core::{ConnectionError, Member, Session, SessionId};
use tokio::time::Instant;

use super::{
    registry::Note,
    watched::{Change, Watched},
};

#[derive(Default)]
pub(super) struct Room {
    members: BTreeMap<SessionId, Member>,
    /// The members as a list, unless they have changed since the last who asked.
    list: Option<Arc<[Member]>>,
    /// The number of the last change.
    number: u64,
    /// Only if the presence is watched.
    watched: Option<Box<Watched>>,
}

/// What is to be done outside of the lock. The drop of a note is users' code, and so is a waker.
#[derive(Default)]
#[must_use]
pub(super) struct After {
    members: Vec<Member>,
    lists: Vec<Arc<[Member]>>,
    changes: Vec<Change>,
    wakers: Vec<Waker>,
}

impl Room {
    /// A group whose changes have numbers after this one.
    pub(super) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// Adds a member, or replaces its note if there is a new one. True if it was not a member.
    pub(super) fn join(&mut self, session: &Session, note: Option<Note>, after: &mut After) -> bool {
        let id = session.id();
        let is_known = self.members.contains_key(&id);
        if is_known && note.is_none() {
            return false;
        }
        let member = Member::__new(session.clone(), note);
        self.changed(if is_known { Change::Updated } else { Change::Joined }, &member, after);
        after.members.extend(self.members.insert(id, member));
        if session.is_detached() {
            self.link_changed(id, true, after);
        }
        !is_known
    }

    /// Takes a member out, because of its end or by itself. False if it is none.
    pub(super) fn leave(&mut self, session: SessionId, end: Option<&ConnectionError>, after: &mut After) -> bool {
        let Some(member) = self.members.remove(&session) else { return false };
        if let Some(watched) = &mut self.watched {
            watched.forget(session);
        }
        self.changed(|member| Change::Left(member, end.cloned()), &member, after);
        after.members.push(member);
        true
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

    /// The number of the last change.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether nothing is lost with the group.
    pub(super) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.watched.is_none()
    }

    pub(super) fn watch(&mut self) -> u64 {
        let members = &self.members;
        let begin = || {
            let detached = members.iter().filter(|(_, member)| member.session().is_detached());
            Box::new(Watched::new(detached.map(|(id, _)| *id).collect()))
        };
        self.watched.get_or_insert_with(begin).add_watcher()
    }

    pub(super) fn watched(&mut self) -> Option<&mut Watched> {
        self.watched.as_deref_mut()
    }

    /// A watcher is gone. What the last one leaves behind is dropped outside of the lock.
    pub(super) fn unwatch(&mut self, watcher: u64) -> impl Sized + use<> {
        let waker = self.watched.as_mut().and_then(|watched| watched.remove_watcher(watcher));
        (waker, self.watched.take_if(|watched| !watched.has_watchers()))
    }

    /// A member may have lost its link, or have one again.
    pub(super) fn link_changed(&mut self, session: SessionId, is_detached: bool, after: &mut After) {
        let Some(watched) = &mut self.watched else { return };
        let Some(member) = self.members.get(&session).cloned() else { return };
        if watched.link_changed(session, is_detached, Instant::now()) {
            self.told(Change::Resumed(member), after);
        } else {
            // The watchers wait until it is overdue.
            after.wakers.extend(watched.wakers());
            after.members.push(member);
        }
    }

    /// Reports the members that have had no link for long enough.
    pub(super) fn report_overdue(&mut self, now: Instant, after: &mut After) {
        while let Some(session) = self.watched.as_mut().and_then(|watched| watched.next_overdue(now)) {
            if let Some(member) = self.members.get(&session).cloned() {
                self.told(Change::Detached(member), after);
            }
        }
    }

    /// The list of members is another one than before.
    fn changed(&mut self, change: impl FnOnce(Member) -> Change, member: &Member, after: &mut After) {
        after.lists.extend(self.list.take());
        match self.watched {
            Some(_) => self.told(change(member.clone()), after),
            None => self.number += 1,
        }
    }

    fn told(&mut self, change: Change, after: &mut After) {
        self.number += 1;
        if let Some(watched) = &mut self.watched {
            after.changes.extend(watched.push(change));
            after.wakers.extend(watched.wakers());
        }
    }
}

impl After {
    /// Does it.
    pub(super) fn run(self) {
        self.wakers.into_iter().for_each(Waker::wake);
    }
}
