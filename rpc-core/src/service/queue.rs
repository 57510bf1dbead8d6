//! `Queue`: who waits for an object that serves one call at a time, and who is next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    task::Waker,
};

use crate::proto::ServedCall;

/// Those that wait, and those whose arguments are arriving, in the order in which they came. Bounded by the limits on calls and
/// one-way calls of the sessions they came from.
///
/// Sessions do not wait for each other's arguments, but within one session nobody passes a call whose arguments are still arriving. Each step takes
/// logarithmic time, also where a hostile session fills the queue with calls that never arrive in full.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: BTreeMap<u64, Place>,
    /// Those that may be served now.
    eligible: BTreeSet<u64>,
    /// Of the sessions that have calls whose arguments are arriving.
    arrivals: HashMap<u64, Arrivals>,
}

#[derive(Debug)]
pub(super) struct Place {
    session: u64,
    /// `None` while the arguments are arriving.
    pub(super) ready: Option<Arc<ServedCall>>,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Arrivals {
    arriving: BTreeSet<u64>,
    /// Ready, and behind one of those.
    behind: BTreeSet<u64>,
}

impl Queue {
    /// Takes the last place. Numbers only grow.
    pub(super) fn join(&mut self, number: u64, session: u64, ready: Option<Arc<ServedCall>>) {
        if ready.is_none() {
            self.arrivals.entry(session).or_default().arriving.insert(number);
        } else if let Some(arrivals) = self.arrivals.get_mut(&session) {
            arrivals.behind.insert(number);
        } else {
            self.eligible.insert(number);
        }
        self.places.insert(number, Place { session, ready, waker: None });
    }

    /// The arguments of the one with this place have arrived.
    pub(super) fn arrived(&mut self, number: u64, call: Arc<ServedCall>) {
        let Some(place) = self.places.get_mut(&number) else { return };
        let session = place.session;
        place.ready = Some(call);
        if let Some(arrivals) = self.arrivals.get_mut(&session) {
            arrivals.arriving.remove(&number);
            arrivals.behind.insert(number);
        }
        self.settle(session);
    }

    pub(super) fn place(&mut self, number: u64) -> Option<&mut Place> {
        self.places.get_mut(&number)
    }

    /// Leaves the line.
    pub(super) fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        self.eligible.remove(&number);
        if let Some(arrivals) = self.arrivals.get_mut(&place.session) {
            arrivals.behind.remove(&number);
            if arrivals.arriving.remove(&number) {
                self.settle(place.session);
            }
        }
        Some(place)
    }

    /// Takes out the first that may be served.
    pub(super) fn pop(&mut self) -> Option<(u64, Place)> {
        let number = self.eligible.pop_first()?;
        self.places.remove(&number).map(|place| (number, place))
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Those that are not behind an arriving call of their session any more may be served.
    fn settle(&mut self, session: u64) {
        let Some(arrivals) = self.arrivals.get_mut(&session) else { return };
        match arrivals.arriving.first() {
            Some(first) => {
                let behind = arrivals.behind.split_off(first);
                self.eligible.append(&mut std::mem::replace(&mut arrivals.behind, behind));
            }
            None => {
                self.eligible.append(&mut arrivals.behind);
                self.arrivals.remove(&session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(session: u64) -> Arc<ServedCall> {
        Arc::new(ServedCall::new(session, None, 0, 0, None, Vec::new(), None))
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join(u64, bool),
        Arrived(u64),
        Remove(u64),
        Pop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u64, any::<bool>()).prop_map(|(session, ready)| Step::Join(session, ready)),
            (1..30_u64).prop_map(Step::Arrived),
            (1..30_u64).prop_map(Step::Remove),
            Just(Step::Pop),
        ]
    }

    proptest! {
        /// Against the rule itself: the first that is ready, with none of its session before it that is not.
        #[test]
        fn whoever_may_be_served_first_is_next(steps in proptest::collection::vec(step(), 0..60)) {
            let mut queue = Queue::default();
            let mut plain: Vec<(u64, u64, bool)> = Vec::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Join(session, ready) => {
                        next += 1;
                        queue.join(next, session, ready.then(|| call(session)));
                        plain.push((next, session, ready));
                    }
                    Step::Arrived(number) => {
                        if let Some(place) = plain.iter_mut().find(|(other, _, ready)| *other == number && !ready) {
                            place.2 = true;
                            queue.arrived(number, call(place.1));
                        }
                    }
                    Step::Remove(number) => {
                        let at = plain.iter().position(|(other, ..)| *other == number);
                        prop_assert_eq!(queue.remove(number).is_some(), at.map(|at| plain.remove(at)).is_some());
                    }
                    Step::Pop => {
                        let first = plain.iter().enumerate().position(|(at, (_, session, ready))| {
                            *ready && plain[..at].iter().all(|(_, other, ready)| other != session || *ready)
                        });
                        let first = first.map(|at| plain.remove(at).0);
                        prop_assert_eq!(queue.pop().map(|(number, _)| number), first);
                    }
                }
                prop_assert_eq!(queue.len(), plain.len());
            }
            for (number, ..) in plain {
                queue.remove(number);
            }
            prop_assert!(queue.eligible.is_empty() && queue.arrivals.is_empty());
        }
    }
}
