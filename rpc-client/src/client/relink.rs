//! How a client gives its session another link, and has its last words acknowledged.

use std::{mem, time::Duration};

use rpc_core::{CloseCode, ConnectionError, Peer, Session, SessionState, logging::LogLimit, session::Resumed};
use tokio::{
    select,
    task::yield_now,
    time::{Instant, sleep},
};
use tracing::info;

use super::{
    session_maker::{Live, SessionMaker, Shared},
    state::{ClientError, ClientEvent, ClientState},
};
use crate::error::ConnectError;

/// How it came that a session needs no link any more.
pub(super) enum Over {
    /// It is over.
    Ended,
    /// It is over, and the server has begun this one.
    Other(Peer),
    /// No link will be made, for this reason.
    Failed(ClientError),
}

impl SessionMaker {
    /// Gives the session another link each time that it has lost its own, until it is over. If the future is dropped
    /// while there is no link, the next one goes on from there.
    pub(super) async fn keep_linked(&mut self, shared: &Shared, live: &mut Live) -> Over {
        let over = loop {
            live.session.detached().await;
            if is_over(&live.session) {
                break Over::Ended;
            }
            let Some(reason) = live.session.link_lost() else {
                yield_now().await;
                continue;
            };
            if let Err(over) = self.link_again(shared, live, &reason).await {
                break over;
            }
        };
        self.attempts += mem::take(&mut live.attempts);
        over
    }

    /// Gives the session another link, because it has lost its own for this reason.
    async fn link_again(&mut self, shared: &Shared, live: &mut Live, reason: &ConnectionError) -> Result<(), Over> {
        let since = live.away.unwrap_or_else(Instant::now);
        if live.away.replace(since).is_none() {
            self.note_end(live.linked, reason);
            let _ = shared.events.send(ClientEvent::LinkLost { reason: reason.clone() });
        }
        let mut error = ClientError::from(reason.clone());
        if self.has_expired_again() {
            return Err(Over::Failed(error));
        }
        // A session that is being prepared takes no calls when it has a link again.
        let before = shared.state.borrow().clone();
        let mut delay = self.reconnect.delay(self.failed + 1);
        let mut refused = false;
        loop {
            let attempt = live.attempts + 1;
            if !self.reconnect.allows(attempt, since.elapsed()) {
                return Err(Over::Failed(error));
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
                _ = live.session.ending() => return Err(Over::Ended),
                () = sleep(self.reconnect.within(delay, since.elapsed())) => {}
                () = now => {}
            }
            if !self.reconnect.allows(attempt, since.elapsed()) {
                return Err(Over::Failed(error));
            }
            shared.state.send_replace(state(None));
            live.attempts = attempt;
            let resumed = select! {
                biased;
                _ = live.session.ending() => return Err(Over::Ended),
                resumed = self.plan.resume(&live.session) => resumed,
            };
            let next = match resumed {
                // This has ended the old session, so there is no race any more.
                Ok(Resumed::Other(session, driver)) => self.plan.establish(session, *driver).await.map(Some),
                Ok(Resumed::Same) => Ok(None),
                Err(failure) => Err(failure),
            };
            let failure = match next {
                Ok(Some(other)) => return Err(Over::Other(other)),
                Ok(None) if is_over(&live.session) => return Err(Over::Ended),
                Ok(None) => {
                    let away = since.elapsed();
                    self.note_resumed(live, away);
                    shared.state.send_replace(before);
                    let _ = shared.events.send(ClientEvent::Resumed { away });
                    return Ok(());
                }
                Err(failure) => failure,
            };
            self.failed += 1;
            // A credential may just have expired, and is asked for anew.
            let fresh = failure.is_refusal_of_credential() && self.plan.has_credentials() && !refused;
            refused |= fresh;
            // The link of an earlier attempt has reached the server after all, and the next link is newer.
            if !fresh && !is_stale(&failure) && !self.reconnect.retries(&failure) {
                return Err(Over::Failed(failure.into()));
            }
            delay = self.delay(self.failed + 1, &failure);
            error = failure.into();
        }
    }

    /// The session goes on over another link, after this time without one.
    fn note_resumed(&mut self, live: &mut Live, away: Duration) {
        let attempt = mem::take(&mut live.attempts);
        static GOES_ON: LogLimit = LogLimit::new();
        if let Some(more) = GOES_ON.admit(Instant::now().into_std()) {
            info!(attempt, "the session goes on over another link after {away:?}{more}");
        }
        live.away = None;
        // While the session is prepared, it is not known whether the attempt that made it was a success.
        if live.linked.is_some() {
            live.linked = Some(Instant::now());
            self.attempts = 0;
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
