//! `State`: which sessions there are, and which of them each watcher has heard of.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, OnceLock},
    task::Waker,
};

use rpc_core::{ConnectionError, Member, Principal, Session, SessionId};

use super::{
    entry::Kind,
    principals::Principals,
    watcher::{News, Watcher},
};
use crate::caps::Place;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    last: u64,
    /// Every connection, from its upgrade to its end.
    pub(super) entered: BTreeMap<u64, Entered>,
    /// The keys of the sessions in `entered`, by the sessions' own ids.
    entered_as: BTreeMap<SessionId, u64>,
    /// Sessions that have no place, because they have no link.
    pub(super) without_place: usize,
    /// How many sessions are left to which their clients can come back.
    resumable: usize,
    /// The open sessions, in the order in which they opened.
    open: BTreeMap<u64, Open>,
    /// How many of them have no link.
    pub(super) detached: usize,
    /// The keys of `open`, by the sessions' own ids.
    numbers: BTreeMap<SessionId, u64>,
    pub(super) principals: Principals,
    /// The open sessions whose clients host a contract, by its name, as calls have asked for them since a session last
    /// opened or closed.
    pub(super) lists: HashMap<&'static str, Arc<[Member]>>,
    watchers: BTreeMap<u64, Watcher>,
    /// Sessions that have opened and closed so far, for the log.
    pub(super) opened: u64,
    pub(super) closed: u64,
    /// The connections that did not end in time have been logged.
    reported: bool,
}

/// A connection that has entered, and not left.
#[derive(Clone, Debug)]
pub(super) enum Entered {
    /// It has no session, or not yet.
    Other(Kind),
    Session(Live),
}

/// A session, from its client's Hello to its end.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) session: Session,
    /// The place under the caps is the session's, not its connection's. A session without a link has none.
    pub(super) place: Option<Arc<Place>>,
    /// Its client can come back to it, as far as is known.
    is_resumable: bool,
}

impl Entered {
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Other(_) => None,
            Self::Session(live) => Some(&live.session),
        }
    }
}

/// How far the end has come. It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    /// Clients are taken.
    Open,
    /// Clients are taken that come back to their sessions.
    Resuming,
    /// No client is taken: there is no session any more to which one could come back.
    Draining,
    /// Sessions end at once.
    Closing,
}

/// A session that is open.
#[derive(Debug)]
struct Open {
    record: Arc<Record>,
    /// The name of its principal, as `principals` has it.
    principal: Option<Arc<str>>,
    /// How it has lost its link, if it has none.
    lost: Option<Arc<ConnectionError>>,
}

/// A session that is open, or was.
#[derive(Debug)]
pub(super) struct Record {
    /// The key of the session among those that are open.
    pub(super) number: u64,
    pub(super) session: Session,
    pub(super) reason: OnceLock<Box<ConnectionError>>,
}

impl State {
    /// Where a drain goes on from a phase, if it does.
    pub(super) fn next_phase(&self) -> Option<Phase> {
        (self.phase == Phase::Resuming && self.resumable == 0).then_some(Phase::Draining)
    }

    /// A session has ended, and its client may not be able to come back to it any more.
    pub(super) fn ended(&mut self, session: &Session) {
        let number = self.entered_as.get(&session.id());
        if let Some(Entered::Session(live)) = number.and_then(|number| self.entered.get_mut(number)) {
            if live.is_resumable && !session.is_resumable() {
                live.is_resumable = false;
                self.resumable -= 1;
            }
        }
    }

    /// A new number, greater than all before.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The connection with this number has led to a session, which has its place.
    pub(super) fn begun(&mut self, number: u64, session: &Session, place: Arc<Place>) {
        self.entered_as.insert(session.id(), number);
        let is_resumable = session.is_resumable();
        self.resumable += usize::from(is_resumable);
        let live = Live { session: session.clone(), place: Some(place), is_resumable };
        self.entered.insert(number, Entered::Session(live));
    }

    /// A connection is gone, and a session that it has led to.
    pub(super) fn left(&mut self, number: u64) -> Option<Entered> {
        let entered = self.entered.remove(&number);
        if let Some(Entered::Session(live)) = &entered {
            self.entered_as.remove(&live.session.id());
            self.without_place -= usize::from(live.place.is_none());
            self.resumable -= usize::from(live.is_resumable);
        }
        entered
    }

    /// A session has lost its link, unless it has got another one already. Gives its place, to be dropped outside of
    /// the lock.
    pub(super) fn detach(&mut self, number: u64) -> Option<Arc<Place>> {
        let Some(Entered::Session(live)) = self.entered.get_mut(&number) else { return None };
        if !live.session.is_detached() {
            return None;
        }
        let place = live.place.take();
        self.without_place += usize::from(place.is_some());
        place
    }

    /// A session goes on over a connection that has this place. Gives the place that is not needed any more, to be
    /// dropped outside of the lock.
    pub(super) fn attach(&mut self, session: SessionId, place: Option<Arc<Place>>) -> Option<Arc<Place>> {
        let number = self.entered_as.get(&session);
        let Some(Entered::Session(live)) = number.and_then(|number| self.entered.get_mut(number)) else { return place };
        let place = place?;
        let before = live.place.replace(place);
        self.without_place -= usize::from(before.is_none());
        before
    }

