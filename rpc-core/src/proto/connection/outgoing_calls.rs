//! `OutgoingCalls`: the calls that are made here, and their permits.

use std::task::Waker;

use crate::{
    error::{CallViolation, ProtocolError},
    proto::{
        permits::Permits,
        shrink::trim_list,
        slots::{CallKey, Slot, SlotState, Slots},
        wait_queue::WaitQueue,
    },
    wire::{CallId, PeerLimits},
};

use super::{
    behind::Behind,
    oneway_counts::{OnewayCount, OnewayCounts},
};

/// Completions for ids that are not awaited, after which the connection is closed.
const MAX_STRAY_COMPLETIONS: u32 = 100;

/// Every call that this end has begun and is not done with, and how many more the other side takes.
///
/// A call that is admitted, or has gone out, holds one permit: `two_way` or `oneway` counts it. A two-way call's permit
/// returns with its completion, a one-way call's when the other side has reported it done. A slot that waits is in the
/// queue of its kind.
#[derive(Debug)]
pub(super) struct OutgoingCalls {
    pub(super) slots: Slots,
    two_way: Admission,
    oneway: Admission,
    /// Calls that wait for calls of the queue, before they wait for a permit.
    behind: Behind,
    /// One-way calls by depth: how many were sent, and how many the other side has reported done.
    sent: OnewayCounts,
    done: OnewayCounts,
    stray_completions: u32,
    /// Permits are not given to callers that wait, because there is no link.
    held_back: bool,
    /// Scratch, kept for its memory.
    granted: Vec<CallKey>,
}

/// The permits of one kind of calls, and the callers that wait for one.
#[derive(Debug)]
struct Admission {
    permits: Permits,
    waiting: WaitQueue,
}

impl Admission {
    /// Nothing is sent before the other side has said what it takes.
    fn closed() -> Self {
        Self { permits: Permits::new(0, 0, 0), waiting: WaitQueue::default() }
    }
}

/// What a report of finished one-way calls releases.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReportedDone {
    /// Calls.
    pub(super) calls: u64,
    /// Bytes of their arguments.
    pub(super) bytes: u64,
}

