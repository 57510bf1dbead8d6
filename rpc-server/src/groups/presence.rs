//! `Presence`: a stream of who comes to a group, who is away and who leaves.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use rpc_core::{ConnectionError, Member, SessionId};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{name::GroupName, registry::Registry, room::Room, watched::Change};

/// The members up to which a group has a list, by default.
const MOST_LISTED: usize = 1_000;

/// What has happened in a group. Each change has a number, one greater than the number before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PresenceChange {
    /// All members, in the order of their ids. This replaces what the reader knew before. The first change is one, and
    /// so is the next change of a reader that was too slow.
    Sync {
        /// The members.
        members: Vec<Member>,
        /// Those of them that have no link at the moment.
        detached: Vec<SessionId>,
        /// The number of the last change that the list contains.
        as_of: u64,
    },
    /// The number of members, instead of the other changes, while there are too many for a list:
    /// [`Presence::most_listed`].
    Count {
        /// The number of members.
        members: usize,
        /// The number of the last change that the count contains.
        as_of: u64,
    },
    /// A session has joined.
    Joined {
        /// The number of the change.
        number: u64,
        /// The member.
        member: Member,
    },
    /// A member has joined again, with another note.
    Updated {
        /// The number of the change.
        number: u64,
        /// The member, with the new note.
        member: Member,
    },
    /// A member has had no link for two seconds, and its client may come back.
    Detached {
        /// The number of the change.
        number: u64,
        /// The member.
        member: Member,
    },
    /// The client of a member that was reported as detached is back.
    Resumed {
        /// The number of the change.
        number: u64,
        /// The member.
        member: Member,
    },
    /// A member has left.
    Left {
        /// The number of the change.
        number: u64,
        /// The former member.
        member: Member,
        /// Why it has left.
        reason: LeaveReason,
    },
}

/// Why a session is no member of a group any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It was taken out with [`Group::leave`](super::Group::leave).
    Left,
    /// It has ended, for this reason.
    Ended(ConnectionError),
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("it was taken out of the group"),
            Self::Ended(error) => write!(f, "its session has ended: {error}"),
        }
    }
}

/// Who is in a group, from [`Group::presence`](super::Group::presence).
///
/// The stream begins with a list of all members, and goes on with what changes. A reader that is more than 256 changes
/// behind gets a new list instead of these, so the stream holds no more than that for slow readers. A link that was
/// lost and replaced within two seconds is left out. The group is kept while it is watched, also without members. The
/// stream ends when the server has shut down and the last session has ended.
///
/// It must be polled within a tokio runtime.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use futures::StreamExt;
/// use rpc_server::{PresenceChange, SessionId};
/// # use rpc_server::{Group, GroupStub};
///
/// # async fn watch<S: GroupStub>(lobby: Group<S>) {
/// let mut presence = lobby.presence();
/// let mut present: BTreeMap<SessionId, &str> = BTreeMap::new();
/// while let Some(change) = presence.next().await {
///     match change {
///         PresenceChange::Sync { members, detached, .. } => {
///             present = members.iter().map(|member| (member.id(), "here")).collect();
///             present.extend(detached.into_iter().map(|session| (session, "away")));
///         }
///         PresenceChange::Joined { member, .. } | PresenceChange::Resumed { member, .. } => {
///             present.insert(member.id(), "here");
///         }
///         PresenceChange::Detached { member, .. } => {
///             present.insert(member.id(), "away");
///         }
///         PresenceChange::Left { member, .. } => {
///             present.remove(&member.id());
///         }
///         _ => {}
///     }
/// }
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct Presence {
    registry: Arc<Registry>,
    name: GroupName,
    watcher: u64,
    most_listed: usize,
    known: Known,
    /// Ends when a member is overdue that has lost its link.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// What a reader knows of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// All changes up to this one.
    Changes(u64),
    /// The number of members as of this change.
    Count(u64),
}