    /// Sessions without a link: first those of clients that have shown no identity, and of these the youngest.
    pub(super) fn newest_detached(&self, count: usize) -> Vec<Session> {
        let detached = self.entered.values().rev().filter_map(|entered| match entered {
            Entered::Session(live) if live.place.is_none() => Some(live.session.clone()),
            _ => None,
        });
        let mut all: Vec<Session> = detached.collect();
        all.sort_by_key(|session| session.principal().is_some());
        all.truncate(count);
        all
    }

    /// All sessions that have begun and not ended, whether they are open or not.
    pub(super) fn live(&self) -> impl Iterator<Item = &Session> {
        self.entered.values().filter_map(Entered::session)
    }

    pub(super) fn sessions(&self) -> impl ExactSizeIterator<Item = &Session> {
        self.open.values().map(|open| &open.record.session)
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.numbers.get(&id).and_then(|number| self.open.get(number)).map(|open| &open.record.session)
    }

    pub(super) fn open_session(&self, number: u64) -> Option<&Session> {
        self.open.get(&number).map(|open| &open.record.session)
    }

    /// How often sessions have opened and closed.
    pub(super) fn changes(&self) -> u64 {
        self.opened + self.closed
    }

    /// A session of this principal has opened. Returns the wakers to wake outside of the lock.
    #[must_use]
    pub(super) fn opened(&mut self, session: Session, principal: Option<&Principal>) -> Vec<Waker> {
        self.opened += 1;
        let number = self.number();
        self.numbers.insert(session.id(), number);
        let record = Arc::new(Record { number, session, reason: OnceLock::new() });
        let principal = self.principals.insert(number, principal);
        self.open.insert(number, Open { record, principal, lost: None });
        self.wakers()
    }

    /// An open session may have another principal than before: its client has come back with another identity.
    pub(super) fn principal_changed(&mut self, session: SessionId, principal: Option<&Principal>) {
        let Some(number) = self.numbers.get(&session).copied() else { return };
        let Some(open) = self.open.get_mut(&number) else { return };
        if open.principal.as_deref() != principal.map(Principal::name) {
            self.principals.remove(number, open.principal.as_ref());
            open.principal = self.principals.insert(number, principal);
        }
    }

    /// A session has lost its link in this way, or has one again; nothing happens if the session is not open. Returns
    /// the wakers to wake outside of the lock.
    #[must_use]
    pub(super) fn link_changed(&mut self, session: SessionId, lost: Option<Arc<ConnectionError>>) -> Vec<Waker> {
        let number = self.numbers.get(&session).copied();
        let Some(open) = number.and_then(|number| self.open.get_mut(&number)) else { return Vec::new() };
        let is_detached = lost.is_some();
        let was_detached = mem::replace(&mut open.lost, lost).is_some();
        if was_detached == is_detached {
            return Vec::new();
        }
        self.detached = self.detached - usize::from(was_detached) + usize::from(is_detached);
        self.watchers.values_mut().for_each(|watcher| watcher.note(&open.record));
        self.wakers()
    }

    /// A session has ended; nothing happens if the session was not open. Returns the wakers to wake, and the record to
    /// drop, outside of the lock.
    #[must_use]
    pub(super) fn closed(&mut self, session: SessionId, reason: ConnectionError) -> (Vec<Waker>, Option<Arc<Record>>) {
        let Some(number) = self.numbers.remove(&session) else { return (Vec::new(), None) };
        self.closed += 1;
        let record = self.open.remove(&number).map(|open| {
            self.detached -= usize::from(open.lost.is_some());
            self.principals.remove(number, open.principal.as_ref());
            open.record
        });
        if let Some(record) = &record {
            self.ended(&record.session);
            let _ = record.reason.set(Box::new(reason));
            self.watchers.values_mut().for_each(|watcher| watcher.note(record));
        }
        (self.wakers(), record)
    }

    /// The connections that are still there. Empty from the second call on, so that they are logged once.
    pub(super) fn lost(&mut self) -> Vec<Entered> {
        if mem::replace(&mut self.reported, true) {
            return Vec::new();
        }
        self.entered.values().cloned().collect()
    }

    /// Whether there is no session, and will be none.
    pub(super) fn is_over(&self) -> bool {
        self.phase != Phase::Open && self.entered.is_empty()
    }

    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        self.watchers.values_mut().filter_map(|watcher| watcher.waker.take()).collect()
    }

    pub(super) fn watch(&mut self) -> u64 {
        let number = self.number();
        self.watchers.insert(number, Watcher::default());
        number
    }

    pub(super) fn unwatch(&mut self, watcher: u64) -> Option<impl Sized + use<>> {
        self.watchers.remove(&watcher)
    }

    /// How many sessions a watcher has yet to hear of, beside those of whose opening it has not heard.
    #[cfg(test)]
    pub(super) fn waiting(&self, watcher: u64) -> usize {
        self.watchers.get(&watcher).map_or(0, Watcher::waiting)
    }

    /// The next event that a watcher has not heard of. If there is none, `waker` is kept, and the error holds the waker
    /// that was kept before.
    pub(super) fn news(&mut self, watcher: u64, waker: Waker) -> Result<News, Option<Waker>> {
        let over = self.is_over();
        let Some(watcher) = self.watchers.get_mut(&watcher) else { return Ok(News::End) };
        let news = watcher.next_change(|number| self.open.get(&number)?.lost.as_deref().cloned());
        if let Some(news) = news {
            return Ok(news);
        }
        if let Some((_, open)) = self.open.range(watcher.heard() + 1..).next() {
            return Ok(watcher.hear(&open.record, open.lost.is_some()));
        }
        if over { Ok(News::End) } else { Err(watcher.waker.replace(waker)) }
    }
}
