//! `Schedule`: the times of a session, apart from the times of its link.

use std::{
    mem,
    sync::LazyLock,
    time::{Duration, Instant},
};

use crate::proto::{
    deadlines::Deadlines,
    rare::{Rare, Rarely},
    slots::CallKey,
    timers::{SessionTimer, SessionTimers, earlier},
};

/// The session's timers, and the deadlines of its calls.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) timers: SessionTimers,
    pub(super) deadlines: Rare<Deadlines<DeadlineKey>>,
    /// When calls are looked at whose deadlines may have passed; `None` if no call has a deadline.
    pub(super) calls_due: Option<Instant>,
    /// Calls are not looked at before this time, because there are many, and they were looked at a short while ago.
    calls_rest: Option<Instant>,
    /// There is no link.
    is_paused: bool,
    /// While there is no link: the timers that stand still, if one of them was set.
    paused: Option<Box<Paused>>,
}

/// What was left of each of [`STANDING`], if it was set, and whether it was for the second look.
type Paused = [Option<(Duration, bool)>; STANDING.len()];

/// Timers that stand still while there is no link: were they to begin anew with each link, a peer who cuts every link
/// in time would never be judged.
const STANDING: [SessionTimer; 2] = [SessionTimer::Assembly, SessionTimer::Ack];

/// What a deadline belongs to, apart from the deadlines of calls, which are found in the calls' own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeadlineKey {
    /// A nested call's wait for a permit.
    Wait(CallKey),
    /// The time in which something of the streams among the arguments of a call must move.
    Idle(CallKey),
}

impl Rarely for Deadlines<DeadlineKey> {
    type Terms = ();

    fn none() -> &'static Self {
        static NONE: LazyLock<Deadlines<DeadlineKey>> = LazyLock::new(Deadlines::new);
        &NONE
    }

    fn begin((): &()) -> Self {
        Self::new()
    }

    fn can_go(&self, (): &mut ()) -> bool {
        self.len() == 0
    }
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self {
            timers: SessionTimers::default(),
            deadlines: Rare::default(),
            calls_due: None,
            calls_rest: None,
            is_paused: false,
            paused: None,
        }
    }

    /// The link is lost: what the other side is given time for stands still. The deadlines of calls do not.
    pub(super) fn pause(&mut self, now: Instant) {
        let left = |timer| {
            let (at, again) = self.timers.take(timer)?;
            Some((at.saturating_duration_since(now), again))
        };
        let left = STANDING.map(left);
        self.paused = left.iter().any(Option::is_some).then(|| Box::new(left));
        self.is_paused = true;
    }

    /// There is a link again: what has stood still `since` then goes on.
    pub(super) fn go_on(&mut self, now: Instant, since: Instant) {
        if !mem::take(&mut self.is_paused) {
            return;
        }
        for (timer, left) in STANDING.into_iter().zip(self.paused.take().map(|left| *left).unwrap_or_default()) {
            if let Some((left, again)) = left {
                self.timers.restore(timer, now + left, again);
            }
        }
        if let Some(deadlines) = self.deadlines.get_mut() {
            deadlines.put_off(now.saturating_duration_since(since));
        }
    }

    /// The next deadline that is due, apart from the deadlines of calls.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, DeadlineKey)> {
        if self.is_paused { None } else { self.deadlines.get_mut()?.pop_due(now) }
    }

    /// When the next timer or deadline is due; a deadline whose call is over may make this earlier than needed.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        let deadline = if self.is_paused { None } else { self.deadlines.get().and_then(Deadlines::next) };
        earlier(earlier(self.timers.next(), deadline), self.calls_due)
    }

    /// Notes the deadline of a call. Most calls have the same timeout, so that most deadlines are later than the ones
    /// before.
    #[inline]
    pub(super) fn note_deadline(&mut self, at: Instant) {
        if self.calls_due.is_none_or(|due| at < due) {
            self.calls_due = Some(at).max(self.calls_rest);
        }
    }

    /// The calls have been looked at: the next deadline is `next`, and they rest until `rest`.
    pub(super) fn set_calls_due(&mut self, next: Option<Instant>, rest: Instant) {
        self.calls_rest = Some(rest);
        self.calls_due = next.map(|next| next.max(rest));
    }

    /// Clears all timers and deadlines.
    pub(super) fn clear(&mut self) {
        self.timers.stop_all();
        self.deadlines = Rare::default();
        (self.calls_due, self.calls_rest) = (None, None);
        (self.is_paused, self.paused) = (false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_of_a_timer_and_a_deadline_comes_next() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut schedule = Schedule::new();
        assert_eq!(schedule.next(), None);
        schedule.timers.set(SessionTimer::Drain, now + second);
        assert_eq!(schedule.next(), Some(now + second));
        schedule.deadlines.push(now, DeadlineKey::Wait(CallKey::from_id(1)), |_, _| true);
        assert_eq!(schedule.next(), Some(now));
        schedule.note_deadline(now + second);
        schedule.note_deadline(now - second);
        schedule.note_deadline(now);
        assert_eq!(schedule.next(), Some(now - second));
        schedule.pause(now);
        schedule.clear();
        assert_eq!(schedule.next(), None);
        schedule.deadlines.push(now, DeadlineKey::Wait(CallKey::from_id(1)), |_, _| true);
        assert_eq!(schedule.next(), Some(now), "nothing stands still any more");
    }

    #[test]
    fn without_a_link_some_times_stand_still_and_others_run() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut schedule = Schedule::new();
        schedule.timers.set(SessionTimer::Ack, now + 3 * second);
        schedule.timers.set(SessionTimer::Drain, now + 20 * second);
        schedule.deadlines.push(now + 2 * second, DeadlineKey::Wait(CallKey::from_id(1)), |_, _| true);
        schedule.pause(now + second);
        assert_eq!(schedule.next(), Some(now + 20 * second));
        assert_eq!(schedule.pop_due(now + 10 * second), None);
        schedule.go_on(now + 11 * second, now + second);
        assert_eq!(schedule.next(), Some(now + 12 * second));
        assert!(schedule.pop_due(now + 12 * second).is_some());
        assert_eq!(schedule.next(), Some(now + 13 * second));
    }

    #[test]
    fn calls_rest_whatever_deadlines_come_meanwhile() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut schedule = Schedule::new();
        schedule.set_calls_due(Some(now), now + second);
        assert_eq!(schedule.next(), Some(now + second));
        schedule.note_deadline(now);
        assert_eq!(schedule.next(), Some(now + second));
        schedule.set_calls_due(None, now + 2 * second);
        assert_eq!(schedule.next(), None);
        schedule.note_deadline(now + 3 * second);
        assert_eq!(schedule.next(), Some(now + 3 * second));
        schedule.note_deadline(now);
        assert_eq!(schedule.next(), Some(now + 2 * second));
    }
}
