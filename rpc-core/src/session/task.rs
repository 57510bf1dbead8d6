//! A handler that had to wait, in a task of its own.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    contract::MethodDescriptor,
    peer::Shared,
    proto::{self, Charges, ServedCall, ServedKey},
    service::{Completion, Runner},
    status::Status,
};

/// A handler in a task of its own. Reports its end to the connection, also when it is aborted; until then the call holds its permit.
pub(super) struct Task {
    runner: Runner,
    call: Arc<ServedCall>,
    method: &'static MethodDescriptor,
    key: ServedKey,
    shared: Arc<Shared>,
    reported: bool,
}

impl Task {
    pub(super) fn new(
        runner: Runner,
        call: Arc<ServedCall>,
        method: &'static MethodDescriptor,
        key: ServedKey,
        shared: Arc<Shared>,
    ) -> Self {
        shared.handler_started();
        Self { runner, call, method, key, shared, reported: false }
    }

    fn report(&mut self, completion: proto::Completion, charges: Charges) {
        self.reported = true;
        self.shared.handler_ended();
        self.shared.with(|locked| {
            locked.finished.push(self.key);
            locked.connection.complete(self.key, completion, charges);
        });
        self.shared.wake_driver();
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let before = Instant::now();
        let polled = this.runner.poll(&this.call, this.method, cx);
        watch_poll(this.method, before.elapsed(), this.shared.config.slow_poll);
        let Poll::Ready(result) = polled else { return Poll::Pending };
        let (completion, charges) = into_parts(result);
        this.runner.discard();
        this.report(completion, charges);
        Poll::Ready(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.reported {
            // The permit returns after the handler is gone, not before.
            self.runner.discard();
            self.report(proto::Completion::Stopped, Charges::default());
        }
    }
}

/// What the connection is told of a handler's end.
pub(super) fn into_parts(result: Result<Completion, Status>) -> (proto::Completion, Charges) {
    match result {
        Ok(completion) => completion.into_parts(),
        Err(status) => (proto::Completion::Status(status), Charges::default()),
    }
}

/// Logs a poll that kept a thread, and perhaps a whole connection, busy for too long.
pub(super) fn watch_poll(method: &MethodDescriptor, took: Duration, limit: Duration) {
    if took > limit {
        tracing::warn!(
            contract = method.contract(),
            method = method.name(),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "a handler blocked its thread in one poll; move blocking work to tokio::task::spawn_blocking, \
             or mark a method that computes for long #[rpc(spawn)]"
        );
    }
}
