//! The timers of a link and of a session, as data.

use std::{
    marker::PhantomData,
    time::{Duration, Instant},
};

/// How long an end that finds its peer late waits before it looks again. The end may have been stopped or blocked
/// itself, and what came meanwhile lies in its socket: in this time the runtime learns of the input, and the driver
/// reads it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The earlier of two times, as far as there are times.
#[inline]
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The timers of one owner, in the order in which they fire when several are due.
pub(crate) trait TimerKind: Copy + 'static {
    const ALL: &'static [Self];

    fn index(self) -> usize;
}

/// What a timer of one link is for: it judges the transport and the peer at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum LinkTimer {
    /// Hello or Welcome must have come.
    Handshake,
    /// Send a ping if nothing was heard.
    Ping,
    /// Give the peer up if nothing was heard.
    Silence,
    /// A message that has begun must have grown.
    Message,
    /// A write must have made progress.
    Write,
    /// The other side must have taken enough of what waits to be written.
    Backlog,
}

/// What a timer of the session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum SessionTimer {
    /// The payloads that are arriving in chunks must have grown, taken together.
    Assembly,
    /// Memory kept for payloads is freed if it was not used.
    BufferPool,
    /// Tables that have grown shrink again, and memory kept for later calls is freed.
    Trim,
    /// The other side must have acknowledged enough of the chunks and items that are under way.
    Ack,
    /// Running calls are cancelled.
    DrainGrace,
    /// The session is closed, even if calls still run.
    Drain,
    /// The identity of the other side has expired.
    Expiry,
    /// Calls that hold up other sessions do not wait for the next link.
    DetachedTurn,
    /// A session without a link is given up.
    Detached,
    /// The last words of the session are given up.
    Linger,
}

impl TimerKind for LinkTimer {
    const ALL: &'static [Self] =
        &[Self::Handshake, Self::Ping, Self::Silence, Self::Message, Self::Write, Self::Backlog];

    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl TimerKind for SessionTimer {
    const ALL: &'static [Self] = &[
        Self::Assembly,
        Self::BufferPool,
        Self::Trim,
        Self::Ack,
        Self::DrainGrace,
        Self::Drain,
        Self::Expiry,
        Self::DetachedTurn,
        Self::Detached,
        Self::Linger,
    ];

    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

/// The timers of a link.
pub(crate) type LinkTimers = Timers<LinkTimer, { LinkTimer::ALL.len() }>;
/// The timers of a session.
pub(crate) type SessionTimers = Timers<SessionTimer, { SessionTimer::ALL.len() }>;

/// When each of `N` timers fires, if it is set.
#[derive(Debug)]
pub(crate) struct Timers<K, const N: usize> {
    at: [Option<Instant>; N],
    /// The earliest of these, because it is asked for more often than they change.
    earliest: Option<Instant>,
    /// Whether the timer is set for the second look.
    again: [bool; N],
    kind: PhantomData<K>,
}

impl<K: TimerKind, const N: usize> Timers<K, N> {
    pub(crate) fn set(&mut self, timer: K, at: Instant) {
        self.again[timer.index()] = false;
        self.put(timer, Some(at));
    }

    #[inline]
    pub(crate) fn stop(&mut self, timer: K) {
        self.again[timer.index()] = false;
        if self.is_set(timer) {
            self.put(timer, None);
        }
    }

    fn put(&mut self, timer: K, at: Option<Instant>) {
        self.at[timer.index()] = at;
        self.earliest = self.at.iter().flatten().min().copied();
    }

    /// The timer has fired and the peer is late. True if that is no verdict yet: the timer will fire once more, after a
    /// moment.
    pub(crate) fn look_again(&mut self, timer: K, now: Instant) -> bool {
        let first = !self.again[timer.index()];
        if first {
            self.set(timer, now + LOOK_AGAIN);
            self.again[timer.index()] = true;
        }
        first
    }

