//! Deadlines: of calls made and served here, of the wait for a permit, and of streams that do not move.

use std::time::{Duration, Instant};

use super::{Connection, DeadlineKey};
use crate::{
    proto::{
        CallKey,
        assembly::Purpose,
        deadline_origin::too_late,
        slots::{SlotState, Slots},
        streams::WaitsFor,
    },
    status::Status,
    wire::{CallId, Streams, TransferId},
};

/// With more places for calls than this, they are looked at less often …
const MANY: usize = 4096;
/// … so that this takes a small part of the time: a call may end late by this much for each place, 20 ms with 100,000
/// calls. Looking at a place takes about five nanoseconds.
const PAUSE: Duration = Duration::from_nanos(200);

/// Why a call could not be sent.
const BEHIND: &str = "one-way calls were sent before it that the other side does not take";
const OTHERS: &str = "others go before it, and what may wait or run at once is limited (Config::outbox_soft here, \
                      Config::max_arguments and Config::max_assembly at the other side)";

/// A call whose deadline has passed.
enum Due {
    Made(CallKey),
    Served(CallId),
}

impl Connection {
    /// Sets a deadline. Deadlines of calls that are over stay until they come up, or until they outnumber the others.
    pub(super) fn push_deadline(&mut self, at: Instant, key: DeadlineKey) {
        let slots = &self.calls.slots;
        self.schedule.deadlines.push(at, key, |_, key| is_live(slots, key));
    }

    /// Forgets the deadlines of calls that have ended, and frees memory that a busy time needed.
    pub(super) fn trim_deadlines(&mut self) {
        let slots = &self.calls.slots;
        self.schedule.deadlines.trim(|deadlines| deadlines.trim(|_, key| is_live(slots, key)));
    }

    #[cfg(test)]
    pub(crate) fn deadlines_held(&self) -> usize {
        self.schedule.deadlines.len()
    }

    /// Ends calls and waits whose deadlines have passed.
    pub(super) fn expire_deadlines(&mut self, now: Instant) {
        while let Some((_, key)) = self.schedule.pop_due(now) {
            match key {
                DeadlineKey::Wait(key) => self.expire_wait(key),
                DeadlineKey::Idle(key) => self.expire_idle(now, key),
            }
        }
        if self.schedule.calls_due.is_some_and(|due| due <= now) {
            self.expire_calls(now);
        }
    }

    /// Ends the calls whose deadlines have passed, in the order of the deadlines, and finds when the next one is due.
    /// Most calls end long before their deadlines, so looking at all calls from time to time costs less than a queue.
    #[cold]
    fn expire_calls(&mut self, now: Instant) {
        let made = self.calls.slots.deadlines().map(|(key, at)| (at, Due::Made(key)));
        let served = self.served.deadlines().map(|(id, at)| (at, Due::Served(id)));
        let (mut due, mut next) = (Vec::new(), None);
        for (at, call) in made.chain(served) {
            if at <= now {
                due.push((at, call));
            } else if next.is_none_or(|next| at < next) {
                next = Some(at);
            }
        }
        let places = self.calls.slots.places() + self.served.places();
        // There are at most a million calls of each kind.
        let pause = if places > MANY { PAUSE * u32::try_from(places).unwrap_or(u32::MAX) } else { Duration::ZERO };
        self.schedule.set_calls_due(next, now + pause);
        due.sort_by_key(|(at, _)| *at);
        for (at, call) in due {
            match call {
                Due::Made(key) => self.expire_call(key, None),
                Due::Served(id) => self.expire_served(at, id),
            }
        }
    }

    /// Ends a call that was made here because its deadline has passed, or because of `why` if the call has been sent.
    fn expire_call(&mut self, key: CallKey, why: Option<Status>) {
        let Some(slot) = self.calls.slots.find_mut(key) else { return };
        let (method, origin, deadline) = (slot.method, slot.deadline_origin, slot.deadline);
        let late = |what: &str| too_late(method, origin, deadline, what);
        match &slot.state {
            SlotState::Behind => {
                let message = format!("{}: {}", late("the call could not be sent"), self.behind());
                self.fail(key, Status::deadline_exceeded(message).not_executed());
            }
            SlotState::Waiting => {
                let oneway = slot.oneway;
                let busy = self.busy(oneway);
                let message = format!("{}: {busy}", late("the call could not be sent"));
                self.fail(key, Status::deadline_exceeded(message).not_executed());
            }
            SlotState::Admitted | SlotState::Queued => {
                let why = self.no_link().unwrap_or_else(|| OTHERS.to_owned());
                let message = format!("{}: {why}", late("the call could not be sent"));
                self.fail(key, Status::deadline_exceeded(message).not_executed());
            }
            SlotState::Sent => {
                self.resolve_early(key, why.unwrap_or_else(|| Status::deadline_exceeded(late("no answer came"))));
                self.give_up(key, true);
            }
            SlotState::Arriving(transfer) => {
                let transfer = *transfer;
                self.resolve_early(
                    key,
                    why.unwrap_or_else(|| Status::deadline_exceeded(late("the answer did not arrive in full"))),
                );
                self.stop_arriving(transfer, Purpose::DiscardFor(key));
                self.give_up_streams(key);
            }
            SlotState::Abandoned | SlotState::Resolved(_) | SlotState::Free => {}
        }
    }