impl Presence {
    pub(super) fn new(registry: Arc<Registry>, name: GroupName) -> Self {
        let watcher = registry.watch(&name);
        Self { registry, name, watcher, most_listed: MOST_LISTED, known: Known::Nothing, alarm: None }
    }

    /// Sets up to how many members the stream tells who they are. Default 1,000. While the group has more, the stream
    /// tells their [number](PresenceChange::Count) alone, and it begins with a list again when an eighth less than the
    /// limit are left. A higher limit makes each list longer, which a slow reader gets often.
    pub fn most_listed(mut self, members: usize) -> Self {
        self.most_listed = members;
        self
    }

    /// What comes next, or the instant at which to ask again at the latest.
    fn next(&mut self, cx: &Context<'_>) -> Next {
        let (watcher, waker) = (self.watcher, cx.waker().clone());
        let (known, most) = (&mut self.known, self.most_listed);
        let next = self.registry.ask(&self.name, |room, is_over| {
            if let Some(change) = known.advance(room, most) {
                return Next::Change(change);
            }
            let Some(watched) = room.watched().filter(|_| !is_over) else { return Next::End };
            let before = watched.wait(watcher, waker);
            Next::Later { at: watched.next_due(), _before: before }
        });
        next.unwrap_or(Next::End)
    }
}

enum Next {
    Change(PresenceChange),
    Later {
        at: Option<Instant>,
        /// To be dropped outside of the lock.
        _before: Option<std::task::Waker>,
    },
    End,
}

impl Known {
    /// The next change that a reader with this knowledge hears of.
    fn advance(&mut self, room: &mut Room, most_listed: usize) -> Option<PresenceChange> {
        let (members, newest) = (room.len(), room.number());
        let least_counted = match self {
            Self::Count(_) => most_listed - most_listed / 8,
            _ => most_listed,
        };
        if members > least_counted {
            let known = std::mem::replace(self, Self::Count(newest));
            return (known != *self).then_some(PresenceChange::Count { members, as_of: newest });
        }
        if let Self::Changes(heard) = self {
            if *heard == newest {
                return None;
            }
            let number = *heard + 1;
            if let Some(change) = room.watched().and_then(|watched| watched.change(number, newest)).cloned() {
                *heard = number;
                return Some(change.numbered(number));
            }
        }
        *self = Self::Changes(newest);
        let members = room.list().to_vec();
        let detached = room.watched().map(|watched| watched.detached().iter().copied().collect()).unwrap_or_default();
        Some(PresenceChange::Sync { members, detached, as_of: newest })
    }
}

impl Change {
    fn numbered(self, number: u64) -> PresenceChange {
        match self {
            Self::Joined(member) => PresenceChange::Joined { number, member },
            Self::Updated(member) => PresenceChange::Updated { number, member },
            Self::Detached(member) => PresenceChange::Detached { number, member },
            Self::Resumed(member) => PresenceChange::Resumed { number, member },
            Self::Left(member, end) => {
                let reason = end.map_or(LeaveReason::Left, LeaveReason::Ended);
                PresenceChange::Left { number, member, reason }
            }
        }
    }
}

impl Stream for Presence {
    type Item = PresenceChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PresenceChange>> {
        loop {
            let at = match self.next(cx) {
                Next::Change(change) => return Poll::Ready(Some(change)),
                Next::End => return Poll::Ready(None),
                Next::Later { at, .. } => at,
            };
            match at {
                None => self.alarm = None,
                Some(at) if self.alarm.as_ref().is_some_and(|(set, _)| *set == at) => {}
                Some(at) => self.alarm = Some((at, Box::pin(sleep_until(at)))),
            }
            let Some((_, sleep)) = &mut self.alarm else { return Poll::Pending };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("name", &self.name).field("known", &self.known).finish_non_exhaustive()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.registry.unwatch(&self.name, self.watcher);
    }
}
