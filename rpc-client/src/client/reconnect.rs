//! `Reconnect`: whether, and at what pace, a client connects again.

use std::{fmt, sync::Arc, time::Duration};

use rpc_core::__client::backoff;

use crate::error::ConnectError;

/// Whether the server is asked for a session again after this failure.
type RetryIf = Arc<dyn Fn(&ConnectError) -> bool + Send + Sync>;

/// Whether, and at what pace, a client gives its session another link, and makes a new session when the old one is
/// over. [`ConnectBuilder::reconnect`](crate::ConnectBuilder::reconnect) takes it.
///
/// A wait is a random part of a longest wait, so that the clients of a server that was restarted do not come back at
/// the same moment. The longest wait is `initial_delay` at first, and doubles with each attempt that fails, up to
/// `max_delay`.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_client::{Reconnect, connect};
///
/// # async fn example() -> Result<(), rpc_client::ConnectError> {
/// let reconnect = Reconnect::default().max_delay(Duration::from_secs(5)).max_elapsed(Duration::from_secs(600));
/// let client = connect("ws://127.0.0.1:9000/").reconnect(reconnect).await?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Reconnect {
    never: bool,
    initial_delay: Duration,
    max_delay: Duration,
    max_attempts: Option<u32>,
    max_elapsed: Option<Duration>,
    min_uptime: Duration,
    retry_initial: bool,
    retry_if: Option<RetryIf>,
}

impl Default for Reconnect {
    /// For ever: at first within 0.5 s, later within 30 s.
    fn default() -> Self {
        Self {
            never: false,
            initial_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            max_attempts: None,
            max_elapsed: None,
            min_uptime: Duration::from_secs(5),
            retry_initial: false,
            retry_if: None,
        }
    }
}

impl Reconnect {
    /// The client has one session, and is closed when that is over.
    pub fn never() -> Self {
        Self { never: true, ..Self::default() }
    }

    /// The longest wait before the first attempt; 0.5 s unless set, at least 1 ms.
    #[must_use]
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = delay;
        self
    }

    /// The longest wait before any attempt; 30 s unless set, at least 1 ms.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// The number of attempts in a row after which the client gives up and is closed; no limit unless set. A link over
    /// which the session goes on ends the row, and so does a new session that lasts for [`Self::min_uptime`]. With 0
    /// there is no attempt at all.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// The time since the loss of the session after which the client begins no further attempt and is closed; no limit
    /// unless set.
    #[must_use]
    pub fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.max_elapsed = Some(elapsed);
        self
    }

    /// An attempt whose session ends within this time counts as one that has failed; 5 s unless set. The time begins
    /// when the session takes calls. The waits go on growing then, and also if a link is lost within this time.
    #[must_use]
    pub fn min_uptime(mut self, uptime: Duration) -> Self {
        self.min_uptime = uptime;
        self
    }

    /// Whether the first session is also asked for again and again. Without this, `connect` returns the first error.
    /// With it, `connect` returns an error that is not [retryable](ConnectError::is_retryable), and the last error when
    /// the attempts are given up. [`Self::retry_if`] decides in place of that rule.
    #[must_use]
    pub fn retry_initial(mut self, retry: bool) -> Self {
        self.retry_initial = retry;
        self
    }

    /// Decides which failures are followed by another attempt, in place of the rule that the guide's page on
    /// [reconnecting](rpc_core::guide::reconnecting) gives. It is not asked about the end of a session that was open.
    #[must_use]
    pub fn retry_if(mut self, retry: impl Fn(&ConnectError) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Some(Arc::new(retry));
        self
    }

    pub(crate) fn is_never(&self) -> bool {
        self.never
    }

    /// Whether a first attempt that failed like this is followed by another one.
    pub(super) fn retries_first(&self, error: &ConnectError) -> bool {
        let retries = || self.retry_if.as_ref().map_or_else(|| error.is_retryable(), |retry_if| retry_if(error));
        self.retry_initial && !self.never && retries()
    }

    /// Whether an attempt that failed like this is followed by another one, when there has been a session.
    pub(super) fn retries(&self, error: &ConnectError) -> bool {
        self.retry_if.as_ref().map_or_else(|| error.is_retryable_after_session(), |retry_if| retry_if(error))
    }

    /// Whether the `attempt`th attempt in a row, counted from 1, may begin when the session has been gone for
    /// `elapsed`.
    pub(super) fn allows(&self, attempt: u32, elapsed: Duration) -> bool {
        self.max_attempts.is_none_or(|most| attempt <= most) && self.max_elapsed.is_none_or(|most| elapsed < most)
    }

    /// The part of a wait that is left before the client is closed, when the session has been gone for `elapsed`.
    pub(super) fn within(&self, delay: Duration, elapsed: Duration) -> Duration {
        self.max_elapsed.map_or(delay, |most| delay.min(most.saturating_sub(elapsed)))
    }

    /// Whether a session that lasted this long was a success.
    pub(super) fn is_success(&self, uptime: Duration) -> bool {
        uptime >= self.min_uptime
    }

    /// The wait before the `attempt`th attempt in a row, counted from 1.
    pub(super) fn delay(&self, attempt: u32) -> Duration {
        backoff(self.initial_delay, self.max_delay, attempt, rand::random())
    }
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.never {
            return f.write_str("Reconnect::never()");
        }
        f.debug_struct("Reconnect")
            .field("initial_delay", &self.initial_delay)
            .field("max_delay", &self.max_delay)
            .field("max_attempts", &self.max_attempts)
            .field("max_elapsed", &self.max_elapsed)
            .field("min_uptime", &self.min_uptime)
            .field("retry_initial", &self.retry_initial)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn attempts_and_time_have_limits() {
        let reconnect = Reconnect::default().max_attempts(2).max_elapsed(SECOND);
        assert!(reconnect.allows(2, SECOND / 2) && !reconnect.allows(3, SECOND / 2) && !reconnect.allows(1, SECOND));
        assert!(Reconnect::default().allows(u32::MAX, Duration::MAX));
        assert!(!Reconnect::default().max_attempts(0).allows(1, Duration::ZERO));
    }
}
