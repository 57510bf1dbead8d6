//! `ServedCalls`: the calls that are served here, and what they take of the limits.

use std::{sync::Arc, task::Waker, time::Instant};

use crate::{
    error::{CallViolation, ProtocolError},
    proto::{Cancellation, ServedCall, ServedKey, chain::NewCall, permits::Permits},
    status::Status,
    wire::{CallId, Frame, PeerLimits, Streams, TransferId},
};

use super::{call_table::CallTable, done::DoneReports, state::RefusedOneway};

/// Calls beyond announced limits, after which the connection is closed.
const MAX_EXCESS_CALLS: u32 = 1000;
/// The memory of at most this many served calls is kept for others.
const MAX_RETIRED: usize = 64;

/// Every call that has been taken in and whose end has not gone out.
///
/// Each holds one permit of its kind and of the depth that its caller declared, and `argument_bytes` is the sum of what
/// the arguments of all of them count. The ends of one-way calls are reported by depth, refused calls included.
#[derive(Debug)]
pub(super) struct ServedCalls {
    calls: CallTable<Served>,
    oneway: CallTable<Served>,
    last_oneway: u64,
    /// Two-way calls that have been taken in.
    taken_in: u64,
    permits: Permits,
    oneway_permits: Permits,
    /// The bytes that count against `Config::max_arguments`.
    argument_bytes: u64,
    done: DoneReports,
    excess_calls: u32,
    oneway_refused: u64,
    last_refused: Option<RefusedOneway>,
    /// Kept for their memory.
    retired: Vec<Arc<ServedCall>>,
}

/// A call that is served here.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) call: Arc<ServedCall>,
    /// The depth that the caller declared, by which permits are counted.
    pub(super) declared_depth: u32,
    /// The bytes that the call's arguments count against `Config::max_arguments`.
    pub(super) argument_bytes: u64,
    /// The bytes that the call counts against `Config::session_memory`.
    pub(super) memory: usize,
    pub(super) state: ServedState,
    /// The streams among its arguments.
    pub(super) streams: Streams,
    /// The window of the streams of its result to begin with, in bytes, or 0.
    pub(super) window: u32,
    /// The session ends with its reply.
    pub(super) terminates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServedState {
    /// The arguments are arriving.
    Arriving(TransferId),
    Running,
    /// The caller has given the call up; the handler has yet to end.
    Cancelled,
    /// The deadline has passed; the handler has yet to end.
    Expired,
    /// The completion is on its way out.
    Completing,
}

/// What is left of a call when its end has gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// The bytes that the call counted against `Config::session_memory`.
    pub(super) memory: usize,
    /// The session ends with it.
    pub(super) terminates: bool,
}

impl ServedCalls {
    /// `limits` are what this side announces.
    pub(super) fn new(limits: &PeerLimits) -> Self {
        Self {
            calls: CallTable::default(),
            oneway: CallTable::default(),
            last_oneway: 0,
            taken_in: 0,
            permits: Permits::new(limits.calls, limits.nested, limits.depth),
            oneway_permits: Permits::new(limits.notifies, limits.nested, limits.depth),
            argument_bytes: 0,
            done: DoneReports::new(limits.depth),
            excess_calls: 0,
            oneway_refused: 0,
            last_refused: None,
            retired: Vec::new(),
        }
    }

    /// Cancels all calls, for which no caller waits any more, because the session is over.
    pub(super) fn end(&mut self, wakes: &mut Vec<Waker>) {
        for served in self.calls.drain().chain(self.oneway.drain()) {
            served.call.cancel(Cancellation::SessionEnd, wakes);
        }
        self.argument_bytes = 0;
        self.permits = Permits::new(0, 0, 0);
        self.oneway_permits = Permits::new(0, 0, 0);
    }

    #[inline]
    pub(super) fn contains(&self, id: CallId) -> bool {
        self.calls.get(id).is_some()
    }

