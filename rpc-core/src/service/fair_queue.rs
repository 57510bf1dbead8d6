//! `FairQueue`: the calls that wait for an object which serves one call at a time, and their order.

use std::{collections::BTreeMap, sync::Arc, task::Waker};

use crate::proto::ServedCall;

/// A place in the queue: the session that it belongs to, and a number that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) session: u64,
    pub(super) number: u64,
}

/// Calls that wait, and calls whose arguments are arriving. The limits on calls and one-way calls of their sessions
/// bound the queue.
///
/// Sessions take turns, so that no session waits for all calls of another one. The calls of a session are served in
/// their order, and no call overtakes an earlier call whose arguments are still arriving. Each step takes logarithmic
/// time, even if a hostile session fills the queue.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    lanes: BTreeMap<u64, Lane>,
    /// The sessions whose first call is ready, in the order of their turns.
    rotation: BTreeMap<u64, u64>,
    last_turn: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// `None` while the arguments are arriving.
    pub(super) ready: Option<Arc<ServedCall>>,
    pub(super) waker: Option<Waker>,
}

/// The calls of one session; never empty.
#[derive(Debug, Default)]
struct Lane {
    entries: BTreeMap<u64, Entry>,
    /// The session's turn in the rotation; `None` while its first call is not ready.
    turn: Option<u64>,
}

impl FairQueue {
    /// Takes the last place in the lane of the ticket's session.
    pub(super) fn join(&mut self, ticket: Ticket, ready: Option<Arc<ServedCall>>) {
        let lane = self.lanes.entry(ticket.session).or_default();
        lane.entries.insert(ticket.number, Entry { ready, waker: None });
        self.settle(ticket.session);
    }

    /// The arguments of a call that holds a place have arrived.
    pub(super) fn arrived(&mut self, ticket: Ticket, call: Arc<ServedCall>) {
        if let Some(entry) = self.entry(ticket) {
            entry.ready = Some(call);
            self.settle(ticket.session);
        }
    }

    pub(super) fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        self.lanes.get_mut(&ticket.session)?.entries.get_mut(&ticket.number)
    }

    /// Leaves the queue.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Entry> {
        let entry = self.lanes.get_mut(&ticket.session)?.entries.remove(&ticket.number);
        self.settle(ticket.session);
        entry
    }

    /// Removes and returns the call that is served next.
    pub(super) fn pop(&mut self) -> Option<(Ticket, Entry)> {
        let (_, session) = self.rotation.pop_first()?;
        let lane = self.lanes.get_mut(&session)?;
        lane.turn = None;
        let (number, entry) = lane.entries.pop_first()?;
        self.settle(session);
        Some((Ticket { session, number }, entry))
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.entries.len()).sum()
    }

    /// Keeps a session in the rotation exactly while its first call is ready.
    fn settle(&mut self, session: u64) {
        let Some(lane) = self.lanes.get_mut(&session) else { return };
        let ready = lane.entries.first_key_value().is_some_and(|(_, entry)| entry.ready.is_some());
        match lane.turn {
            None if ready => {
                self.last_turn += 1;
                lane.turn = Some(self.last_turn);
                self.rotation.insert(self.last_turn, session);
            }
            Some(turn) if !ready => {
                lane.turn = None;
                self.rotation.remove(&turn);
            }
            _ => {}
        }
        if lane.entries.is_empty() {
            self.lanes.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(session: u64) -> Arc<ServedCall> {
        Arc::new(ServedCall::new(crate::proto::NewCall { session, ..Default::default() }))
    }

    #[test]
    fn sessions_take_turns() {
        let mut queue = FairQueue::default();
        for number in 0..6 {
            let session = u64::from(number >= 4);
            queue.join(Ticket { session, number }, Some(call(session)));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(ticket, _)| ticket.number).collect();
        assert_eq!(order, [0, 4, 1, 5, 2, 3]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join(u64, bool),
        Arrived(usize),
        Remove(usize),
        Pop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u64, any::<bool>()).prop_map(|(session, ready)| Step::Join(session, ready)),
            (0..10_usize).prop_map(Step::Arrived),
            (0..10_usize).prop_map(Step::Remove),
            Just(Step::Pop),
        ]
    }

    proptest! {
        /// Checks the rule itself: a call that is served is ready and the first of its session, and if there is such a
        /// call, one is served.
        #[test]
        fn the_served_call_is_ready_and_first_of_its_session(steps in proptest::collection::vec(step(), 0..60)) {
            let mut queue = FairQueue::default();
            let mut plain: Vec<(Ticket, bool)> = Vec::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Join(session, ready) => {
                        number += 1;
                        let ticket = Ticket { session, number };
                        queue.join(ticket, ready.then(|| call(session)));
                        plain.push((ticket, ready));
                    }
                    Step::Arrived(at) => {
                        if let Some((ticket, ready)) = plain.get_mut(at) {
                            *ready = true;
                            queue.arrived(*ticket, call(ticket.session));
                        }
                    }
                    Step::Remove(at) => {
                        if at < plain.len() {
                            prop_assert!(queue.remove(plain.remove(at).0).is_some());
                        }
                    }
                    Step::Pop => {
                        let may = |at: usize| {
                            let (ticket, ready) = plain[at];
                            ready && plain[..at].iter().all(|(other, _)| other.session != ticket.session)
                        };
                        let allowed: Vec<_> = (0..plain.len()).filter(|at| may(*at)).map(|at| plain[at].0).collect();
                        let popped = queue.pop().map(|(ticket, _)| ticket);
                        prop_assert_eq!(popped.is_some(), !allowed.is_empty());
                        if let Some(popped) = popped {
                            prop_assert!(allowed.contains(&popped));
                            plain.retain(|(ticket, _)| *ticket != popped);
                        }
                    }
                }
                prop_assert_eq!(queue.len(), plain.len());
            }
            for (ticket, _) in plain {
                queue.remove(ticket);
            }
            prop_assert!(queue.lanes.is_empty() && queue.rotation.is_empty());
        }
    }
}
