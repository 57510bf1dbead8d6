//! Waking one's own task so that others have their turn before.

use std::{pin::pin, task::Context};

/// Wakes the task after the others, and after the runtime has heard from its sockets and timers. A task that woke
/// itself at once would keep tokio from those for 61 polls.
pub(super) fn yield_now(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
