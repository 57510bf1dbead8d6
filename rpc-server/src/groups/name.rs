//! `GroupName`: which group. `SessionGroups`: the groups that a session is in.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use rpc_core::Session;

use super::registry::Registry;

/// The name of a group, and its contract.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName {
    name: Arc<str>,
    contract: &'static str,
}

impl GroupName {
    pub(super) fn new(contract: &'static str, name: Arc<str>) -> Self {
        Self { name, contract }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the callback contract that the members host.
    pub fn contract(&self) -> &'static str {
        self.contract
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.name, self.contract)
    }
}

/// The groups that a session is in. Import this trait to ask a session itself.
pub trait SessionGroups {
    /// The names of the groups that the session is in, in alphabetical order; as [`Groups::of`](super::Groups::of).
    fn groups(&self) -> Vec<GroupName>;
}

impl SessionGroups for Session {
    fn groups(&self) -> Vec<GroupName> {
        let joined = self.get::<JoinedAt>().and_then(|at| at.0.upgrade());
        joined.map(|registry| registry.of(self.id())).unwrap_or_default()
    }
}

/// What a session that has joined a group keeps, to find its groups.
struct JoinedAt(Weak<Registry>);

/// Lets [`SessionGroups`] find the groups of a session.
pub(super) fn remember(session: &Session, registry: &Arc<Registry>) {
    if session.get::<JoinedAt>().is_none() {
        session.insert(JoinedAt(Arc::downgrade(registry)));
    }
}
