//! The timers of a connection, as data.

use std::time::{Duration, Instant};

/// How long an end that finds its peer late waits before it looks again. It may have been stopped or blocked itself,
/// and what came meanwhile lies in its socket: in this time the runtime hears of that, and the driver reads it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Timer {
    /// Hello or Welcome must have come.
    Handshake,
    /// Send a ping if nothing was heard.
    Ping,
    /// Give the peer up if nothing was heard.
    Silence,
    /// A message that has begun must have grown.
    Message,
    /// The payloads that are arriving in chunks must have grown, taken together.
    Assembly,
    /// Memory kept for payloads is forgotten if it was not used.
    BufferPool,
    /// A write must have made progress.
    Write,
    /// Of what waits to be written, enough must have been taken.
    Backlog,
    /// Of the chunks and items that are under way, enough must have been acknowledged.
    Ack,
    /// Running calls are cancelled.
    DrainGrace,
    /// The session is closed whatever runs.
    Drain,
}

impl Timer {
    const ALL: [Self; 11] = [
        Self::Handshake,
        Self::Ping,
        Self::Silence,
        Self::Message,
        Self::Assembly,
        Self::BufferPool,
        Self::Write,
        Self::Backlog,
        Self::Ack,
        Self::DrainGrace,
        Self::Drain,
    ];
}

/// When each timer fires, if it is set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: [Option<Instant>; Timer::ALL.len()],
    /// Whether it is the second look that the timer is set for.
    again: [bool; Timer::ALL.len()],
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.at[timer as usize] = Some(at);
        self.again[timer as usize] = false;
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
        self.again[timer as usize] = false;
    }

    /// The timer has fired and the peer is late. True if that is no verdict yet: the timer will fire once more, after a
    /// moment.
    pub(crate) fn look_again(&mut self, timer: Timer, now: Instant) -> bool {
        let first = !self.again[timer as usize];
        if first {
            self.set(timer, now + LOOK_AGAIN);
            self.again[timer as usize] = true;
        }
        first
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }

    /// Takes one timer that is due. Whether this is its second look stays known until it is set anew or stopped.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().find(|timer| self.at[*timer as usize].is_some_and(|at| at <= now))?;
        self.at[timer as usize] = None;
        Some(timer)
    }
}
