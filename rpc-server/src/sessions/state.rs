//! `State`: which sessions there are, and who has been told.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, OnceLock},
    task::Waker,
};

use rpc_core::{ConnectionError, Session};

use crate::caps::Place;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    last: u64,
    /// All that came, from their upgrade to their end; `None` while the upgrade is under way.
    pub(super) entered: BTreeMap<u64, Option<Live>>,
    /// Those that are open, in the order in which they opened.
    open: BTreeMap<u64, Arc<Record>>,
    /// Their places among those, by the sessions' own numbers.
    places: HashMap<u64, u64>,
    listeners: BTreeMap<u64, Listener>,
    /// How many have opened and closed so far, for the log.
    pub(super) opened: u64,
    pub(super) closed: u64,
    /// Those that did not end in time have been named.
    reported: bool,
}

/// A session, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) session: Session,
    /// The place under the caps is the session's, not its connection's.
    #[expect(dead_code, reason = "it is held")]
    pub(super) place: Arc<Place>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    Draining,
    Closing,
}

/// A session that is open, or was.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) session: Session,
    pub(super) reason: OnceLock<ConnectionError>,
}

/// One who wants to hear of openings and closings.
#[derive(Debug, Default)]
struct Listener {
    /// The place of the last opening that it has heard of.
    heard: u64,
    /// Of those that it has heard of, the ones that have closed since. So there are never more than were open when it
    /// last asked.
    closed: VecDeque<Arc<Record>>,
    waker: Option<Waker>,
}

/// What a listener hears.
pub(super) enum News {
    Opened(Arc<Record>),
    Closed(Arc<Record>),
    /// Nothing will come any more.
    End,
}

impl State {
    /// A number that was never given before. Numbers grow.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// All sessions that have begun and not ended, whether they are open or not.
    pub(super) fn live(&self) -> impl Iterator<Item = &Session> {
        self.entered.values().flatten().map(|live| &live.session)
    }

    pub(super) fn sessions(&self) -> impl ExactSizeIterator<Item = &Session> {
        self.open.values().map(|record| &record.session)
    }

    pub(super) fn session(&self, id: u64) -> Option<&Session> {
        self.places.get(&id).and_then(|place| self.open.get(place)).map(|record| &record.session)
    }

    /// A session has opened. Gives back whom to wake.
    #[must_use]
    pub(super) fn opened(&mut self, session: Session) -> Vec<Waker> {
        self.opened += 1;
        let number = self.number();
        self.places.insert(session.id(), number);
        self.open.insert(number, Arc::new(Record { session, reason: OnceLock::new() }));
        self.wakers()
    }

    /// A session has ended; nothing happens if it was not open. Gives back whom to wake, and what to drop outside the
    /// lock.
    #[must_use]
    pub(super) fn closed(&mut self, session: u64, reason: ConnectionError) -> (Vec<Waker>, Option<Arc<Record>>) {
        let Some(number) = self.places.remove(&session) else { return (Vec::new(), None) };
        self.closed += 1;
        let record = self.open.remove(&number);
        if let Some(record) = &record {
            let _ = record.reason.set(reason);
            for listener in self.listeners.values_mut().filter(|listener| listener.heard >= number) {
                listener.closed.push_back(Arc::clone(record));
            }
        }
        (self.wakers(), record)
    }

    /// Those that are still there; none if this was asked before.
    pub(super) fn lost(&mut self) -> Vec<Session> {
        if std::mem::replace(&mut self.reported, true) {
            return Vec::new();
        }
        self.live().cloned().collect()
    }

    /// Whether no session is there and none will come.
    fn is_over(&self) -> bool {
        self.phase != Phase::Open && self.entered.is_empty()
    }

    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        self.listeners.values_mut().filter_map(|listener| listener.waker.take()).collect()
    }

    pub(super) fn listen(&mut self) -> u64 {
        let number = self.number();
        self.listeners.insert(number, Listener::default());
        number
    }

    pub(super) fn unlisten(&mut self, listener: u64) -> Option<impl Sized + use<>> {
        self.listeners.remove(&listener)
    }

    /// What a listener has not heard yet. If there is nothing, `waker` is kept, and the one kept before is given back.
    pub(super) fn news(&mut self, listener: u64, waker: Waker) -> Result<News, Option<Waker>> {
        let over = self.is_over();
        let Some(listener) = self.listeners.get_mut(&listener) else { return Ok(News::End) };
        if let Some(record) = listener.closed.pop_front() {
            return Ok(News::Closed(record));
        }
        if let Some((&number, record)) = self.open.range(listener.heard + 1..).next() {
            listener.heard = number;
            return Ok(News::Opened(Arc::clone(record)));
        }
        if over { Ok(News::End) } else { Err(listener.waker.replace(waker)) }
    }
}
