//! `Schedule`: the times of a session, apart from the times of its link.

use std::time::Instant;

use crate::{
    proto::{deadlines::Deadlines, slots::CallKey, timers::SessionTimers},
    wire::CallId,
};

/// The session's timers, and the deadlines of its calls.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) timers: SessionTimers,
    pub(super) deadlines: Deadlines<DeadlineKey>,
}

/// What a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeadlineKey {
    /// A call made here.
    Call(CallKey),
    /// A nested call's wait for a permit.
    Wait(CallKey),
    /// The time in which something of the streams among the arguments of a call must move.
    Idle(CallKey),
    /// A call served here.
    Served(CallId),
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self { timers: SessionTimers::default(), deadlines: Deadlines::new() }
    }

    /// When the next timer or deadline is due; a deadline whose call is over may make this earlier than needed.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        [self.timers.next(), self.deadlines.next()].into_iter().flatten().min()
    }

    /// Clears all timers and deadlines.
    pub(super) fn clear(&mut self) {
        self.timers.stop_all();
        self.deadlines.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::timers::SessionTimer;

    #[test]
    fn the_earlier_of_a_timer_and_a_deadline_comes_next() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut schedule = Schedule::new();
        assert_eq!(schedule.next(), None);
        schedule.timers.set(SessionTimer::Drain, now + second);
        assert_eq!(schedule.next(), Some(now + second));
        schedule.deadlines.push(now, DeadlineKey::Served(1), |_, _| true);
        assert_eq!(schedule.next(), Some(now));
        schedule.clear();
        assert_eq!(schedule.next(), None);
    }
}
