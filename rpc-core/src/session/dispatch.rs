//! `Dispatch`: runs the handlers of the calls that come in.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use foldhash::HashMap;
use tokio::task::AbortHandle;

use super::task::{Task, into_parts, watch_poll};
use crate::{
    peer::Shared,
    proto::{self, Charges, ServedCall, ServedKey},
    service::{Hosting, Incoming, Runner},
    status::Status,
};

/// A handler's end, to be reported under the next lock.
pub(super) type Ended = (ServedKey, proto::Completion, Charges);

/// Runs handlers: each is polled once where it arrives, in order, and moves to a task when it has to wait.
pub(super) struct Dispatch {
    shared: Arc<Shared>,
    hosting: Hosting,
    /// By the method's position: the place of a handler that has ended.
    idle: Vec<Option<Runner>>,
    running: HashMap<ServedKey, Running>,
    /// The end of the last poll, which is the beginning of the next.
    clock: Instant,
}

struct Running {
    abort: AbortHandle,
    no_cancel: bool,
}

impl Dispatch {
    pub(super) fn new(shared: Arc<Shared>, hosting: Hosting) -> Self {
        let mut idle = Vec::new();
        idle.resize_with(hosting.len(), || None);
        Self { shared, hosting, idle, running: HashMap::default(), clock: Instant::now() }
    }

    pub(super) fn hosting(&self) -> &Hosting {
        &self.hosting
    }

    /// Handlers are about to be started, one after another.
    pub(super) fn begin(&mut self) {
        self.clock = Instant::now();
    }

    /// Starts a call's handler. Returns its end if it has come already.
    pub(super) fn start(&mut self, key: ServedKey, call: Arc<ServedCall>, payload: Bytes) -> Option<Ended> {
        let Some(index) = self.hosting.find(call.method) else {
            return Some((key, proto::Completion::Status(self.unimplemented(call.method)), Charges::default()));
        };
        let method = self.hosting.method(index);
        let mut runner = self.idle[index].take().unwrap_or_default();
        let incoming = Incoming::new(self.shared.clone(), call.clone(), method, payload);
        self.hosting.service_of(index).start(call.method, incoming, &mut runner);
        if !runner.is_started() {
            let status = Status::unimplemented(format!("{}.{} has no handler", method.contract(), method.name()));
            return Some((key, proto::Completion::Status(status), Charges::default()));
        }
        if !method.is_spawn() {
            let polled = runner.poll(&call, method, &mut Context::from_waker(Waker::noop()));
            let now = Instant::now();
            watch_poll(method, now - self.clock, self.shared.config.slow_poll);
            self.clock = now;
            if let Poll::Ready(result) = polled {
                self.idle[index] = Some(runner);
                let (completion, charges) = into_parts(result);
                return Some((key, completion, charges));
            }
        }
        let task = Task::new(runner, call, method, key, self.shared.clone());
        let abort = tokio::spawn(task).abort_handle();
        self.running.insert(key, Running { abort, no_cancel: method.is_no_cancel() });
        None
    }

    /// Stops a handler that may be stopped.
    pub(super) fn cancel(&mut self, key: ServedKey) {
        if let Some(running) = self.running.get(&key).filter(|running| !running.no_cancel) {
            running.abort.abort();
        }
    }

    /// Handlers whose tasks have ended.
    pub(super) fn forget(&mut self, finished: &mut Vec<ServedKey>) {
        for key in finished.drain(..) {
            self.running.remove(&key);
        }
    }

    /// The session has ended: handlers are stopped; those that must not be stopped run on by themselves.
    pub(super) fn stop_all(&mut self) {
        self.running.retain(|_, running| !running.no_cancel);
        for running in self.running.values() {
            running.abort.abort();
        }
    }

    /// Whether no handler is left to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    fn unimplemented(&self, method: u32) -> Status {
        let hosted: Vec<_> = self.hosting.contracts().collect();
        let hosted = if hosted.is_empty() { "nothing".to_owned() } else { hosted.join(", ") };
        tracing::debug!(method, hosted, "a call came for a method that is not hosted");
        Status::unimplemented(format!(
            "method {method:#010x} is not hosted by the other side, which hosts {hosted}; \
             is it a newer method, or another contract?"
        ))
        .not_executed()
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.stop_all();
    }
}
