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

/// Limits the number of calls that run at a time, over all sessions that use the limit. Further calls wait in the order
/// in which they came, or are refused.
///
/// Waiting calls count within the limits of their session, and give up at their deadline. A call that waits or is
/// refused has not been executed, so its caller may send it again. A call that waits for its turn at an object which
/// serves one call at a time counts as a running call. [`TimeoutCap`](super::TimeoutCap) bounds that time.
///
/// **Chains do not deadlock at the limit.** The limit holds for each depth of nesting separately, so a call never waits
/// for the calls in whose handlers it was made. This does not hold for calls outside of the chain: a call in a spawned
/// task that a handler waits for (use [`Context::scope`](crate::Context::scope)), and a call that an inner interceptor
/// makes itself.
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
    /// The permits for each depth: the number of calls above a call in its chain.
    depths: Mutex<Vec<Arc<Semaphore>>>,
    most: usize,
    refuses: bool,
}

impl ConcurrencyLimit {
    /// A limit on the calls that this side serves: `most` at a time, at least 1.
    pub fn incoming(most: usize) -> Self {
        Self::new(Direction::Incoming, most)
    }

    /// A limit on the calls that this side makes: `most` at a time, at least 1. Calls that handlers make are counted
    /// separately.
    pub fn outgoing(most: usize) -> Self {
        Self::new(Direction::Outgoing, most)
    }

    fn new(direction: Direction, most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { direction, depths: Mutex::default(), most, refuses: false }
    }

    /// Refuses calls that would have to wait, with [`Code::ResourceExhausted`](crate::Code::ResourceExhausted).
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
        // The chain of a call that this side serves begins with the call itself.
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
                    // A timer belongs to the runtime in which it is made, and a task outside of any runtime may poll
                    // this.
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