    /// A nested call has waited for a permit as long as it may.
    fn expire_wait(&mut self, key: CallKey) {
        let why = match self.calls.slots.find(key).map(|slot| &slot.state) {
            Some(SlotState::Waiting) => self.busy(false),
            Some(SlotState::Behind) => self.behind(),
            _ => return,
        };
        let status = Status::resource_exhausted(format!(
            "{why}; a call made inside a handler waits {:?} at most for that to change (Config::nested_wait)",
            self.config.nested_wait()
        ));
        self.fail(key, status.not_executed());
    }

    /// Why a call still waits that needs nothing but a link, if there is none.
    fn no_link(&self) -> Option<String> {
        let (_, error) = self.detached()?;
        Some(format!("the session has lost its link, and had no other one yet ({error})"))
    }

    /// Why a call still waits behind the queue.
    fn behind(&self) -> String {
        self.no_link().unwrap_or_else(|| BEHIND.to_owned())
    }

    /// Why a call has no permit.
    fn busy(&self, oneway: bool) -> String {
        let (what, limit, name) = match oneway {
            true => ("one-way calls", self.negotiated.limits.notifies, "max_oneway_calls"),
            false => ("calls", self.negotiated.limits.calls, "max_calls"),
        };
        if let Some(why) = self.no_link() {
            why
        } else if self.is_open() {
            format!("the other side is busy with the {limit} {what} that it takes at once (Config::{name} there)")
        } else {
            "the session is not open yet".to_owned()
        }
    }

    /// Items of a stream were produced or read: the time of the call whose argument it is begins anew.
    pub(super) fn renew_idle_timeout(&mut self, now: Instant, id: TransferId) {
        let slot = self.send_streams.owner(id).and_then(|key| self.calls.slots.find_mut(key));
        if let Some((_, last)) = slot.and_then(|slot| slot.idle_timeout.as_mut()) {
            *last = now;
        }
    }

    /// The time of a call with streams may be over, unless it has begun anew meanwhile.
    fn expire_idle(&mut self, at: Instant, key: CallKey) {
        let Some(slot) = self.calls.slots.find(key) else { return };
        let Some((idle_timeout, last)) = slot.idle_timeout else { return };
        let Some(due) = last.checked_add(idle_timeout.time) else { return };
        if due > at {
            return self.push_deadline(due, DeadlineKey::Idle(key));
        }
        let what = self.why_idle(&slot.streams);
        let call = slot.method.map_or_else(|| "the call".to_owned(), ToString::to_string);
        let status = Status::deadline_exceeded(format!(
            "{call}: for {:?} {what} ({})",
            idle_timeout.time,
            idle_timeout.advice()
        ));
        self.expire_call(key, Some(status));
    }

    /// Which side the streams among a call's arguments wait for.
    fn why_idle(&self, streams: &Streams) -> &'static str {
        let mut waits = streams.iter().filter_map(|id| self.send_streams.waits_for(*id));
        let Some(first) = waits.next() else {
            return "the streams among the arguments have been read, and no answer has come";
        };
        match first {
            _ if waits.any(|other| other != first) => {
                "nothing was produced and read of the streams among the arguments"
            }
            WaitsFor::Reader => "the other side has not gone on reading the streams among the arguments",
            WaitsFor::Producer => {
                "no item was produced for the streams among the arguments, nor their end: a StreamSender ends its stream by `finish`"
            }
        }
    }
}

/// Whether a deadline belongs to a call that has not ended.
fn is_live(slots: &Slots, key: DeadlineKey) -> bool {
    let (DeadlineKey::Wait(key) | DeadlineKey::Idle(key)) = key;
    slots.find(key).is_some()
}
