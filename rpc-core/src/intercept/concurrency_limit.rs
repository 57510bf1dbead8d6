//! `ConcurrencyLimit`: so many calls at a time.

use async_trait::async_trait;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{CallInfo, Direction, Interceptor, Next, Reply};
use crate::status::Status;

/// Lets a number of calls run at a time, over all sessions that it is given to. The others wait in the order in which they came, or are refused.
///
/// Waiting calls count within the limits of their session, and give up by their deadline. What waits or is refused has not been executed, so
/// it may be sent again.
///
/// **It cannot deadlock**: a call that belongs to a chain which is being served in this process already (a callback of a handler, and what
/// that calls here) passes without counting. It is bounded by the calls in which it has its origin and by the limits on nested calls.
///
/// ```
/// use rpc_core::intercept::ConcurrencyLimit;
///
/// let patient = ConcurrencyLimit::incoming(100);
/// let strict = ConcurrencyLimit::incoming(100).refusing();
/// ```
#[derive(Debug)]
pub struct ConcurrencyLimit {
    direction: Direction,
    permits: Semaphore,
    most: usize,
    refuses: bool,
}

impl ConcurrencyLimit {
    /// For calls that are served here: so many at a time, at least 1.
    pub fn incoming(most: usize) -> Self {
        Self::new(Direction::Incoming, most)
    }

    /// For calls that are made here, outside of handlers: so many at a time, at least 1.
    pub fn outgoing(most: usize) -> Self {
        Self::new(Direction::Outgoing, most)
    }

    fn new(direction: Direction, most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { direction, permits: Semaphore::new(most), most, refuses: false }
    }

    /// Refuses with RESOURCE_EXHAUSTED what would have to wait.
    #[must_use]
    pub fn refusing(mut self) -> Self {
        self.refuses = true;
        self
    }

    async fn permit(&self, call: &CallInfo) -> Result<SemaphorePermit<'_>, Status> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let (method, most) = (call.method(), self.most);
        if self.refuses {
            let message =
                format!("{method} has to wait: {most} calls are under way, which is the limit that this side sets");
            return Err(Status::resource_exhausted(message));
        }
        let acquired = match call.deadline() {
            Some(deadline) => timeout_at(Instant::from_std(deadline), self.permits.acquire()).await,
            None => Ok(self.permits.acquire().await),
        };
        let message = || {
            format!(
                "{method} was not begun in time: {most} calls were under way, which is the limit that this side sets"
            )
        };
        let permit = acquired.map_err(|_| Status::deadline_exceeded(message()))?;
        // The semaphore is never closed.
        permit.map_err(|closed| Status::internal(closed.to_string()))
    }
}

#[async_trait]
impl Interceptor for ConcurrencyLimit {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        // A call that is served here is the first of its own chain.
        let own = usize::from(call.direction() == Direction::Incoming);
        let counts = call.direction() == self.direction && call.chain().nth(own).is_none();
        let _permit = if counts { Some(self.permit(call).await?) } else { None };
        next.run(call).await
    }
}
