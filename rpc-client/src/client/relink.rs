//! How a client gives its session another link, and has its last words acknowledged.

use rpc_core::{CloseCode, ConnectionError, Peer, Session, SessionState, logging::LogLimit, session::Resumed};
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
    /// Gives the session another link, because it has lost its own for this reason.
    pub(super) async fn keep_linked(&mut self, shared: &Shared, live: &mut Live, reason: ConnectionError) -> Linked {
        let since = Instant::now();
        let _ = shared.events.send(ClientEvent::LinkLost { reason: reason.clone() });
        let mut error = ClientError::from(reason);
        if self.has_expired_again() {
            return Linked::Failed(error);
        }
        let mut delay = self.reconnect.delay(self.failed + 1);
        let mut refused = false;
        loop {
            let attempt = self.failed + 1;
            if !self.reconnect.allows(attempt, since.elapsed()) {
                return Linked::Failed(error);
            }
            let state = |next_in| ClientState::Reconnecting { attempt, error: error.clone(), next_in, since };
            static NO_LINK: LogLimit = LogLimit::new();
            if let Some(more) = NO_LINK.admit(Instant::now().into_std()) {
                info!(attempt, "the session has no link, and the next attempt is in {delay:?}: {error}{more}");
            }
            let now = shared.now.notified();
            shared.state.send_replace(state(Some(delay)));
            select! {
                biased;
                _ = live.session.ending() => return Linked::Ended,
                () = sleep(self.reconnect.within(delay, since.elapsed())) => {}
                () = now => {}
            }
            shared.state.send_replace(state(None));
            let resumed = select! {
                biased;
                _ = live.session.ending() => return Linked::Ended,
                resumed = self.plan.resume(&live.session) => resumed,
            };
            let next = match resumed {
                // This has ended the old session, so there is no race any more.
                Ok(Resumed::Other(session, driver)) => self.plan.establish(session, *driver).await.map(Some),
                Ok(Resumed::Same) => Ok(None),
                Err(failure) => Err(failure),
            };
            let failure = match next {
                Ok(Some(other)) => return Linked::Other(other),
                Ok(None) if is_over(&live.session) => return Linked::Ended,
                Ok(None) => {
                    live.linked = Instant::now();
                    shared.state.send_replace(ClientState::Connected);
                    let _ = shared.events.send(ClientEvent::Resumed { away: since.elapsed() });
                    return Linked::Again;
                }
                Err(failure) => failure,
            };
            self.failed += 1;
            // A credential may just have expired, and is asked for anew.
            let fresh = failure.is_refusal_of_credential() && self.plan.has_credentials() && !refused;
            refused |= fresh;
            // The link of an earlier attempt has reached the server after all, and the next link is newer.
            if !fresh && !is_stale(&failure) && !self.reconnect.retries(&failure) {
                return Linked::Failed(failure.into());
            }
            delay = self.delay(self.failed + 1, &failure);
            error = failure.into();
        }
    }

    /// Waits until a session that has ended is over. Its last words go over another link, if it has lost its own.
    pub(super) async fn say_last_words(&mut self, session: &Session) -> ConnectionError {
        let mut attempt = self.failed + 1;
        let mut delay = self.reconnect.delay(attempt);
        loop {
            select! {
                biased;
                reason = session.closed() => return reason,
                () = session.without_link() => {}
            }
            let resumed = select! {
                biased;
                reason = session.closed() => return reason,
                resumed = async {
                    sleep(delay).await;
                    self.plan.resume(session).await
                } => resumed,
            };
            attempt += 1;
            delay = match resumed {
                Ok(_) => self.reconnect.delay(attempt),
                Err(failure) => {
                    if is_stale(&failure) {
                        // The server has nothing with which this session could go on.
                        session.discard();
                    }
                    self.delay(attempt, &failure)
                }
            };
        }
    }
}

/// Whether the session has ended, although its last words may still be under way.
pub(super) fn is_over(session: &Session) -> bool {
    matches!(session.state(), SessionState::Closing | SessionState::Closed)
}

/// Whether the server has closed the link because there is nothing for it: it has a newer link of the session, or the
/// session is over.
fn is_stale(failure: &ConnectError) -> bool {
    matches!(failure, ConnectError::Session(ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }))
}
