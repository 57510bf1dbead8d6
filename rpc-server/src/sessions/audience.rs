//! Calls to all sessions of a server whose clients host a contract.

use std::sync::Arc;

use rpc_core::{
    __groups::{Members, Selection},
    Audience, GroupStub, Member, Session,
};

use super::{ServerSessions, Sessions};

impl Sessions {
    /// Calls the clients of all open sessions that host a callback contract, [detached](Sessions::detached) ones
    /// included: the contract's form for groups, for instance `ChatEventsGroup`. The contract is marked
    /// `#[callback(group)]`. Which sessions these are is asked when a call goes out.
    pub fn broadcast<S: GroupStub>(&self) -> S::Group {
        let hosts = Hosts { shared: Arc::clone(&self.shared), contract: S::CONTRACT.name() };
        S::of_audience(Audience::__new(Arc::new(hosts), Selection::All))
    }
}

/// The open sessions whose clients host a contract.
struct Hosts {
    shared: Arc<ServerSessions>,
    contract: &'static str,
}

impl Members for Hosts {
    fn members(&self) -> Arc<[Member]> {
        let (changes, sessions) = {
            let state = self.shared.lock();
            if let Some(list) = state.lists.get(self.contract) {
                return Arc::clone(list);
            }
            (state.changes(), state.sessions().cloned().collect::<Vec<Session>>())
        };
        let hosting = sessions.into_iter().filter(|session| session.hosts(self.contract));
        let members: Arc<[Member]> = hosting.map(|session| Member::__new(session, None)).collect();
        let mut state = self.shared.lock();
        if state.changes() == changes {
            state.lists.insert(self.contract, Arc::clone(&members));
        }
        members
    }
}
