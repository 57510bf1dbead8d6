//! `Group`: a handle of one group: who is in it, and whom to call.

use std::{fmt, marker::PhantomData, sync::Arc};

use rpc_core::{
    __groups::{Members, Selection},
    Audience, Context, GroupStub, Member, Overflow, Principal, Session, SessionId,
};

use super::{
    error::JoinError,
    name::GroupName,
    presence::Presence,
    registry::{Note, Registry},
};

/// A group of sessions whose clients host the callback contract of `S`, from [`Groups::get`](super::Groups::get). The
/// handle is cheap to clone, and keeps nothing open: the group is there while it has members.
///
/// [`all`](Self::all) and the other selectors give the contract's form for groups, for instance `ChatEventsGroup`.
/// Who is in the group is asked when a call goes out: a call that is sent after [`join`](Self::join) has returned
/// reaches the new member, and a call that is sent after [`leave`](Self::leave) has returned does not reach the former
/// one. What was queued for it before may still arrive.
pub struct Group<S> {
    registry: Arc<Registry>,
    name: GroupName,
    overflow: Overflow,
    stub: PhantomData<fn() -> S>,
}

impl<S: GroupStub> Group<S> {
    pub(super) fn new(registry: Arc<Registry>, name: GroupName) -> Self {
        Self { registry, name, overflow: Overflow::Disconnect, stub: PhantomData }
    }

    /// The name of the group, and its contract.
    pub fn name(&self) -> &GroupName {
        &self.name
    }

    /// The same group, with this policy for one-way calls to members that do not keep up; other handles of the group
    /// keep theirs. It holds for calls that are sent through this handle, where neither the call nor the method says
    /// otherwise. By default it is [`Overflow::Disconnect`].
    #[must_use]
    pub fn with_overflow(&self, overflow: Overflow) -> Self {
        Self { overflow, ..self.clone() }
    }

    /// Adds a session to the group, without a note; a session of the same server as the group. Returns whether the
    /// session was not in the group. A member that joins again keeps its note.
    ///
    /// The session stays in the group while it has no link, until it leaves or ends. A hook may let its session join
    /// in [`opened`](rpc_core::SessionHooks::opened) already.
    ///
    /// # Errors
    ///
    /// [`JoinError::Ended`] if the session has ended, [`JoinError::NotHosted`] if its client does not host the
    /// contract, [`JoinError::TooMany`] if it is in as many groups as it may be in, [`JoinError::NameTooLong`] if the
    /// name of the group is longer than 1,024 bytes.
    pub fn join(&self, session: &Session) -> Result<bool, JoinError> {
        self.registry.join(&self.name, session, None)
    }

    /// As [`join`](Self::join), with a note of the application, which every list of members has
    /// ([`Member::note`]). The note of a session that is in the group already is replaced.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn join_with<T: Send + Sync + 'static>(&self, session: &Session, note: T) -> Result<bool, JoinError> {
        let note: Note = Arc::new(note);
        self.registry.join(&self.name, session, Some(note))
    }

    /// Takes a session out of the group. Returns whether the session was in it.
    pub fn leave(&self, session: &Session) -> bool {
        self.registry.leave(&self.name, session.id())
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.registry.count(&self.name)
    }

    /// Whether no session is in the group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the session with this id is in the group.
    pub fn contains(&self, session: SessionId) -> bool {
        self.registry.contains(&self.name, session)
    }

    /// The members now, in the order of their ids.
    pub fn members(&self) -> Vec<Member> {
        self.registry.members(&self.name).to_vec()
    }

    /// A stream of who is in the group: first all members, then what changes.
    pub fn presence(&self) -> Presence {
        Presence::new(Arc::clone(&self.registry), self.name.clone())
    }

    /// Calls all members.
    pub fn all(&self) -> S::Group {
        self.select(Selection::All)
    }

    /// Calls all members but the caller of the call that a handler serves.
    pub fn others<C>(&self, cx: &Context<C>) -> S::Group {
        self.except([cx.session_id()])
    }

    /// Calls all members but these.
    pub fn except(&self, sessions: impl IntoIterator<Item = SessionId>) -> S::Group {
        self.select(Selection::except(sessions))
    }

    /// Calls those of these sessions that are in the group.
    pub fn only(&self, sessions: impl IntoIterator<Item = SessionId>) -> S::Group {
        self.select(Selection::only(sessions))
    }

    /// Calls the members with this principal; a person may be connected from several devices.
    pub fn of(&self, principal: &Principal) -> S::Group {
        self.select(Selection::Of(principal.clone()))
    }

    fn select(&self, selection: Selection) -> S::Group {
        let members =
            GroupMembers { registry: Arc::clone(&self.registry), name: self.name.clone(), overflow: self.overflow };
        S::of_audience(Audience::__new(Arc::new(members), selection))
    }
}

impl<S> Clone for Group<S> {
    fn clone(&self) -> Self {
        Self {
            registry: Arc::clone(&self.registry),
            name: self.name.clone(),
            overflow: self.overflow,
            stub: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Group<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("overflow", &self.overflow).finish_non_exhaustive()
    }
}

/// The members of a group, for calls.
struct GroupMembers {
    registry: Arc<Registry>,
    name: GroupName,
    overflow: Overflow,
}

impl Members for GroupMembers {
    fn members(&self) -> Arc<[Member]> {
        self.registry.members(&self.name)
    }

    fn overflow(&self) -> Overflow {
        self.overflow
    }
}
