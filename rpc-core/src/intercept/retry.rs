//! `Retry`: makes calls again that have failed.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use tokio::time::sleep;
use tower::retry::budget::{Budget, TpsBudget};

use super::{CallInfo, Direction, Interceptor, Next, Reply};
use crate::{backoff::backoff, status::Status};

/// How long a call counts for the budget.
const BUDGET_TIME: Duration = Duration::from_secs(10);
/// Retries in a second that the budget always has, for programs that make few calls.
const LEAST_PER_SECOND: u32 = 10;

/// Makes a call of this side again if its status is [retryable](Status::is_retryable): the call did not run or is
/// `idempotent`, and the failure may pass. A call whose argument streams have begun is not made again.
///
/// Before each retry there is a wait: a random part of a longest wait, which is 50 ms at first, doubles each time and
/// ends at 2 s. The deadline of the call stays as it is: if a wait would pass it, the caller gets the status at once.
/// Dropping the call ends its retries.
///
/// All calls through one `Retry` share a budget: within ten seconds there are at most a hundred retries, and one for
/// each five calls besides. So a server that is in trouble does not get a multiple of its load.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use rpc_core::{Hosting, Status, intercept::Retry, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Weather {
///     #[rpc(idempotent)]
///     async fn forecast(&self, town: &str) -> Result<String, Status>;
/// }
///
/// /// Fails at first.
/// struct Station(AtomicU32);
///
/// impl Weather for Station {
///     async fn forecast(&self, town: &str) -> Result<String, Status> {
///         if self.0.fetch_add(1, Ordering::SeqCst) < 2 {
///             return Err(Status::unavailable("the balloon is not up yet"));
///         }
///         Ok(format!("sunny in {town}"))
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Station(AtomicU32::new(0)).serve()).build()?;
/// let client = Hosting::builder().interceptor(Retry::new(4)).build()?;
/// # let (_server, session) = connect_in_memory(&server, &client);
/// # let weather: WeatherClient = session.client();
/// assert_eq!(weather.forecast("Rome").await?, "sunny in Rome");
/// # Ok(())
/// # }
/// ```
pub struct Retry {
    attempts: u32,
    initial_delay: Duration,
    max_delay: Duration,
    budget: TpsBudget,
}

impl Retry {
    /// Makes a call at most `attempts` times in all. With 0 or 1 a call is made once.
    pub fn new(attempts: u32) -> Self {
        let (initial_delay, max_delay) = (Duration::from_millis(50), Duration::from_secs(2));
        Self { attempts, initial_delay, max_delay, budget: TpsBudget::new(BUDGET_TIME, LEAST_PER_SECOND, 0.2) }
    }

    /// The longest wait before the first retry, and before any; 50 ms and 2 s unless set.
    #[must_use]
    pub fn delays(mut self, initial: Duration, max: Duration) -> Self {
        (self.initial_delay, self.max_delay) = (initial, max);
        self
    }

    /// The budget of retries, in place of ten a second and a fifth of the calls: `least_per_second` on average over ten
    /// seconds, and a `part` of the calls of these ten seconds besides. A part below 1 is rounded up to 1, 1/2, 1/3 and
    /// so on. A part below 0 or above 1000, or one that is no number, counts as the nearest of these, and as 0.
    #[must_use]
    pub fn budget(mut self, least_per_second: u16, part: f32) -> Self {
        let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1000.0) };
        self.budget = TpsBudget::new(BUDGET_TIME, least_per_second.into(), part);
        self
    }

    /// The wait before the retry that follows the attempt of this number.
    fn delay(&self, attempt: u32) -> Duration {
        backoff(self.initial_delay, self.max_delay, attempt, rand::random())
    }
}

#[async_trait]
impl Interceptor for Retry {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        if call.direction() == Direction::Incoming {
            return next.run(call).await;
        }
        self.budget.deposit();
        let mut attempt = 1;
        loop {
            let status = match next.run(call).await {
                Err(status) if status.is_retryable() && call.is_repeatable() => status,
                outcome => return outcome,
            };
            let delay = self.delay(attempt);
            let in_time = call.remaining().is_none_or(|left| left > delay);
            if attempt >= self.attempts || !in_time || !self.budget.withdraw() {
                return Err(status);
            }
            sleep(delay).await;
            attempt += 1;
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
