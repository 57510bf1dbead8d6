//! `Principals`: the open sessions of each principal.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rpc_core::{Principal, Session};

use super::Sessions;

/// The numbers of open sessions, by the names of their principals.
#[derive(Debug, Default)]
pub(super) struct Principals {
    named: HashMap<Arc<str>, BTreeSet<u64>>,
    /// Sessions that had no principal when they were recorded. A handler may have set one since.
    unnamed: BTreeSet<u64>,
}

impl Principals {
    /// Records a session. Gives the name, to be handed to [`Self::remove`].
    pub(super) fn insert(&mut self, number: u64, principal: Option<&Principal>) -> Option<Arc<str>> {
        let Some(principal) = principal else {
            self.unnamed.insert(number);
            return None;
        };
        let known = self.named.get_key_value(principal.name()).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| principal.name().into());
        self.named.entry(Arc::clone(&name)).or_default().insert(number);
        Some(name)
    }

    pub(super) fn remove(&mut self, number: u64, name: Option<&Arc<str>>) {
        let Some(name) = name else {
            self.unnamed.remove(&number);
            return;
        };
        if let Some(numbers) = self.named.get_mut(name) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.named.remove(name);
            }
        }
    }

    /// The sessions that may be those of a principal, in the order of their numbers.
    fn candidates(&self, name: &str) -> BTreeSet<u64> {
        let named = self.named.get(name).into_iter().flatten();
        named.chain(&self.unnamed).copied().collect()
    }
}

impl Sessions {
    /// The open sessions of one principal, in the order in which they opened; a person may be connected from several
    /// devices. The search takes time in proportion to the number of these sessions, and of open sessions that had no
    /// principal when they opened.
    pub fn of(&self, principal: &Principal) -> Vec<Session> {
        let candidates: Vec<Session> = {
            let state = self.shared.lock();
            let numbers = state.principals.candidates(principal.name());
            numbers.iter().filter_map(|number| state.open_session(*number)).cloned().collect()
        };
        let mut found = candidates;
        found.retain(|session| session.principal().as_ref() == Some(principal));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_a_candidate_under_its_newest_name_or_without_one() {
        let (ada, bob) = (Principal::from("ada"), Principal::from("bob"));
        let mut principals = Principals::default();
        let name = principals.insert(1, Some(&ada));
        assert_eq!(principals.insert(2, Some(&ada)), name);
        assert_eq!(principals.insert(3, None), None);
        assert_eq!(principals.candidates("ada"), BTreeSet::from([1, 2, 3]));
        principals.remove(2, name.as_ref());
        let other = principals.insert(2, Some(&bob));
        assert_eq!(principals.candidates("ada"), BTreeSet::from([1, 3]));
        assert_eq!(principals.candidates("bob"), BTreeSet::from([2, 3]));
        principals.remove(1, name.as_ref());
        principals.remove(2, other.as_ref());
        principals.remove(3, None);
        assert!(principals.named.is_empty() && principals.unnamed.is_empty());
    }
}
