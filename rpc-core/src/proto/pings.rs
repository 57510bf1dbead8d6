//! `PingBudget`: a token bucket that bounds how many pings and pongs a peer may send.

use std::time::{Duration, Instant};

/// The most tokens that the bucket holds.
pub(crate) const PING_BURST: u32 = 10;
/// The time in which the bucket earns a token.
const REFILL: Duration = Duration::from_secs(1);

/// Allows one ping a second on average, and ten at once. Every ping costs an answer, so pings must be bounded. One
/// budget serves for the protocol's own pings and for pings of the WebSocket beneath.
#[derive(Debug)]
pub(crate) struct PingBudget {
    tokens: u32,
    refilled: Instant,
}

impl PingBudget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: PING_BURST, refilled: now }
    }

    /// Takes a token for one ping. False if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.refilled).as_secs();
        if let Ok(earned) = u32::try_from(earned) {
            self.tokens = self.tokens.saturating_add(earned).min(PING_BURST);
            // The rest of a second is kept, or a steady peer slightly faster than the clock would never earn a token.
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
    fn one_ping_a_second_is_allowed_for_ever_and_two_are_not() {
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