    /// Stops a timer. Gives the time for which it was set, and whether for the second look.
    pub(crate) fn take(&mut self, timer: K) -> Option<(Instant, bool)> {
        let taken = self.at[timer.index()].map(|at| (at, self.again[timer.index()]));
        self.stop(timer);
        taken
    }

    /// Sets a timer that was taken, for another time.
    pub(crate) fn restore(&mut self, timer: K, at: Instant, again: bool) {
        self.set(timer, at);
        self.again[timer.index()] = again;
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: K) -> bool {
        self.at(timer).is_some()
    }

    /// When a timer fires, if it is set.
    #[inline]
    pub(crate) fn at(&self, timer: K) -> Option<Instant> {
        self.at[timer.index()]
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes one timer that is due. The timer keeps whether this is its second look until it is set anew or stopped.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.earliest.is_none_or(|at| at > now) { None } else { self.take_due(now) }
    }

    #[cold]
    fn take_due(&mut self, now: Instant) -> Option<K> {
        let is_due = |timer: &K| self.at[timer.index()].is_some_and(|at| at <= now);
        let timer = K::ALL.iter().copied().find(is_due)?;
        self.put(timer, None);
        Some(timer)
    }
}

impl<K, const N: usize> Default for Timers<K, N> {
    fn default() -> Self {
        Self { at: [None; N], earliest: None, again: [false; N], kind: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_a_place_of_its_own() {
        fn places<K: TimerKind>() -> Vec<usize> {
            K::ALL.iter().map(|timer| timer.index()).collect()
        }
        assert_eq!(places::<LinkTimer>(), (0..places::<LinkTimer>().len()).collect::<Vec<_>>());
        assert_eq!(places::<SessionTimer>(), (0..places::<SessionTimer>().len()).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_is_due_fires_and_only_once() {
        let now = Instant::now();
        let mut timers = LinkTimers::default();
        timers.set(LinkTimer::Write, now);
        timers.set(LinkTimer::Ping, now + LOOK_AGAIN);
        assert_eq!(timers.next(), Some(now));
        assert_eq!((timers.pop_due(now), timers.pop_due(now)), (Some(LinkTimer::Write), None));
        assert!(timers.is_set(LinkTimer::Ping) && !timers.is_set(LinkTimer::Write));
    }

    #[test]
    fn the_next_timer_is_the_earliest_that_is_set() {
        let (now, mut timers) = (Instant::now(), LinkTimers::default());
        let after = |steps: u32| now + steps * LOOK_AGAIN;
        timers.set(LinkTimer::Ping, after(3));
        timers.set(LinkTimer::Silence, after(2));
        timers.set(LinkTimer::Write, after(2));
        assert_eq!(timers.next(), Some(after(2)));
        timers.set(LinkTimer::Silence, after(5));
        assert_eq!(timers.next(), Some(after(2)));
        timers.stop(LinkTimer::Write);
        assert_eq!(timers.next(), Some(after(3)));
        assert_eq!(timers.pop_due(after(3)), Some(LinkTimer::Ping));
        assert_eq!(timers.next(), Some(after(5)));
        timers.stop_all();
        assert_eq!((timers.next(), timers.pop_due(after(9))), (None, None));
    }

    #[test]
    fn a_late_peer_gets_one_second_look_each_time_the_timer_is_set() {
        let now = Instant::now();
        let mut timers = SessionTimers::default();
        timers.set(SessionTimer::Ack, now);
        for _ in 0..2 {
            assert_eq!(timers.pop_due(now), Some(SessionTimer::Ack));
            assert!(timers.look_again(SessionTimer::Ack, now));
            assert_eq!(timers.pop_due(now + LOOK_AGAIN), Some(SessionTimer::Ack));
            assert!(!timers.look_again(SessionTimer::Ack, now));
            timers.set(SessionTimer::Ack, now);
        }
    }
}
