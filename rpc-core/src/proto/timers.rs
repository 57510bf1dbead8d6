//! The timers of a connection, as data.

use std::time::Instant;

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
    /// Chunked payloads that have begun must have grown.
    Assembly,
    /// Memory kept for payloads is forgotten if it was not used.
    Spares,
    /// A write must have made progress.
    Write,
    /// Chunks that wait for acks must have been acknowledged in part.
    Ack,
    /// Running calls are cancelled.
    DrainGrace,
    /// The session is closed whatever runs.
    Drain,
}

impl Timer {
    const ALL: [Self; 10] = [
        Self::Handshake,
        Self::Ping,
        Self::Silence,
        Self::Message,
        Self::Assembly,
        Self::Spares,
        Self::Write,
        Self::Ack,
        Self::DrainGrace,
        Self::Drain,
    ];
}

/// When each timer fires, if it is set.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    pub(crate) fn stop_all(&mut self) {
        self.0 = Default::default();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().find(|timer| self.0[*timer as usize].is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }
}
