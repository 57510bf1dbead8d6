//! Waking the current task in such a way that other tasks run before it.

use std::{pin::pin, task::Context};

/// Wakes the task behind the others, and after the runtime has polled its sockets and timers. A task that woke itself
/// at once would keep tokio from its sockets and timers for 61 polls.
pub(crate) fn yield_now(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
