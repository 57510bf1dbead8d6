//! `Closing`: waiting for a session's goodbye.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{runtime::Handle, time::timeout};

use super::shared::SessionShared;
use crate::error::{ConnectionError, TimeLimit, Timeout};

/// The future gives up this much later than the driver, so that it reports what the driver did.
const SLACK: Duration = Duration::from_millis(250);

/// A session that ends: the future that [`crate::Session::close`], [`crate::Session::abort`] and
/// [`crate::Session::drain`] return. The session ends whether or not this future is awaited.
///
/// The future waits until the session is over, and returns the reason. By then the data that was sent before, and the
/// goodbye, have been written, and the other side has answered the goodbye. A program that is about to end awaits this
/// future, because the end of its runtime cuts off data that has not been written.
///
/// The wait takes hardly longer than [`crate::Config::close_timeout`], or [`crate::Config::drain_timeout`] for a drain,
/// counted from the first poll, and in a session that can be [resumed](crate::Config::resume_window) ten seconds more;
/// then it returns [`ConnectionError::TimedOut`]. Dropping the future stops the waiting
/// and nothing else.
pub struct Closing {
    shared: Arc<SessionShared>,
    /// The limit within which the session has to end.
    timeout: Timeout,
    /// The wait, which begins with the first poll.
    wait: Option<BoxFuture<'static, ConnectionError>>,
}

impl Closing {
    pub(super) fn of_close(shared: Arc<SessionShared>) -> Self {
        let timeout = Timeout::new(TimeLimit::Close, shared.config.close_timeout());
        Self { shared, timeout, wait: None }
    }

    pub(super) fn of_drain(shared: Arc<SessionShared>) -> Self {
        let timeout = Timeout::new(TimeLimit::Drain, shared.config.drain_timeout());
        Self { shared, timeout, wait: None }
    }
}

impl Future for Closing {
    type Output = ConnectionError;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        let Self { shared, timeout, wait } = self.get_mut();
        wait.get_or_insert_with(|| over(shared.clone(), *timeout)).poll_unpin(cx)
    }
}

fn over(shared: Arc<SessionShared>, limit: Timeout) -> BoxFuture<'static, ConnectionError> {
    let runtime = shared.facts.runtime.clone();
    // The last words of a session that can be resumed have a time of their own, before the link is closed.
    let patience = limit.after.saturating_add(shared.look(|connection| connection.linger()));
    let closed = async move { shared.over().await };
    let closed = {
        // A timer belongs to the runtime in which it is made, and a task outside of any runtime may poll this.
        let _entered = runtime.as_ref().map(Handle::enter);
        timeout(patience.saturating_add(SLACK), closed)
    };
    closed.map(move |closed| closed.unwrap_or(ConnectionError::TimedOut(limit))).boxed()
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("session", &self.shared.id).finish_non_exhaustive()
    }
}
