//! `PingBudget`: how many pings and pongs a peer may send, as a token bucket.

use std::time::{Duration, Instant};

/// How many pings may come at once.
pub(crate) const PING_BURST: u32 = 10;
/// After this time one more ping may come.
const REFILL: Duration = Duration::from_secs(1);

/// One a second on average, and ten at once. Every ping costs an answer, so they cannot be free. The protocol's own
/// pings and those of the WebSocket beneath share one budget.
#[derive(Debug)]
pub(crate) struct PingBudget {
    tokens: u32,
    refilled: Instant,
}

impl PingBudget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: PING_BURST, refilled: now }
    }

    /// Whether one more is allowed now; takes it if so.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.refilled).as_secs();
        if let Ok(earned) = u32::try_from(earned) {
            self.tokens = self.tokens.saturating_add(earned).min(PING_BURST);
            // The rest of a second is kept: otherwise a steady peer that is slightly faster than the clock would never
            // earn a ping.
            self.refilled += REFILL * earned;
        } else {
            self.tokens = PING_BURST;
            self.refilled = now;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_the_next_one_is_not() {
        let now = Instant::now();
        let mut budget = PingBudget::new(now);
        for _ in 0..PING_BURST {
            assert!(budget.take(now));
        }
        assert!(!budget.take(now));
    }

    #[test]
    fn one_a_second_goes_on_for_ever_and_two_a_second_do_not() {
        let start = Instant::now();
        let mut budget = PingBudget::new(start);
        assert!((0..10_000).all(|second| budget.take(start + REFILL * second)));
        let mut budget = PingBudget::new(start);
        assert!(!(0..100).all(|half| budget.take(start + REFILL / 2 * half)));
    }

    #[test]
    fn silence_earns_no_more_than_the_burst() {
        let start = Instant::now();
        let mut budget = PingBudget::new(start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| budget.take(later)).count(), PING_BURST as usize);
    }
}