impl OutgoingCalls {
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::default(),
            two_way: Admission::closed(),
            oneway: Admission::closed(),
            behind: Behind::default(),
            sent: OnewayCounts::default(),
            done: OnewayCounts::default(),
            stray_completions: 0,
            held_back: false,
            granted: Vec::new(),
        }
    }

    /// The other side has said what it takes: one-way calls are counted for each depth that it serves.
    pub(super) fn count_depths(&mut self, limits: &PeerLimits) {
        self.sent = OnewayCounts::new(limits.depth);
        self.done = OnewayCounts::new(limits.depth);
    }

    /// Lets calls go from now on.
    pub(super) fn open(&mut self, limits: &PeerLimits) {
        let PeerLimits { calls, nested, notifies, depth, .. } = *limits;
        self.two_way.permits.set_limits(calls, nested, depth);
        self.oneway.permits.set_limits(notifies, nested, depth);
    }

    /// Whether callers outside of handlers wait, whether there are permits or not.
    pub(super) fn hold_back(&mut self, held_back: bool) {
        self.held_back = held_back;
    }

    /// Whether a call that is made in a handler or not has to wait for a link.
    #[inline]
    pub(super) fn is_held_back(&self, in_handler: bool) -> bool {
        self.held_back && !in_handler
    }

    /// Frees memory that a busy time needed.
    pub(super) fn trim(&mut self) {
        self.slots.trim();
        self.two_way.waiting.trim();
        self.oneway.waiting.trim();
        self.behind.trim();
        trim_list(&mut self.granted);
    }

    /// The session is over: stops giving and counting permits, and keeps what callers have yet to take.
    pub(super) fn end(&mut self) {
        self.slots.end();
        self.two_way.permits = Permits::new(0, 0, 0);
        self.oneway.permits = Permits::new(0, 0, 0);
    }

    /// One-way calls that were sent, or may be, and have not been reported done.
    pub(super) fn oneway_pending(&self) -> usize {
        self.oneway.permits.live() as usize
    }

    #[inline]
    fn admission(&mut self, oneway: bool) -> &mut Admission {
        if oneway { &mut self.oneway } else { &mut self.two_way }
    }

    /// A slot for a new call, with a permit if there is one and the call need not wait for something else, to be filled
    /// in where it lies. `None` when there are too many slots.
    #[inline]
    pub(super) fn insert(&mut self, oneway: bool, depth: u32, is_held_back: bool) -> Option<(CallKey, &mut Slot)> {
        let permits = if oneway { &mut self.oneway.permits } else { &mut self.two_way.permits };
        let admitted = !is_held_back && permits.try_acquire(depth);
        let state = if admitted { SlotState::Admitted } else { SlotState::Waiting };
        let new = self.slots.insert(state);
        if admitted && new.is_none() {
            permits.release(depth);
        }
        new
    }

    /// A slot for a new two-way call and its permit, if there are both.
    #[inline]
    pub(super) fn insert_admitted(&mut self, depth: u32) -> Option<(CallKey, &mut Slot)> {
        let permits = &mut self.two_way.permits;
        if !permits.try_acquire(depth) {
            return None;
        }
        let new = self.slots.insert(SlotState::Admitted);
        if new.is_none() {
            permits.release(depth);
        }
        new
    }

    /// Whether there is a permit for a one-way call.
    pub(super) fn has_oneway_permit(&self, depth: u32) -> bool {
        self.oneway.permits.admits(depth)
    }

    /// Takes a permit for a one-way call that needs no slot, if there is one.
    #[inline]
    pub(super) fn try_acquire_oneway(&mut self, depth: u32) -> bool {
        self.oneway.permits.try_acquire(depth)
    }

    /// A new call has to wait for its permit.
    pub(super) fn enqueue(&mut self, oneway: bool, depth: u32, key: CallKey) {
        self.admission(oneway).waiting.push(depth, key);
    }

    /// A new call has to wait until the call of the queue with this number has gone. Its slot says
    /// [`SlotState::Behind`].
    pub(super) fn enqueue_behind(&mut self, number: u64, key: CallKey) {
        self.behind.push(number, key);
    }

    /// The call of the queue with this number has gone, and all before it: the calls that waited for that wait for a
    /// permit.
    pub(super) fn pass(&mut self, gone: u64, wakes: &mut Vec<Waker>) {
        if self.behind.is_empty() {
            return;
        }
        while let Some(key) = self.behind.pop(gone) {
            let Some(slot) = self.slots.find_mut(key).filter(|slot| slot.state == SlotState::Behind) else { continue };
            slot.state = SlotState::Waiting;
            let (oneway, depth) = (slot.oneway, slot.depth);
            self.enqueue(oneway, depth, key);
        }
        self.grant(false, wakes);
        self.grant(true, wakes);
    }

    /// A call that waits for calls of the queue gives up. Its slot still says [`SlotState::Behind`].
    pub(super) fn leave_behind(&mut self, key: CallKey) {
        let slots = &self.slots;
        let is_behind = |key| slots.find(key).is_some_and(|slot: &Slot| slot.state == SlotState::Behind);
        self.behind.leave(|other| other != key && is_behind(other));
    }

    /// A call that waits gives up. Its slot still says [`SlotState::Waiting`].
    pub(super) fn leave_queue(&mut self, oneway: bool, key: CallKey) {
        let waiting = if oneway { &mut self.oneway.waiting } else { &mut self.two_way.waiting };
        let slots = &self.slots;
        waiting.leave(|other| other != key && slots.is_waiting(other));
    }

    /// A permit returns, and goes to a caller that waits for one.
    #[inline]
    pub(super) fn release(&mut self, oneway: bool, depth: u32, wakes: &mut Vec<Waker>) {
        self.admission(oneway).permits.release(depth);
        self.grant(oneway, wakes);
    }

    /// Gives free permits to the callers that wait.
    #[inline]
    pub(super) fn grant(&mut self, oneway: bool, wakes: &mut Vec<Waker>) {
        if self.held_back {
            return;
        }
        let Admission { permits, waiting } = if oneway { &mut self.oneway } else { &mut self.two_way };
        let slots = &self.slots;
        waiting.grant(|key| slots.is_waiting(key), |depth| permits.try_acquire(depth), &mut self.granted);
        for key in self.granted.drain(..) {
            if let Some(slot) = self.slots.find_mut(key) {
                slot.state = SlotState::Admitted;
                wakes.extend(slot.waker.take());
            }
        }
    }

    /// Counts a one-way call that goes into the outbox.
    #[inline]
    pub(super) fn count_oneway(&mut self, depth: u32, bytes: u64) {
        let sent = self.sent.at(depth);
        debug_assert!(sent.is_some(), "a call beyond the limit is not sent");
        if let Some(sent) = sent {
            sent.count += 1;
            sent.bytes += bytes;
        }
    }

    /// The other side has finished `count` one-way calls of a depth since the session began, with `bytes` of arguments.
    /// Their permits return.
    pub(super) fn handle_done(
        &mut self,
        depth: u32,
        count: u64,
        bytes: u64,
        wakes: &mut Vec<Waker>,
    ) -> Result<ReportedDone, ProtocolError> {
        let sent = self.sent.of(depth);
        let Some(done) = self.done.at(depth) else { return Err(CallViolation::DoneBeyondDepth { depth }.into()) };
        if count < done.count || count > sent.count || bytes < done.bytes || bytes > sent.bytes {
            let (sent, sent_bytes) = (sent.count, sent.bytes);
            return Err(CallViolation::ImpossibleDone { depth, count, bytes, sent, sent_bytes }.into());
        }
        let reported = ReportedDone { calls: count - done.count, bytes: bytes - done.bytes };
        *done = OnewayCount { count, bytes };
        for _ in 0..reported.calls {
            self.oneway.permits.release(depth);
        }
        self.grant(true, wakes);
        Ok(reported)
    }

    /// The call that a completion is for, if one is awaited.
    #[inline]
    pub(super) fn expect_completion(&self, id: CallId) -> Option<CallKey> {
        let key = CallKey::from_id(id);
        let slot = self.slots.find(key)?;
        let awaited = match &slot.state {
            SlotState::Sent => true,
            SlotState::Abandoned => !slot.completing,
            SlotState::Resolved(_) => slot.awaiting_completion && !slot.completing,
            _ => false,
        };
        awaited.then_some(key)
    }

    /// A completion has come that no call awaits. Too many of them are a breach of the protocol.
    pub(super) fn count_stray(&mut self, id: CallId) -> Result<(), ProtocolError> {
        self.stray_completions += 1;
        if self.stray_completions > MAX_STRAY_COMPLETIONS {
            return Err(CallViolation::TooManyStrayCompletions { ignored: MAX_STRAY_COMPLETIONS, call: id }.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, proto::negotiated::own_limits};

    fn calls() -> OutgoingCalls {
        let limits = own_limits(&Config::builder().max_calls(1).max_oneway_calls(1).build().unwrap());
        let mut calls = OutgoingCalls::new();
        calls.count_depths(&limits);
        calls.open(&limits);
        calls
    }

    fn begin(calls: &mut OutgoingCalls, oneway: bool) -> CallKey {
        let is_held_back = calls.is_held_back(false);
        let (key, slot) = calls.insert(oneway, 0, is_held_back).unwrap();
        (slot.oneway, slot.depth) = (oneway, 0);
        let waits = slot.state == SlotState::Waiting;
        if waits {
            slot.waker = Some(Waker::noop().clone());
            calls.enqueue(oneway, 0, key);
        }
        key
    }

    fn is_admitted(calls: &OutgoingCalls, key: CallKey) -> bool {
        calls.slots.find(key).is_some_and(|slot| slot.state == SlotState::Admitted)
    }

    #[test]
    fn no_call_is_admitted_before_the_other_side_has_said_what_it_takes() {
        let mut calls = OutgoingCalls::new();
        let key = begin(&mut calls, false);
        assert!(!is_admitted(&calls, key));
        calls.open(&own_limits(&Config::default()));
        calls.grant(false, &mut Vec::new());
        assert!(is_admitted(&calls, key));
    }

    #[test]
    fn without_a_link_only_handlers_get_permits() {
        let mut calls = calls();
        calls.hold_back(true);
        let key = begin(&mut calls, false);
        calls.grant(false, &mut Vec::new());
        assert!(!is_admitted(&calls, key) && !calls.is_held_back(true));
        let is_held_back = calls.is_held_back(true);
        let (nested, _) = calls.insert(true, 0, is_held_back).unwrap();
        assert!(is_admitted(&calls, nested));
        calls.hold_back(false);
        calls.grant(false, &mut Vec::new());
        assert!(is_admitted(&calls, key));
    }

    #[test]
    fn a_permit_that_returns_goes_to_the_next_caller_that_still_waits() {
        let mut calls = calls();
        let [first, second, third] = [(); 3].map(|()| begin(&mut calls, false));
        assert!(is_admitted(&calls, first) && !is_admitted(&calls, second));
        calls.leave_queue(false, second);
        calls.slots.remove(second);
        let mut wakes = Vec::new();
        calls.release(false, 0, &mut wakes);
        assert!(is_admitted(&calls, third));
        assert_eq!(wakes.len(), 1);
    }

    #[test]
    fn one_way_calls_return_their_permits_when_they_are_reported_done() {
        let mut calls = calls();
        let first = begin(&mut calls, true);
        calls.count_oneway(0, 30);
        calls.slots.remove(first);
        let second = begin(&mut calls, true);
        assert!(!is_admitted(&calls, second));
        assert_eq!(calls.oneway_pending(), 1);
        let reported = calls.handle_done(0, 1, 30, &mut Vec::new()).unwrap();
        assert_eq!(reported, ReportedDone { calls: 1, bytes: 30 });
        assert!(is_admitted(&calls, second));
        let again = calls.handle_done(0, 1, 30, &mut Vec::new()).unwrap();
        assert_eq!(again, ReportedDone { calls: 0, bytes: 0 });
    }

    #[test]
    fn reports_that_cannot_be_are_refused() {
        let mut calls = calls();
        calls.count_oneway(0, 30);
        let mut done = |depth, count, bytes| calls.handle_done(depth, count, bytes, &mut Vec::new());
        assert!(done(u32::MAX, 0, 0).is_err(), "a depth that is not served");
        assert!(done(0, 2, 30).is_err(), "more calls than were sent");
        assert!(done(0, 1, 31).is_err(), "more bytes than were sent");
        assert!(done(0, 0, 0).is_ok());
    }

    #[test]
    fn a_completion_is_awaited_once() {
        let mut calls = calls();
        let key = begin(&mut calls, false);
        assert_eq!(calls.expect_completion(key.id()), None, "the call has not gone out");
        calls.slots.find_mut(key).unwrap().state = SlotState::Sent;
        assert_eq!(calls.expect_completion(key.id()), Some(key));
        let slot = calls.slots.find_mut(key).unwrap();
        slot.state = SlotState::Abandoned;
        assert_eq!(calls.expect_completion(key.id()), Some(key));
        calls.slots.find_mut(key).unwrap().completing = true;
        assert_eq!(calls.expect_completion(key.id()), None);
        assert!((0..MAX_STRAY_COMPLETIONS).all(|_| calls.count_stray(key.id()).is_ok()));
        assert!(calls.count_stray(key.id()).is_err());
    }
}