    /// A two-way call.
    #[inline]
    pub(super) fn call(&self, id: CallId) -> Option<&Served> {
        self.calls.get(id)
    }

    /// As [`Self::call`], to be changed.
    #[inline]
    pub(super) fn call_mut(&mut self, id: CallId) -> Option<&mut Served> {
        self.calls.get_mut(id)
    }

    /// A call of either kind.
    #[inline]
    pub(super) fn get(&self, key: ServedKey) -> Option<&Served> {
        match key {
            ServedKey::Call(id) => self.calls.get(id),
            ServedKey::Oneway(number) => self.oneway.get(number),
        }
    }

    /// As [`Self::get`], to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, key: ServedKey) -> Option<&mut Served> {
        match key {
            ServedKey::Call(id) => self.calls.get_mut(id),
            ServedKey::Oneway(number) => self.oneway.get_mut(number),
        }
    }

    /// Two-way calls.
    #[inline]
    pub(super) fn two_way_len(&self) -> usize {
        self.calls.len()
    }

    /// One-way calls.
    #[inline]
    pub(super) fn oneway_len(&self) -> usize {
        self.oneway.len()
    }

    /// The number of calls of both kinds that have been taken in.
    pub(super) fn taken_in(&self) -> u64 {
        self.taken_in + self.last_oneway
    }

    /// How many places [`Self::deadlines`] looks at.
    pub(super) fn places(&self) -> usize {
        self.calls.places()
    }

    /// The deadlines of the calls that have not ended.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (CallId, Instant)> {
        let runs = |served: &Served| matches!(served.state, ServedState::Arriving(_) | ServedState::Running);
        let calls = self.calls.iter().filter(move |(_, served)| runs(served));
        calls.filter_map(|(id, served)| Some((id, served.call.deadline?)))
    }

    /// Whether a call is served here and its caller still waits for it.
    pub(super) fn is_live(&self, id: CallId) -> bool {
        self.calls.get(id).is_some_and(|served| served.state == ServedState::Running)
    }

    /// Whether no caller waits for anything that is served here. Handlers that must not be stopped have the grace of a
    /// drain, and run on without the session.
    pub(super) fn is_nothing_awaited(&self, grace_over: bool) -> bool {
        let given_up = |served: &Served| matches!(served.state, ServedState::Cancelled | ServedState::Expired);
        if grace_over {
            self.calls.iter().all(|(_, served)| given_up(served))
                && self.oneway.iter().all(|(_, served)| served.call.is_cancelled())
        } else {
            self.calls.len() == 0 && self.oneway.len() == 0
        }
    }

    /// All calls, and where they stand.
    pub(super) fn states(&self) -> Vec<(ServedKey, ServedState)> {
        let calls = self.calls.iter().map(|(id, served)| (ServedKey::Call(id), served.state));
        let oneway = self.oneway.iter().map(|(number, served)| (ServedKey::Oneway(number), served.state));
        calls.chain(oneway).collect()
    }

    /// Whether the arguments of one more call, of which this counts, fit the limit.
    #[inline]
    pub(super) fn has_room(&self, counted: u64, limit: u64) -> bool {
        counted == 0 || self.argument_bytes.saturating_add(counted) <= limit
    }

    /// Takes a permit for a call, if there is one.
    #[inline]
    pub(super) fn try_acquire(&mut self, oneway: bool, declared_depth: u32) -> bool {
        if oneway { self.oneway_permits.try_acquire(declared_depth) } else { self.permits.try_acquire(declared_depth) }
    }

    /// Counts a call that came although there was no permit for it, and gives the call's status. Too many such calls
    /// are a breach of the protocol.
    pub(super) fn count_excess(&mut self, oneway: bool, limit: u32) -> Result<Status, ProtocolError> {
        self.excess_calls += 1;
        if self.excess_calls > MAX_EXCESS_CALLS {
            return Err(CallViolation::TooMany { oneway, limit, refused: MAX_EXCESS_CALLS }.into());
        }
        let what = if oneway { "one-way calls" } else { "calls" };
        Ok(Status::resource_exhausted(format!("more {what} came than the announced limit of {limit}")).not_executed())
    }

    /// A number for a one-way call, which has none on the wire.
    #[inline]
    pub(super) fn next_oneway(&mut self) -> u64 {
        self.last_oneway += 1;
        self.last_oneway
    }

    /// Shares a call, in the memory of one that is over if there is such memory.
    #[inline]
    pub(super) fn share(&mut self, new: NewCall) -> Arc<ServedCall> {
        if let Some(mut place) = self.retired.pop() {
            if let Some(old) = Arc::get_mut(&mut place) {
                old.renew(new);
                return place;
            }
        }
        Arc::new(ServedCall::new(new))
    }

    /// Takes in a call for which a permit was taken.
    // Inlined, because `served` is large to move.
    #[inline(always)]
    pub(super) fn insert(&mut self, key: ServedKey, served: Served) {
        self.argument_bytes += served.argument_bytes;
        match key {
            ServedKey::Call(id) => {
                self.taken_in += 1;
                self.calls.insert(id, served);
            }
            ServedKey::Oneway(number) => self.oneway.insert(number, served),
        }
    }

    /// The end of a two-way call has gone out.
    #[inline]
    pub(super) fn finish_call(&mut self, id: CallId, wakes: &mut Vec<Waker>) -> Option<Finished> {
        let served = self.calls.remove(id)?;
        self.permits.release(served.declared_depth);
        Some(self.leave(served, wakes))
    }

    /// A one-way call is over, which its caller is told with all others of its depth.
    #[inline]
    pub(super) fn finish_oneway(&mut self, number: u64, wakes: &mut Vec<Waker>) -> Option<Finished> {
        let served = self.oneway.remove(number)?;
        self.oneway_permits.release(served.declared_depth);
        self.count_done(served.declared_depth, served.argument_bytes, served.call.missed.is_some());
        Some(self.leave(served, wakes))
    }

    #[inline]
    fn leave(&mut self, served: Served, wakes: &mut Vec<Waker>) -> Finished {
        let Served { mut call, argument_bytes, memory, terminates, .. } = served;
        self.argument_bytes -= argument_bytes;
        // Work that the handler has left behind may wait for the call's end.
        call.end(wakes);
        if self.retired.len() < MAX_RETIRED && call.retire() {
            self.retired.push(call);
        }
        Finished { memory, terminates }
    }

    /// Frees the memory that is kept for later calls.
    pub(super) fn trim(&mut self) {
        self.retired = Vec::new();
        self.calls.trim();
        self.oneway.trim();
    }

    /// Counts a one-way call that is over, or was refused.
    #[inline]
    pub(super) fn count_done(&mut self, depth: u32, bytes: u64, marked: bool) {
        self.done.count(depth, bytes, marked);
    }

    /// The next report of finished one-way calls, if the other side has not been told all.
    #[inline]
    pub(super) fn next_done(&mut self) -> Option<Frame> {
        self.done.next()
    }

    /// Whether there is such a report.
    #[inline]
    pub(super) fn owes_done(&self) -> bool {
        self.done.calls() > 0
    }

    /// Whether the report must go now, even if nothing else goes.
    #[inline]
    pub(super) fn is_done_due(&mut self, now: Instant) -> bool {
        // The caller counts the calls of which it has not been told, and may wait for their permits.
        self.done.is_due(now) || self.oneway_permits.is_half_used(self.done.calls())
    }

    /// When such a report must go at the latest.
    #[inline]
    pub(super) fn done_due(&self) -> Option<Instant> {
        self.done.due()
    }

    /// Notes a one-way call that is not run. Its caller is not told why.
    pub(super) fn refuse_oneway(&mut self, method: u32, status: Status) {
        self.oneway_refused += 1;
        self.last_refused = Some(RefusedOneway { method, status });
    }

    /// One-way calls that were not run, since the session began.
    pub(super) fn oneway_refused(&self) -> u64 {
        self.oneway_refused
    }

    pub(super) fn has_refused_oneway(&self) -> bool {
        self.last_refused.is_some()
    }

    /// The last one-way call that was not run, unless this has given it before.
    pub(super) fn take_refused_oneway(&mut self) -> Option<RefusedOneway> {
        self.last_refused.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, proto::negotiated::own_limits};

    fn calls() -> ServedCalls {
        ServedCalls::new(&own_limits(&Config::builder().max_calls(1).max_oneway_calls(1).build().unwrap()))
    }

    fn take_in(calls: &mut ServedCalls, key: ServedKey, argument_bytes: u64) {
        let id = if let ServedKey::Call(id) = key { Some(id) } else { None };
        let call = calls.share(NewCall { session: 1, id, method: 7, ..NewCall::default() });
        calls.insert(
            key,
            Served {
                call,
                declared_depth: 0,
                argument_bytes,
                memory: 100,
                state: ServedState::Running,
                streams: Streams::default(),
                window: 0,
                terminates: false,
            },
        );
    }

    #[test]
    fn a_call_holds_a_permit_and_its_arguments_until_its_end() {
        let (mut calls, key) = (calls(), ServedKey::Call(3));
        assert!(calls.try_acquire(false, 0) && !calls.try_acquire(false, 0));
        take_in(&mut calls, key, 40);
        assert!(calls.contains(3) && calls.is_live(3) && !calls.is_nothing_awaited(false));
        assert!(calls.has_room(60, 100) && !calls.has_room(61, 100) && calls.has_room(0, 0));
        let finished = calls.finish_call(3, &mut Vec::new());
        assert_eq!(finished, Some(Finished { memory: 100, terminates: false }));
        assert_eq!(calls.finish_call(3, &mut Vec::new()), None);
        assert!(calls.try_acquire(false, 0) && calls.has_room(100, 100) && calls.is_nothing_awaited(false));
        assert_eq!(calls.next_done(), None);
    }

    #[test]
    fn one_way_calls_are_reported_in_sum() {
        let mut calls = calls();
        assert!(calls.try_acquire(true, 0) && calls.try_acquire(false, 0), "each kind has its own permits");
        let number = calls.next_oneway();
        take_in(&mut calls, ServedKey::Oneway(number), 40);
        calls.count_done(0, 2, false);
        calls.finish_oneway(number, &mut Vec::new());
        calls.count_done(u32::MAX, 5, false);
        assert_eq!(calls.next_done(), Some(Frame::Done { depth: 0, count: 2, bytes: 42, marked: 0 }));
        assert_eq!(calls.next_done(), None);
        assert!(calls.try_acquire(true, 0));
    }

    #[test]
    fn after_the_grace_only_what_was_not_given_up_is_awaited() {
        let mut calls = calls();
        take_in(&mut calls, ServedKey::Call(1), 0);
        assert!(!calls.is_nothing_awaited(true));
        calls.call_mut(1).unwrap().state = ServedState::Cancelled;
        assert!(calls.is_nothing_awaited(true) && !calls.is_nothing_awaited(false));
    }

    #[test]
    fn a_peer_that_ignores_the_limits_is_refused_and_then_closed() {
        let mut calls = calls();
        assert!((0..MAX_EXCESS_CALLS).all(|_| calls.count_excess(false, 1).is_ok()));
        assert!(calls.count_excess(true, 1).is_err());
    }

    #[test]
    fn the_end_cancels_and_frees_all() {
        let mut calls = calls();
        take_in(&mut calls, ServedKey::Call(1), 10);
        let call = calls.call(1).unwrap().call.clone();
        calls.end(&mut Vec::new());
        assert!(call.is_cancelled() && calls.has_room(1, 1) && calls.states().is_empty());
    }
}
