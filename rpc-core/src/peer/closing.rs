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
use crate::error::ConnectionError;

/// The driver gives up in time; the future that waits for the driver looks a little later.
const SLACK: Duration = Duration::from_millis(250);

/// A session that has been told to end: what [`crate::Session::close`], [`crate::Session::abort`] and
/// [`crate::Session::drain`] give. The session ends whether or not this future is awaited.
///
/// Awaiting it waits until the session is over, and gives the reason: all that had been sent before and the goodbye
/// have been written, and the other side has answered the goodbye. A program that is about to end awaits this, because
/// the end of its runtime cuts off what is not written yet.
///
/// The waiting takes hardly longer than [`crate::Config::close_timeout`], after a drain
/// [`crate::Config::drain_timeout`], counted from the first poll; then it gives [`ConnectionError::TimedOut`]. May be
/// dropped at any time, which stops the waiting alone.
pub struct Closing {
    shared: Arc<SessionShared>,
    /// How long the end may take, and the limit's name.
    limit: (Duration, &'static str),
    /// From the first poll on.
    wait: Option<BoxFuture<'static, ConnectionError>>,
}

impl Closing {
    pub(super) fn of_close(shared: Arc<SessionShared>) -> Self {
        Self { limit: (shared.config.close_timeout(), "close_timeout"), shared, wait: None }
    }

    pub(super) fn of_drain(shared: Arc<SessionShared>) -> Self {
        Self { limit: (shared.config.drain_timeout(), "drain_timeout"), shared, wait: None }
    }
}

impl Future for Closing {
    type Output = ConnectionError;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        let Self { shared, limit, wait } = self.get_mut();
        wait.get_or_insert_with(|| over(shared.clone(), *limit)).poll_unpin(cx)
    }
}

fn over(shared: Arc<SessionShared>, (limit, name): (Duration, &'static str)) -> BoxFuture<'static, ConnectionError> {
    let runtime = shared.facts.runtime.clone();
    let closed = async move { shared.over().await };
    let closed = {
        // A timer belongs to the runtime in which it is made, and this may be polled outside of any.
        let _entered = runtime.as_ref().map(Handle::enter);
        timeout(limit.saturating_add(SLACK), closed)
    };
    let over = closed.map(move |closed| {
        closed.unwrap_or_else(|_| {
            let why = format!(
                "the session has not ended within {limit:?} (Config::{name}): its task did not get to run, perhaps \
                 because a handler blocks its thread"
            );
            ConnectionError::TimedOut(why)
        })
    });
    over.boxed()
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("session", &self.shared.id).finish_non_exhaustive()
    }
}
