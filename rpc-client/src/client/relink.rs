//! How a client gives its session another link, and has its last words acknowledged.

use std::time::Duration;

use rpc_core::{CloseCode, ConnectionError, Peer, Session, SessionState};
use tokio::{
    select,
    time::{Instant, sleep},
};
use tracing::info;

use super::{
    session_maker::{Live, SessionMaker, Shared},
    state::{ClientError, ClientEvent, ClientState},
};
use crate::error::ConnectError;

/// What has become of a session without a link.
pub(super) enum Linked {
    /// It goes on.
    Again,
    /// It is over.
    Ended,
    /// It is over, and the server has begun this one.
    Other(Peer),
    /// No link will be made, for this reason.
    Failed(ClientError),
}

impl SessionMaker {
    /// Gives the session another link, if it has lost its own.
    pub(super) async fn keep_linked(&mut self, shared: &Shared, live: &mut Live) -> Linked {
        let Some(reason) = live.session.link_lost() else {
            let is_over = matches!(live.session.state(), SessionState::Closing | SessionState::Closed);
            tokio::task::yield_now().await;
            return if is_over { Linked::Ended } else { Linked::Again };
        };
        let since = Instant::now();
        let _ = shared.events.send(ClientEvent::LinkLost { reason: reason.clone() });
        // A link that is lost soon keeps the waits growing.
        self.note_end(live.linked);
        let mut error = ClientError::from(reason);
        let mut delay = self.reconnect.delay(self.failed + 1);
        let mut refused = false;
        loop {
            let attempt = self.failed + 1;
            if !self.reconnect.allows(attempt, since.elapsed()) {
                return Linked::Failed(error);
            }
            let state = |next_in| ClientState::Reconnecting { attempt, error: error.clone(), next_in, since };
            info!(attempt, "the session has no link, and the next attempt is in {delay:?}: {error}");
            let now = shared.now.notified();
            shared.state.send_replace(state(Some(delay)));
            select! {
                biased;
                _ = live.session.ending() => return Linked::Ended,
                () = sleep(self.reconnect.within(delay, since.elapsed())) => {}
                () = now => {}
            }
            shared.state.send_replace(state(None));
            // The session may end meanwhile, also because the server has begun another one on this very link.
            let failure = match self.plan.resume(&live.session).await {
                Ok(None) => {
                    live.linked = Instant::now();
                    shared.state.send_replace(ClientState::Connected);
                    let _ = shared.events.send(ClientEvent::Resumed { away: since.elapsed() });
                    return Linked::Again;
                }
                Ok(Some(other)) => return Linked::Other(other),
                Err(failure) => failure,
            };
            self.failed += 1;
            // A credential may just have expired, and is asked for anew.
            let fresh = failure.is_refusal_of_credential() && self.plan.has_credentials() && !refused;
            refused |= fresh;
            // The link of an earlier attempt has reached the server after all, and the next link is newer.
            let stale =
                matches!(failure, ConnectError::Session(ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }));
            if !fresh && !stale && !self.reconnect.retries(&failure) {
                return Linked::Failed(failure.into());
            }
            delay = self.delay(self.failed + 1, &failure);
            error = failure.into();
        }
    }

    /// Waits until a session that has ended is over. Its last words go over another link, if it has lost its own.
    pub(super) async fn say_last_words(&mut self, session: &Session) -> ConnectionError {
        loop {
            select! {
                biased;
                reason = session.closed() => return reason,
                () = session.without_link() => {}
            }
            let delay = self.reconnect.delay(1).min(Duration::from_secs(1));
            let resumed = select! {
                biased;
                reason = session.closed() => return reason,
                resumed = async {
                    sleep(delay).await;
                    self.plan.resume(session).await
                } => resumed,
            };
            if let Err(ConnectError::Session(ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. })) = resumed {
                // The server has nothing with which this session could go on.
                session.discard();
            }
        }
    }
}
