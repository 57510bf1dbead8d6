//! `LogLimit`: keeps repeated log lines from flooding a log.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The largest number of lines of one kind that are written in one [`LOG_PERIOD`].
pub const LOG_LINES: u32 = 5;
/// The length of a period. A period begins with its first line; the first line after its end begins the next period.
pub const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Admits [`LOG_LINES`] log lines of one kind in each [`LOG_PERIOD`], and counts the others. The first line of the next
/// period says how many lines were left out. Use a limit for each kind of line that a peer can cause as often as it
/// likes.
///
/// ```
/// use std::time::Instant;
///
/// use rpc_core::logging::LogLimit;
///
/// static REFUSED: LogLimit = LogLimit::new();
///
/// if let Some(more) = REFUSED.admit(Instant::now()) {
///     eprintln!("a visitor was turned away{more}");
/// }
/// ```
#[derive(Debug)]
pub struct LogLimit {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the period began; `None` before the first line.
    began: Option<Instant>,
    written: u32,
    suppressed: u64,
}

/// What a line says of the lines that were left out before it. Put this at the end of the message; it is empty if no
/// line was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    suppressed: u64,
    last: bool,
}

impl LogLimit {
    /// A limit that has admitted no line yet.
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { began: None, written: 0, suppressed: 0 }) }
    }

    /// Counts a line, and admits it if it may be written now. `None` means that the line must not be written.
    pub fn admit(&self, now: Instant) -> Option<More> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let within = state.began.is_some_and(|began| now.saturating_duration_since(began) < LOG_PERIOD);
        let mut suppressed = 0;
        if !within {
            suppressed = state.suppressed;
            *state = State { began: Some(now), written: 0, suppressed: 0 };
        }
        if state.written == LOG_LINES {
            state.suppressed += 1;
            return None;
        }
        state.written += 1;
        Some(More { suppressed, last: state.written == LOG_LINES })
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl More {
    /// The number of lines of this kind that were left out since the last line that was written.
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suppressed > 0 {
            write!(f, " ({} more like this were suppressed)", self.suppressed)?;
        }
        if self.last {
            write!(f, " (more like this are counted and not written until a minute after the first has passed)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limit: &LogLimit, now: Instant, lines: usize) -> Vec<More> {
        (0..lines).filter_map(|_| limit.admit(now)).collect()
    }

    #[test]
    fn the_first_lines_of_a_period_are_written_and_the_others_summed_up_in_the_next() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let first = written(&limit, start, 1000);
        assert_eq!(first.len(), LOG_LINES as usize);
        assert!(first.iter().all(|more| more.suppressed() == 0));
        assert_eq!(first[0].to_string(), "");
        assert!(first.last().unwrap().to_string().contains("counted and not written"));
        let almost = start + LOG_PERIOD - Duration::from_millis(1);
        assert_eq!(written(&limit, almost, 10), []);
        let next = written(&limit, start + LOG_PERIOD, 1000);
        assert_eq!(next.len(), LOG_LINES as usize);
        assert_eq!(next[0].to_string(), format!(" ({} more like this were suppressed)", 1000 + 10 - LOG_LINES));
        assert_eq!(next[1].to_string(), "");
    }

    #[test]
    fn rare_lines_are_all_written_and_say_nothing_of_others() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        for minute in 0..100 {
            let more = limit.admit(start + LOG_PERIOD * minute).expect("it is written");
            assert_eq!(more.to_string(), "");
        }
    }

    #[test]
    fn a_flood_of_hours_writes_five_lines_a_minute() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let lines =
            (0..2 * 3600 * 10).filter(|tenth| limit.admit(start + Duration::from_millis(100) * *tenth).is_some());
        assert_eq!(lines.count(), 2 * 60 * LOG_LINES as usize);
    }
}
