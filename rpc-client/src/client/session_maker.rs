//! `SessionMaker`: makes the sessions of one client, one after another.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use rpc_core::{__client::ClientSessions, ConnectionError, Peer, Session, Status, logging::LogLimit};
use tokio::{
    select,
    sync::{Notify, broadcast, watch},
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info};

use super::{
    reconnect::Reconnect,
    relink::{Linked, is_over},
    setup::Setup,
    state::{ClientError, ClientEvent, ClientState},
};
use crate::{
    connect::Plan,
    error::{ConnectError, is_retryable_after_session},
};

/// The number of events that a slow reader of events may be behind.
const EVENTS: usize = 64;
/// A server that asks to be left alone for longer is asked again after this time.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);
/// Why a client is closed whose task has ended before it.
const STOPPED: &str = "the task that connects again has panicked, or its runtime was shut down";

/// What a client and the maker of its sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) sessions: Arc<ClientSessions>,
    pub(super) state: watch::Sender<ClientState>,
    pub(super) events: broadcast::Sender<ClientEvent>,
    /// Ends the wait before an attempt.
    pub(super) now: Notify,
}

/// A session that takes calls.
pub(super) struct Live {
    pub(super) session: Session,
    /// When the session got its link, or began to take calls if that was later.
    pub(super) linked: Instant,
}

/// Makes the sessions of one client.
pub(crate) struct SessionMaker {
    pub(super) plan: Plan,
    pub(super) reconnect: Reconnect,
    setup: Option<Setup>,
    /// The number of attempts that have failed in a row, sessions and links that ended soon among them.
    pub(super) failed: u32,
    /// How many links in a row have ended soon because an identity had expired.
    expired: u32,
}

impl SessionMaker {
    pub(crate) fn new(plan: Plan, reconnect: Reconnect, setup: Option<Setup>) -> Self {
        Self { plan, reconnect, setup, failed: 0, expired: 0 }
    }

    /// Makes the first session, and goes on to make sessions in a task of its own until the client is closed or its
    /// last handle is dropped. Dropping the future closes what it has opened.
    pub(crate) async fn begin(mut self) -> Result<Arc<Shared>, ConnectError> {
        let since = Instant::now();
        let (sessions, first) = loop {
            let error = match self.first().await {
                Ok(first) => break first,
                Err(error) => error,
            };
            self.failed += 1;
            let delay = self.delay(self.failed, &error);
            let elapsed = since.elapsed().saturating_add(delay);
            if !self.reconnect.retries_first(&error) || !self.reconnect.allows(self.failed + 1, elapsed) {
                return Err(error);
            }
            static FAILED: LogLimit = LogLimit::new();
            if let Some(more) = FAILED.admit(Instant::now().into_std()) {
                info!("connecting failed, and is tried again in {delay:?}: {error}{more}");
            }
            sleep(delay).await;
        };
        self.failed = 0;
        let (state, events) = (watch::Sender::new(ClientState::Connected), broadcast::Sender::new(EVENTS));
        let shared = Arc::new(Shared { sessions, state, events, now: Notify::new() });
        let end = End { shared: shared.clone(), error: ConnectionError::Lost(STOPPED.to_owned()).into() };
        tokio::spawn(self.run(end, first));
        Ok(shared)
    }

    async fn first(&mut self) -> Result<(Arc<ClientSessions>, Live), ConnectError> {
        let keep = self.plan.make().await?;
        let sessions = ClientSessions::new(&keep.session(), &self.plan.hosting, self.plan.config.clone());
        let live = self.prepare(&sessions, keep.session()).await?;
        Ok((sessions, live))
    }

    /// Makes sessions until the client is closed, or its last handle is dropped.
    async fn run(mut self, mut end: End, live: Live) {
        end.error = self.go_on(&end.shared, live).await;
    }

    /// Makes sessions until there is none any more, and returns the reason.
    async fn go_on(&mut self, shared: &Shared, mut live: Live) -> ClientError {
        loop {
            live.session.detached().await;
            let other = if is_over(&live.session) {
                self.note_end(live.linked, &live.session.ending().await);
                None
            } else {
                let Some(reason) = live.session.link_lost() else {
                    yield_now().await;
                    continue;
                };
                self.note_end(live.linked, &reason);
                match self.keep_linked(shared, &mut live, (*reason).clone()).await {
                    Linked::Again => continue,
                    Linked::Ended => None,
                    Linked::Other(peer) => Some(peer),
                    Linked::Failed(error) => {
                        live.session.discard();
                        return error;
                    }
                }
            };
            // A dead link may take its time until it is closed.
            let reason = live.session.ending().await;
            let lost = live.session.lost_calls();
            let (unknown, not_executed) = (lost.unknown, lost.not_executed);
            // There may be no reader of events.
            let _ = shared.events.send(ClientEvent::SessionLost { reason: reason.clone(), unknown, not_executed });
            if !self.goes_on(&reason) {
                return self.say_last_words(&live.session).await.into();
            }
            let asked = live.session.asked_back_in();
            drop(live);
            let again = select! {
                biased;
                () = shared.sessions.ended() => Err(ConnectionError::ClosedLocally.into()),
                again = self.again(shared, reason.clone(), asked, other) => again,
            };
            live = match again {
                Ok(live) => live,
                Err(error) => return error,
            };
            shared.state.send_replace(ClientState::Connected);
            let _ = shared.events.send(ClientEvent::SessionStarted { session: live.session.id() });
        }
    }

