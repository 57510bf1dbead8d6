//! `ConcurrencyLimit`: a limit on the number of calls at a time.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{CallInfo, Direction, Interceptor, Next, Reply};
use crate::status::Status;

/// Lets a number of calls run at a time, over all sessions that it is given to. The others wait in the order in which
/// they came, or are refused.
///
/// Waiting calls count within the limits of their session, and give up by their deadline. A call that waits or is
/// refused has not been executed, so it may be sent again. A call that waits for its turn at an object which serves one
/// at a time counts as well; with [`TimeoutCap`](super::TimeoutCap) it does so for no longer than that.
///
/// **Chains do not deadlock with it**: a call that belongs to a chain which is being served in this process already (a
/// callback of a handler, and the calls that the callback makes here) does not wait for calls in whose handlers it has
/// its origin. As
/// many are let in at each depth, and calls wait for deeper ones alone. Work outside the chain does count beside it: a
/// call made in a spawned task that the handler waits for (use [`Context::scope`](crate::Context::scope)), and one that
/// an inner interceptor makes itself.
///
/// ```
/// use rpc_core::{Code, Hosting, intercept::ConcurrencyLimit, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Oven {
///     async fn bake(&self);
/// }
///
/// struct Slow;
///
/// impl Oven for Slow {
///     async fn bake(&self) {
///         std::future::pending().await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let one = ConcurrencyLimit::incoming(1).refusing();
/// let server = Hosting::builder().service(Slow.serve()).interceptor(one).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// # let oven: OvenClient = session.client();
/// tokio::select! {
///     biased;
///     _ = oven.bake() => unreachable!("the first call goes on for ever"),
///     second = oven.bake() => assert_eq!(second.unwrap_err().code(), Code::ResourceExhausted),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ConcurrencyLimit {
    direction: Direction,
    /// By how many calls there are before a call in its chain.
    depths: Mutex<Vec<Arc<Semaphore>>>,
    most: usize,
    refuses: bool,
}

impl ConcurrencyLimit {
    /// For calls that are served here: `most` at a time, at least 1.
    pub fn incoming(most: usize) -> Self {
        Self::new(Direction::Incoming, most)
    }

    /// For calls that are made here: `most` at a time, at least 1. Calls made in handlers are counted apart.
    pub fn outgoing(most: usize) -> Self {
        Self::new(Direction::Outgoing, most)
    }

    fn new(direction: Direction, most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { direction, depths: Mutex::default(), most, refuses: false }
    }

    /// Refuses calls that would have to wait, with RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn refusing(mut self) -> Self {
        self.refuses = true;
        self
    }

    fn permits(&self, depth: usize) -> Arc<Semaphore> {
        let mut depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        while depths.len() <= depth {
            depths.push(Arc::new(Semaphore::new(self.most)));
        }
        depths[depth].clone()
    }

    async fn permit(&self, call: &CallInfo) -> Result<OwnedSemaphorePermit, Status> {
        // A call that is served here is the first of its own chain.
        let own = usize::from(call.direction() == Direction::Incoming);
        let permits = self.permits(call.chain().skip(own).count());
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let (method, most) = (call.method(), self.most);
        if self.refuses {
            let message =
                format!("{method} has to wait: {most} calls are under way, which is the limit that this side sets");
            return Err(Status::resource_exhausted(message));
        }
        let acquired = match call.deadline() {
            Some(deadline) => {
                let acquire = permits.acquire_owned();
                let acquire = {
                    // A timer belongs to the runtime in which it is made, and this may be polled outside of any.
                    let _entered = call.runtime().map(Handle::enter);
                    timeout_at(Instant::from_std(deadline), acquire)
                };
                acquire.await
            }
            None => Ok(permits.acquire_owned().await),
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
        let _permit = if call.direction() == self.direction { Some(self.permit(call).await?) } else { None };
        next.run(call).await
    }
}
