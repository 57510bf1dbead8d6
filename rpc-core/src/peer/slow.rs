//! Polls of users' futures and streams that block their thread.

use std::time::Duration;

use super::{clock::now, session_id::SessionId, shared::SessionShared, watchdog::Polled};
use crate::logging::LogLimit;

/// Logs a poll that kept its thread, and perhaps a whole connection, busy for too long.
#[inline]
pub(crate) fn watch_poll(shared: &SessionShared, polled: Polled, took: Duration) {
    if took > shared.config.slow_poll() {
        log(shared.id, polled, took);
    }
}

#[cold]
fn log(session: SessionId, polled: Polled, took: Duration) {
    static SLOW: LogLimit = LogLimit::new();
    let Some(more) = SLOW.admit(now()) else { return };
    let (contract, method) = polled.method().map(|method| (method.contract(), method.name())).unzip();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match polled {
        Polled::Handler(_) => tracing::warn!(
            %session,
            contract,
            method,
            took_ms,
            "a handler blocked its thread in one poll; move blocking work to tokio::task::spawn_blocking, \
             or mark a method that computes for long #[rpc(spawn)]{more}"
        ),
        Polled::Stream(_) => tracing::warn!(
            %session,
            contract,
            method,
            took_ms,
            "a stream blocked its thread while it made items; make them in tokio::task::spawn_blocking and send them through Streaming::channel{more}"
        ),
        Polled::Hook => tracing::warn!(
            %session,
            took_ms,
            "a hook or factory blocked its thread in one poll; move blocking work to tokio::task::spawn_blocking{more}"
        ),
    }
}
