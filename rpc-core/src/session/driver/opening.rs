//! How a session's driver opens the session: hooks and objects, and then the verdict on a client.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{super::opening::Opening, Driver};
use crate::{
    error::{ConnectionError, TimeLimit, Timeout},
    peer::{Life, Observer, Polled, Session, now},
    proto::EarlyPackets,
    service::Instance,
    status::Status,
};

impl Driver {
    /// Begins to run the hooks and to make the objects: both ends have said who they are, and nothing else is left
    /// before the session is open. At a server, `early` keeps what comes until the client is let in.
    pub(in crate::session) fn begin_opening(&mut self, early: Option<EarlyPackets>) {
        let (hosting, shared) = (self.dispatch.hosting().clone(), self.shared.clone());
        self.opening = Some(Box::new(Opening::new(hosting, shared, early)));
    }

    /// Turns the other side away.
    pub(in crate::session) fn refuse(&mut self, status: Status) {
        self.shared.with(|locked| locked.connection.refuse(status));
    }

    /// Runs the hooks and makes the objects of a session that is about to open. False while that is not done.
    pub(super) fn drive_opening(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(opening) = &mut self.opening else { return true };
        // A session that has ended needs neither hooks nor objects, and may have ended before the first poll.
        if self.shared.look(|connection| connection.ended().is_some()) {
            if self.shared.look(|connection| connection.ended().is_some_and(is_slow_opening)) {
                opening.warn_of_slowness(self.shared.config.hello_timeout(), "Config::hello_timeout");
            }
            self.opening = None;
        } else {
            let Poll::Ready(opened) = self.shared.polling(Polled::Hook, || opening.poll(cx)) else { return false };
            let early = self.opening.take().and_then(|opening| opening.into_early());
            self.opened(opened, early);
        }
        // Reading may have stopped meanwhile, and nothing else would wake the driver to read on.
        cx.waker().wake_by_ref();
        true
    }

    /// Tells the observers. Runs users' code.
    pub(super) fn observe(&self, event: impl Fn(&dyn Observer, &Session)) {
        let observers = self.dispatch.hosting().observers();
        if !observers.is_empty() {
            let session = Session::new(self.shared.clone());
            self.shared.polling(Polled::Hook, || observers.tell(|observer| event(observer, &session)));
        }
    }

    fn opened(&mut self, opened: Result<Vec<Option<Instance>>, Status>, early: Option<EarlyPackets>) {
        match opened {
            Ok(instances) => {
                let is_offered = instances.iter().map(Option::is_some);
                let (contracts, withheld) = self.dispatch.hosting().offer(is_offered);
                let mut shared: Vec<_> = instances.into_iter().map(|instance| instance.map(Arc::new)).collect();
                // The list was made in the memory of the other one.
                shared.shrink_to_fit();
                self.dispatch.open(shared);
                // At a client there is nothing to decide: the server has accepted the session already.
                if let Some(early) = early {
                    let id = self.shared.id.number();
                    self.shared.with(|locked| locked.connection.accept(now(), id, contracts, withheld, early));
                }
            }
            Err(status) => self.refuse(status),
        }
        if self.shared.look(|connection| connection.is_open()) {
            tracing::debug!(session = %self.shared.id, "the session is open");
            self.end_handshake();
            self.shared.live(Life::Open);
            self.was_open = true;
            self.observe(|observer, session| observer.session_opened(session));
        }
    }
}

/// Whether the server's hooks and objects have used up the time of the handshake.
fn is_slow_opening(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::TimedOut(Timeout { limit: TimeLimit::Opening, .. }))
}
