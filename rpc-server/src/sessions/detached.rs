//! Sessions without a link: they have no place under the caps, and there are not more of them than places.

use std::sync::Arc;

use rpc_core::{Session, logging::LogLimit};
use tokio::time::Instant;
use tracing::warn;

use super::{Entry, ServerSessions};

impl Entry {
    /// Gives the place of a session back whenever the session loses its link, until the session is over. The client
    /// needs a place for the connection with which it comes back, and a server that was full has none to spare.
    pub(crate) fn follow(&self, session: &Session) {
        if !session.is_resumable() {
            return;
        }
        let (shared, number, session) = (Arc::clone(&self.shared), self.number, session.clone());
        tokio::spawn(async move {
            session
                .each_link_change(|is_detached| {
                    if is_detached {
                        shared.detach(number);
                    }
                })
                .await;
        });
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
    fn detach(&self, number: u64) {
        let most = self.most_detached.get().copied().unwrap_or(usize::MAX);
        let (place, beyond) = {
            let mut state = self.lock();
            let place = state.detach(number);
            (place, if state.detached > most { state.newest_detached(most / 8 + 1) } else { Vec::new() })
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
        beyond.iter().for_each(Session::discard);
    }
}
