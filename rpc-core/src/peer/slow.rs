//! Polls of users' futures and streams that block their thread.

use std::time::Duration;

use super::{clock::now, shared::Shared};
use crate::{contract::MethodDescriptor, logging::LogLimit};

/// What was polled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Polled {
    Handler,
    /// For its next items.
    Stream,
}

/// Logs a poll that kept a thread, and perhaps a whole connection, busy for too long.
pub(crate) fn watch_poll(shared: &Shared, method: &MethodDescriptor, polled: Polled, took: Duration) {
    if took <= shared.config.slow_poll {
        return;
    }
    static SLOW: LogLimit = LogLimit::new();
    let Some(more) = SLOW.admit(now()) else { return };
    let (session, contract, method) = (shared.id, method.contract(), method.name());
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match polled {
        Polled::Handler => tracing::warn!(
            session,
            contract,
            method,
            took_ms,
            "a handler blocked its thread in one poll; move blocking work to tokio::task::spawn_blocking, \
             or mark a method that computes for long #[rpc(spawn)]{more}"
        ),
        Polled::Stream => tracing::warn!(
            session,
            contract,
            method,
            took_ms,
            "a stream blocked its thread while it made items; make them in tokio::task::spawn_blocking and send them through Streaming::channel{more}"
        ),
    }
}
