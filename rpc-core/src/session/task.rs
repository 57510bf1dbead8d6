//! A handler that had to wait, in a task of its own.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::ended::Ended;
use crate::{
    peer::{Polled, SessionShared, watch_poll},
    proto::{self, ServedKey},
    service::{Handling, Runner},
};

/// A handler in a task of its own. The task reports the handler's end to the connection, also when the task is aborted;
/// until then the call holds its permit.
pub(super) struct Task {
    runner: Runner,
    /// `None` when its end has been reported.
    handling: Option<Handling>,
    key: ServedKey,
    shared: Arc<SessionShared>,
}

impl Task {
    pub(super) fn new(runner: Runner, handling: Handling, key: ServedKey, shared: Arc<SessionShared>) -> Self {
        shared.handler_started();
        Self { runner, handling: Some(handling), key, shared }
    }

    fn report(&mut self, mut ended: Ended) {
        self.handling = None;
        self.shared.handler_ended();
        let produced = self.shared.with(|locked| {
            locked.finished.push(self.key);
            ended.report(&mut locked.connection)
        });
        if let Some(produced) = produced {
            produced.start(&self.shared);
        }
        self.shared.wake_driver();
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(handling) = &this.handling else { return Poll::Ready(()) };
        let (before, what) = (Instant::now(), Polled::Handler(handling.method));
        let polled = this.shared.polling(what, || handling.poll(&mut this.runner, cx));
        watch_poll(&this.shared, what, before.elapsed());
        let Poll::Ready(result) = polled else { return Poll::Pending };
        this.runner.discard();
        let ended = Ended::of(this.key, handling, result);
        this.report(ended);
        Poll::Ready(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let Self { runner, handling, shared, .. } = self;
        if let Some(handling) = handling {
            // The permit returns after the handler is gone, not before.
            shared.polling(Polled::Handler(handling.method), || runner.discard());
            let started = handling.call.call.has_started();
            let completion = if started { proto::Completion::Stopped } else { proto::Completion::NotStarted };
            self.report(Ended::because(self.key, completion));
        }
    }
}
