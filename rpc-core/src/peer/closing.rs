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

/// The driver gives up at `close_timeout`; who waits for it looks a little later.
const SLACK: Duration = Duration::from_millis(250);

/// A session that has been told to end: what [`crate::Session::close`] gives. It ends whether or not this is awaited.
///
/// Awaiting it waits until the session is over, and gives the reason: what had been sent before and the goodbye have
/// been written, and the other side has answered it. A program that is about to end awaits this, because the end of its
/// runtime cuts off what is not written yet.
///
/// It takes hardly longer than [`crate::Config::close_timeout`], counted from the first poll; then it gives
/// [`ConnectionError::TimedOut`]. May be dropped at any time, which stops the waiting alone.
pub struct Closing {
    shared: Arc<SessionShared>,
    /// From the first poll on.
    wait: Option<BoxFuture<'static, ConnectionError>>,
}

impl Closing {
    pub(super) fn new(shared: Arc<SessionShared>) -> Self {
        Self { shared, wait: None }
    }
}

impl Future for Closing {
    type Output = ConnectionError;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        let Self { shared, wait } = self.get_mut();
        wait.get_or_insert_with(|| over(shared.clone())).poll_unpin(cx)
    }
}

fn over(shared: Arc<SessionShared>) -> BoxFuture<'static, ConnectionError> {
    let limit = shared.config.close_timeout;
    let runtime = shared.facts.runtime.clone();
    let closed = async move { shared.over().await };
    let closed = {
        // A timer belongs to the runtime in which it is made, and this may be polled outside of any.
        let _entered = runtime.as_ref().map(Handle::enter);
        timeout(limit + SLACK, closed)
    };
    let over = closed.map(move |closed| {
        closed.unwrap_or_else(|_| {
            let why = format!(
                "the session has not said its goodbye within {limit:?} (Config::close_timeout): its task did not get to run, \
                 perhaps because a handler blocks its thread"
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
