//! The waits between attempts.

use std::time::Duration;

const LEAST: Duration = Duration::from_millis(1);

/// The wait before the `attempt`th further attempt, counted from 1: a `part`, from 0 to 1, of a longest wait, which is
/// `initial` at first, doubles each time, and ends at `max`. Both count as 1 ms at least, so that attempts that fail at
/// once do not follow each other without a pause. With a random part, those who have failed together do not
/// come back together.
pub fn backoff(initial: Duration, max: Duration, attempt: u32, part: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    initial.max(LEAST).saturating_mul(doubled).min(max.max(LEAST)).mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let longest = |attempt| backoff(second, 10 * second, attempt, 1.0);
        assert_eq!([1, 2, 3, 4, 5, 40, u32::MAX].map(longest), [1, 2, 4, 8, 10, 10, 10].map(|n| n * second));
        assert_eq!(backoff(second, 10 * second, 3, 0.5), 2 * second);
        assert_eq!(backoff(second, 10 * second, 9, 0.0), Duration::ZERO);
        assert_eq!(backoff(Duration::ZERO, Duration::ZERO, 9, 1.0), LEAST);
        assert!(backoff(Duration::MAX, Duration::MAX, 3, 0.999) > second);
    }
}
