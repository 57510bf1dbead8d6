//! `TimeoutCap`: a limit on the time of calls.

use std::time::Duration;

use async_trait::async_trait;

use super::{CallInfo, Direction, Interceptor, Next, Reply};
use crate::status::Status;

/// Limits the time of every call: its deadline is no later than a given time after its beginning. Calls with an earlier
/// deadline keep it.
///
/// A call that this side makes fails as at its own deadline. When the time of a call that this side serves has passed,
/// its handler is dropped, even if the method is `no_cancel`, and the caller gets
/// [`Code::DeadlineExceeded`](crate::Code::DeadlineExceeded). Calls that the handler makes inherit the earlier
/// deadline.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{Code, Hosting, intercept::TimeoutCap, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Oracle {
///     async fn ask(&self) -> String;
/// }
///
/// struct Silent;
///
/// impl Oracle for Silent {
///     async fn ask(&self) -> String {
///         std::future::pending().await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cap = TimeoutCap::incoming(Duration::from_millis(5));
/// let server = Hosting::builder().service(Silent.serve()).interceptor(cap).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// # let oracle: OracleClient = session.client();
/// assert_eq!(oracle.ask().await.unwrap_err().code(), Code::DeadlineExceeded);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeoutCap {
    direction: Direction,
    most: Duration,
}

impl TimeoutCap {
    /// A limit for calls that this side serves.
    pub const fn incoming(most: Duration) -> Self {
        Self { direction: Direction::Incoming, most }
    }

    /// A limit for calls that this side makes.
    pub const fn outgoing(most: Duration) -> Self {
        Self { direction: Direction::Outgoing, most }
    }
}

#[async_trait]
impl Interceptor for TimeoutCap {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        if call.direction() == self.direction {
            call.limit_timeout(self.most);
        }
        next.run(call).await
    }
}
