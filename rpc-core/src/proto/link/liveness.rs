//! `Liveness`: whether the other side is still there, and the pings that ask for a sign of life.

use std::time::{Duration, Instant};

use crate::proto::pings::PingBudget;

/// Pings that may be under way without an answer; well below what the other side takes at once.
const MAX_UNANSWERED_PINGS: u64 = 5;

/// When the other side was last heard on this link, and the pings of both sides.
///
/// Pings of this side are numbered from 1, and `last_answered <= last_ping`. Any packet or frame of the other side
/// clears `asked`.
#[derive(Debug)]
pub(crate) struct Liveness {
    last_heard: Instant,
    /// What has been asked since `last_heard`, if anything was.
    asked: Option<Asked>,
    last_ping: u64,
    /// The last Ping of this side that has been answered.
    last_answered: u64,
    /// How many pings and unasked pongs the other side may send.
    budget: PingBudget,
    /// Control frames of the layer below that have been charged.
    controls: u64,
}

/// This side waits for a sign of life.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// When the first ping was due.
    first: Instant,
    /// The time by which the sign must come, if this machine has slept.
    wake_by: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last_heard: now, asked: None, last_ping: 0, last_answered: 0, budget: PingBudget::new(now), controls: 0 }
    }

    /// Something has come from the other side.
    #[inline]
    pub(crate) fn note_heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.asked = None;
    }

    /// When silence will have lasted for `interval`.
    pub(crate) fn silent_for(&self, interval: Duration) -> Instant {
        self.last_heard + interval
    }

    /// Asks for a sign of life. Gives the token of the Ping to send; `None` while several are unanswered already: more
    /// of them would tell nothing new, and could come in all at once after the link has stalled for a while.
    pub(crate) fn ask(&mut self, now: Instant) -> Option<u64> {
        self.asked.get_or_insert(Asked { first: now, wake_by: None });
        if self.last_ping - self.last_answered >= MAX_UNANSWERED_PINGS {
            return None;
        }
        self.last_ping += 1;
        Some(self.last_ping)
    }

    /// Whether the other side has been asked since it was last heard.
    pub(crate) fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// This machine has slept, and the other side, which has been asked, must be heard by this time.
    pub(crate) fn wake(&mut self, by: Instant) {
        if let Some(asked) = &mut self.asked {
            asked.wake_by = Some(asked.wake_by.map_or(by, |earlier| earlier.min(by)));
        }
    }

    /// The time by which the other side must be heard because this machine has slept.
    pub(crate) fn wake_by(&self) -> Option<Instant> {
        self.asked.and_then(|asked| asked.wake_by)
    }

    /// When a silent peer is given up: after `patience`, of which the second half is for its answer to a ping.
    pub(crate) fn give_up_at(&self, patience: Duration, now: Instant) -> Instant {
        self.silent_for(patience).max(self.asked.map_or(now, |asked| asked.first + patience / 2))
    }

    /// Whether a Pong answers a Ping of this side, which costs the other side nothing.
    pub(crate) fn note_pong(&mut self, token: u64) -> bool {
        let is_answer = self.last_answered < token && token <= self.last_ping;
        if is_answer {
            self.last_answered = token;
        }
        is_answer
    }

    /// Takes one ping or unasked pong of the other side from its budget; false if the budget is used up.
    pub(crate) fn charge_ping(&mut self, now: Instant) -> bool {
        self.budget.take(now)
    }

    /// Whether the layer below has taken in more control frames than have been charged.
    #[inline]
    pub(crate) fn has_new_controls(&self, seen: u64) -> bool {
        seen != self.controls
    }

    /// Charges the control frames that have come since this was last called; false if the budget does not cover them.
    pub(crate) fn charge_controls(&mut self, now: Instant, seen: u64) -> bool {
        let fresh = seen.saturating_sub(self.controls);
        self.controls = seen;
        (0..fresh).all(|_| self.budget.take(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::pings::PING_BURST;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn few_pings_are_under_way_at_a_time() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        let mut ask = || liveness.ask(now);
        let asked: Vec<_> = (0..7).map(|_| ask()).collect();
        assert_eq!(asked, [Some(1), Some(2), Some(3), Some(4), Some(5), None, None]);
        assert!(liveness.note_pong(2));
        assert_eq!([liveness.ask(now), liveness.ask(now), liveness.ask(now)], [Some(6), Some(7), None]);
    }

    #[test]
    fn a_pong_answers_a_ping_once() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        assert!(!liveness.note_pong(1), "no ping was sent");
        liveness.ask(now);
        liveness.ask(now);
        assert!(liveness.note_pong(2));
        assert!(!liveness.note_pong(2) && !liveness.note_pong(1) && !liveness.note_pong(3));
    }

    #[test]
    fn a_peer_that_was_asked_late_has_half_the_patience_to_answer() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.give_up_at(PATIENCE, start), start + PATIENCE);
        liveness.ask(start + PATIENCE);
        liveness.ask(start + PATIENCE + Duration::from_secs(1));
        assert_eq!(liveness.give_up_at(PATIENCE, start + PATIENCE), start + PATIENCE / 2 * 3, "the first ask counts");
        liveness.note_heard(start + PATIENCE);
        assert!(!liveness.has_asked());
        assert_eq!(liveness.give_up_at(PATIENCE, start), start + PATIENCE * 2);
    }

    #[test]
    fn control_frames_are_charged_once_each() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        let burst = u64::from(PING_BURST);
        assert!(liveness.charge_controls(now, burst - 1));
        assert!(!liveness.has_new_controls(burst - 1));
        assert!(liveness.charge_controls(now, burst - 1), "none are new");
        assert!(liveness.charge_ping(now));
        assert!(!liveness.charge_controls(now, burst));
    }
}