    /// A link has ended like this that was there since then, or its session has ended over it.
    fn note_end(&mut self, since: Instant, reason: &ConnectionError) {
        if self.reconnect.is_success(since.elapsed()) {
            (self.failed, self.expired) = (0, 0);
        } else {
            self.failed += 1;
        }
        self.expired = if reason.is_expired() { self.expired + 1 } else { 0 };
    }

    /// Whether two links in a row have ended soon because an identity had expired: another credential will not help.
    pub(super) fn has_expired_again(&self) -> bool {
        self.expired >= 2
    }

    /// Whether there is another session after one that has ended like this.
    fn goes_on(&self, reason: &ConnectionError) -> bool {
        !self.reconnect.is_never() && !self.has_expired_again() && is_retryable_after_session(reason)
    }

    /// Tries to make a session until there is one, or it has to be given up. `asked` is how long the server has asked
    /// to be left alone.
    async fn again(
        &mut self,
        shared: &Shared,
        reason: ConnectionError,
        asked: Duration,
        other: Option<Peer>,
    ) -> Result<Live, ClientError> {
        let since = Instant::now();
        let mut error = ClientError::from(reason);
        if let Some(other) = other {
            match self.adopt(shared, other).await {
                Ok(live) => return Ok(live),
                Err(failure) if !self.reconnect.retries(&failure) => return Err(failure.into()),
                Err(failure) => error = failure.into(),
            }
        }
        // What the server has asked for has a random part already.
        let mut delay = self.reconnect.delay(self.failed + 1).max(asked.min(LONGEST_ASKED));
        let mut refused = false;
        loop {
            let attempt = self.failed + 1;
            if !self.reconnect.allows(attempt, since.elapsed()) {
                return Err(error);
            }
            let state = |next_in| ClientState::Reconnecting { attempt, error: error.clone(), next_in, since };
            static NO_SESSION: LogLimit = LogLimit::new();
            if let Some(more) = NO_SESSION.admit(Instant::now().into_std()) {
                info!(attempt, "there is no session with the server; the next attempt is in {delay:?}: {error}{more}");
            }
            // Who hears of the wait may end it at once.
            let now = shared.now.notified();
            shared.sessions.away(&error.to_string());
            shared.state.send_replace(state(Some(delay)));
            select! {
                () = sleep(self.reconnect.within(delay, since.elapsed())) => {}
                () = now => {}
            }
            if !self.reconnect.allows(attempt, since.elapsed()) {
                return Err(error);
            }
            shared.state.send_replace(state(None));
            let failure = match self.attempt(shared).await {
                Ok(live) => return Ok(live),
                Err(failure) => failure,
            };
            self.failed += 1;
            // A credential may just have expired, and is asked for anew.
            let fresh = failure.is_refusal_of_credential() && self.plan.has_credentials() && !refused;
            refused |= fresh;
            if !fresh && !self.reconnect.retries(&failure) {
                return Err(failure.into());
            }
            delay = self.delay(self.failed + 1, &failure);
            error = failure.into();
        }
    }

    /// The wait before the `attempt`th attempt, after this failure.
    pub(super) fn delay(&self, attempt: u32, failure: &ConnectError) -> Duration {
        let delay = self.reconnect.delay(attempt);
        failure.retry_after().map_or(delay, |after| after.min(LONGEST_ASKED) + delay)
    }

    async fn attempt(&mut self, shared: &Shared) -> Result<Live, ConnectError> {
        let keep = self.plan.make().await?;
        self.adopt(shared, keep).await
    }

    /// Takes a new session for the client's own.
    async fn adopt(&mut self, shared: &Shared, keep: Peer) -> Result<Live, ConnectError> {
        if !shared.sessions.prepare(&keep.session()) {
            return Err(ConnectError::Session(ConnectionError::ClosedLocally));
        }
        self.prepare(&shared.sessions, keep.session()).await
    }

    /// Prepares a new session for the client's calls.
    async fn prepare(&mut self, sessions: &ClientSessions, session: Session) -> Result<Live, ConnectError> {
        if let Some(setup) = &self.setup {
            let prepared = AssertUnwindSafe(async { setup(session.clone()).await }).catch_unwind();
            let limit = self.plan.config.hook_timeout();
            let prepared = select! {
                biased;
                reason = session.closed() => return Err(ConnectError::Session(reason)),
                prepared = timeout(limit, sessions.preparing(prepared)) => prepared,
            };
            let failed = match prepared {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(error.into_status()),
                Ok(Err(_)) => Some(Status::internal("the function panicked")),
                Err(_) => Some(Status::unavailable(format!("it took longer than {limit:?} (Config::hook_timeout)"))),
            };
            if let Some(status) = failed {
                if is_over(&session) {
                    // A call of the function has failed because the session was lost.
                    return Err(ConnectError::Session(session.closed().await));
                }
                session.close().await;
                return Err(ConnectError::Setup(status));
            }
        }
        sessions.ready();
        Ok(Live { session, linked: Instant::now() })
    }
}

/// Closes the client for good when it is dropped: also if the program's code panics in the task that makes the
/// sessions, and if the task's runtime is shut down.
struct End {
    shared: Arc<Shared>,
    error: ClientError,
}

impl Drop for End {
    fn drop(&mut self) {
        let Self { shared, error } = self;
        match error.session() {
            // The program has wanted it so.
            Some(ConnectionError::ClosedLocally) => debug!("the client is closed: {error}"),
            _ => info!("the client is closed: {error}"),
        }
        shared.sessions.end(&error.to_string());
        shared.state.send_replace(ClientState::Closed(error.clone()));
        let _ = shared.events.send(ClientEvent::Closed(error.clone()));
    }
}
