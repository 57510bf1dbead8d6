//! Sessions that lose their links and go on: without a link they have no place under the caps, and there are not more
//! of them than places.

use rpc_core::{Session, SessionState, logging::LogLimit};
use tokio::time::Instant;
use tracing::warn;

use super::{Entry, ServerSessions, wake};

impl Entry {
    /// The session has lost its link, or goes on. Those who watch the sessions are told. The place of a session without
    /// a link is given back: the client needs a place for the connection with which it comes back, and a server that
    /// was full has none to spare.
    pub(super) fn follow(&self, session: &Session) {
        if session.is_detached() {
            self.shared.detach(self.number);
        }
        self.shared.link_changed(session);
    }

    /// A session that entered with another connection goes on over this one, and has the place of this one.
    pub(crate) fn hand_over(mut self, session: &Session) {
        let place = self.place.take();
        let unused = {
            let mut state = self.shared.lock();
            // It may have lost this connection as well.
            if session.is_detached() { place } else { state.attach(session.id(), place) }
        };
        drop(unused);
    }
}

impl ServerSessions {
    /// Records whether an open session has a link.
    fn link_changed(&self, session: &Session) {
        let lost = match session.state() {
            // The next that is told of it is its end.
            SessionState::Closing | SessionState::Closed => return self.ended(session),
            SessionState::Detached => session.link_lost(),
            _ => None,
        };
        // A client that comes back may have shown another identity.
        let principal = session.principal();
        let wakers = {
            let mut state = self.lock();
            state.principal_changed(session.id(), principal.as_ref());
            state.link_changed(session.id(), lost)
        };
        wake(wakers);
        self.groups.link_changed(session);
    }

    /// A session has ended, or its last words wait no more.
    fn ended(&self, session: &Session) {
        let phase = {
            let mut state = self.lock();
            state.ended(session);
            state.next_phase()
        };
        if let Some(phase) = phase {
            self.go_on_to(phase);
        }
    }

    fn detach(&self, number: u64) {
        let most = self.most_detached.get().copied().unwrap_or(usize::MAX);
        let (place, beyond) = {
            let mut state = self.lock();
            let place = state.detach(number);
            (place, if state.without_place > most { state.newest_detached(most / 8 + 1) } else { Vec::new() })
        };
        drop(place);
        if beyond.is_empty() {
            return;
        }
        static BEYOND: LogLimit = LogLimit::new();
        if let Some(more) = BEYOND.admit(Instant::now().into_std()) {
            let count = beyond.len();
            warn!(count, "sessions without a link are given up: there are more than {most} (max_connections){more}");
        }
        for session in beyond {
            session.discard();
        }
    }
}
