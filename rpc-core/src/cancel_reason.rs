//! `CancelReason`: why the caller of a call no longer waits for it.

use std::fmt;

use crate::error::ConnectionError;

/// Why the caller of a call no longer waits, as [`Context::cancelled`](crate::Context::cancelled) and
/// [`Context::cancel_reason`](crate::Context::cancel_reason) tell the call's handler and the tasks that it has spawned.
///
/// A call has one reason: the first, even if another event follows. For instance, a call whose caller has given up
/// keeps [`Self::CallerGaveUp`] when the session ends a moment later.
///
/// ```
/// use rpc_core::{CancelReason, Context};
///
/// #[rpc_core::service]
/// trait Jobs {
///     /// Returns at once. The job runs on, and outlives a lost link, but not a caller who leaves.
///     #[rpc(no_cancel)]
///     async fn run(&self, cx: &Context<JobsClient>, name: &str) -> bool;
/// }
///
/// # async fn work(_: &str) {}
/// struct Runner;
///
/// impl Jobs for Runner {
///     async fn run(&self, cx: &Context<JobsClient>, name: &str) -> bool {
///         let mut work = std::pin::pin!(work(name));
///         tokio::select! {
///             () = &mut work => return true,
///             why = cx.cancelled() => match why {
///                 // The caller may come back for the job's result.
///                 CancelReason::SessionEnded(error) if error.is_lost() => {}
///                 CancelReason::ShuttingDown => {}
///                 _ => return false,
///             },
///         }
///         work.await;
///         true
///     }
/// }
/// # use rpc_core::{Hosting, session::connect_in_memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Runner.serve()).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// # assert!(session.client::<JobsClient>().run("tidy up").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// The caller has dropped the future of its call: a `select!`, a task that was aborted, a handler that was
    /// cancelled itself. The session goes on: the handler can call the other side. A one-way call never has this
    /// reason.
    CallerGaveUp,
    /// The call's deadline has passed: the caller's, the deadline of a call above it in the chain, or one that an
    /// interceptor of this side set; or nothing has happened for the call's idle timeout. The session goes on, but
    /// calls that are made in the handler inherit the deadline, and fail.
    DeadlineExceeded,
    /// This side shuts down ([`Session::drain`](crate::Session::drain), a server's `shutdown`), and the grace for
    /// handlers ([`Config::drain_grace`](crate::Config::drain_grace)) is over. The session goes on for a short time,
    /// in which a `no_cancel` handler can still finish, be answered and call its caller.
    ShuttingDown,
    /// The session has ended for this reason: the link was lost, either side has closed it, or a limit ended it. The
    /// reason is the one of [`Session::closed`](crate::Session::closed). Calls to the other side fail.
    SessionEnded(ConnectionError),
    /// The call is over: its result, fault or status has been sent, or a one-way call's handler has ended. Tasks that
    /// the handler has spawned see this reason, and so do streams of a result, which are sent after the reply. It does
    /// not say that the caller still wants the work of the task.
    Completed,
}

impl CancelReason {
    /// Why the session ended, if that is the reason.
    pub fn session_end(&self) -> Option<&ConnectionError> {
        match self {
            Self::SessionEnded(error) => Some(error),
            Self::CallerGaveUp | Self::DeadlineExceeded | Self::ShuttingDown | Self::Completed => None,
        }
    }

    /// Whether the link broke without a goodbye.
    pub fn is_lost(&self) -> bool {
        self.session_end().is_some_and(ConnectionError::is_lost)
    }

    /// Whether a side shuts down: this side stops its handlers, or the session has ended because either side has shut
    /// down.
    pub fn is_shut_down(&self) -> bool {
        *self == Self::ShuttingDown || self.session_end().is_some_and(ConnectionError::is_shut_down)
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallerGaveUp => f.write_str("the caller has given the call up"),
            Self::DeadlineExceeded => f.write_str("the deadline of the call has passed"),
            Self::ShuttingDown => f.write_str("this side is shutting down"),
            Self::SessionEnded(error) => write!(f, "the session has ended: {error}"),
            Self::Completed => f.write_str("the call is over"),
        }
    }
}
