//! `SessionMaker`: makes the sessions of one client, one after another.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures::FutureExt;
use rpc_core::{__client::ClientSessions, ConnectionError, Peer, Session, Status, logging::LogLimit};
use tokio::{
    select,
    sync::{Notify, broadcast, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info};

use super::{
    reconnect::Reconnect,
    relink::{Over, is_over},
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
/// Why a client is closed whose runtime has ended.
const STOPPED: &str = "the runtime of the client has ended; await `client.close()` before it ends";
/// Why a client is closed in whose task code of the program has panicked.
const PANICKED: &str = "code of the program has panicked where the client connects again, such as the rule of \
                        `Reconnect::retry_if` or the source of credentials";

/// What a client and the maker of its sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) sessions: Arc<ClientSessions>,
    pub(super) state: watch::Sender<ClientState>,
    pub(super) events: broadcast::Sender<ClientEvent>,
    /// Ends the wait before an attempt.
    pub(super) now: Notify,
}

/// A session that takes calls, or is being prepared for them.
pub(super) struct Live {
    pub(super) session: Session,
    /// When the session got its link, or began to take calls if that was later; `None` while it is being prepared.
    pub(super) linked: Option<Instant>,
    /// Since when the session has had no link, once the client has told of it.
    pub(super) away: Option<Instant>,
    /// The number of attempts to give it another link since then.
    pub(super) attempts: u32,
}

/// What has become of a session that was to be prepared.
enum Prepared {
    /// It takes calls.
    Live(Live),
    /// It is over, and the server has begun this one.
    Other(Peer),
}

/// Makes the sessions of one client.
pub(crate) struct SessionMaker {
    pub(super) plan: Plan,
    pub(super) reconnect: Reconnect,
    setup: Option<Setup>,
    /// The number of attempts, sessions and links in a row that have failed or ended soon, for the waits.
    pub(super) failed: u32,
    /// The number of attempts in a row that have led to no session that lasted, those for links of such sessions among
    /// them.
    pub(super) attempts: u32,
    /// How many links in a row have ended soon because an identity had expired.
    expired: u32,
}

impl SessionMaker {
    pub(crate) fn new(plan: Plan, reconnect: Reconnect, setup: Option<Setup>) -> Self {
        Self { plan, reconnect, setup, failed: 0, attempts: 0, expired: 0 }
    }

    /// Makes the first session, and goes on to make sessions in a task of its own until the client is closed or its
    /// last handle is dropped. Dropping the future closes what it has opened.
    pub(crate) async fn begin(mut self) -> Result<Arc<Shared>, ConnectError> {
        let since = Instant::now();
        let (shared, first) = loop {
            let error = match self.first().await {
                Ok(first) => break first,
                Err(error) => error,
            };
            (self.failed, self.attempts) = (self.failed + 1, self.attempts + 1);
            let delay = self.delay(self.failed, &error);
            let elapsed = since.elapsed().saturating_add(delay);
            if !self.reconnect.retries_first(&error) || !self.reconnect.allows(self.attempts + 1, elapsed) {
                return Err(error);
            }
            static FAILED: LogLimit = LogLimit::new();
            if let Some(more) = FAILED.admit(Instant::now().into_std()) {
                info!("connecting failed, and is tried again in {delay:?}: {error}{more}");
            }
            sleep(delay).await;
        };
        (self.failed, self.attempts) = (0, 0);
        let end = End { shared: shared.clone(), error: None };
        tokio::spawn(self.run(end, first));
        Ok(shared)
    }

    async fn first(&mut self) -> Result<(Arc<Shared>, Live), ConnectError> {
        let keep = self.plan.make().await?;
        let sessions = ClientSessions::new(&keep.session(), &self.plan.hosting, self.plan.config.clone());
        // No one sees the state before the client is there.
        let (state, events) = (watch::Sender::new(ClientState::Connected), broadcast::Sender::new(EVENTS));
        let shared = Arc::new(Shared { sessions, state, events, now: Notify::new() });
        let live = self.adopt(&shared, keep).await?;
        shared.state.send_replace(ClientState::Connected);
        Ok((shared, live))
    }

    /// Makes sessions until the client is closed, or its last handle is dropped.
    async fn run(mut self, mut end: End, live: Live) {
        let ended = AssertUnwindSafe(self.go_on(&end.shared, live)).catch_unwind().await;
        end.error = Some(ended.unwrap_or_else(|_| ConnectionError::Lost(PANICKED.to_owned()).into()));
    }

    /// Makes sessions until there is none any more, and returns the reason.
    async fn go_on(&mut self, shared: &Shared, mut live: Live) -> ClientError {
        loop {
            let over = self.keep_linked(shared, &mut live).await;
            if let Over::Failed(_) = &over {
                live.session.discard();
            }
            // A dead link may take its time until it is closed.
            let reason = live.session.ending().await;
            if live.away.is_none() {
                self.note_end(live.linked, &reason);
            }
            let lost = live.session.lost_calls();
            let (unknown, not_executed) = (lost.unknown, lost.not_executed);
            // There may be no reader of events.
            let _ = shared.events.send(ClientEvent::SessionLost { reason: reason.clone(), unknown, not_executed });
            let other = match over {
                Over::Ended => None,
                Over::Other(peer) => Some(peer),
                Over::Failed(error) => return error,
            };
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

    /// A link has ended like this that was there since then, or its session has ended over it. Of a session that took
    /// no calls yet, there is no time.
    pub(super) fn note_end(&mut self, since: Option<Instant>, reason: &ConnectionError) {
        if since.is_some_and(|since| self.reconnect.is_success(since.elapsed())) {
            (self.failed, self.attempts, self.expired) = (0, 0, 0);
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
            let attempt = self.attempts + 1;
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
            self.attempts = attempt;
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

    /// Takes a new session for the client's own and prepares it for the client's calls, or the session that the server
    /// has begun in its place.
    async fn adopt(&mut self, shared: &Shared, mut keep: Peer) -> Result<Live, ConnectError> {
        loop {
            if !shared.sessions.prepare(&keep.session()) {
                return Err(ConnectError::Session(ConnectionError::ClosedLocally));
            }
            match self.prepare(shared, keep.session()).await? {
                Prepared::Live(live) => return Ok(live),
                Prepared::Other(other) => keep = other,
            }
        }
    }

    /// Runs the program's function for a new session, and gives the session other links meanwhile.
    async fn prepare(&mut self, shared: &Shared, session: Session) -> Result<Prepared, ConnectError> {
        let mut live = Live { session: session.clone(), linked: None, away: None, attempts: 0 };
        let setup = self.run_setup(&shared.sessions, session.clone());
        let ran = {
            let mut over = pin!(self.keep_linked(shared, &mut live));
            let ran = select! {
                biased;
                over = &mut over => Err(over),
                ran = setup => Ok(ran),
            };
            match ran {
                // A call of the function has failed because the session was lost.
                Ok(Err(_)) if is_over(&session) => Err(over.await),
                ran => ran,
            }
        };
        match ran {
            Ok(Ok(())) => {
                shared.sessions.ready();
                live.linked = Some(Instant::now());
                Ok(Prepared::Live(live))
            }
            Ok(Err(status)) => {
                // Without a link, its goodbye would have to wait for one.
                if !session.discard() {
                    drop(session.close());
                    self.say_last_words(&session).await;
                }
                Err(ConnectError::Setup(status))
            }
            Err(over) => self.unprepared(session, over).await,
        }
    }

    /// Runs the program's function for the session of the moment.
    fn run_setup(
        &self,
        sessions: &ClientSessions,
        session: Session,
    ) -> impl Future<Output = Result<(), Status>> + use<> {
        let (setup, limit) = (self.setup.clone(), self.plan.config.hook_timeout());
        let prepared = AssertUnwindSafe(async move {
            match setup {
                Some(setup) => setup(session).await,
                None => Ok(()),
            }
        });
        let prepared = timeout(limit, sessions.preparing(prepared.catch_unwind()));
        async move {
            match prepared.await {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(error))) => Err(error.into_status()),
                Ok(Err(_)) => Err(Status::internal("the function panicked")),
                Err(_) => Err(Status::unavailable(format!("it took longer than {limit:?} (Config::hook_timeout)"))),
            }
        }
    }

    /// A session is over before it was prepared.
    async fn unprepared(&mut self, session: Session, over: Over) -> Result<Prepared, ConnectError> {
        match over {
            Over::Other(other) => return Ok(Prepared::Other(other)),
            Over::Failed(error) => {
                session.discard();
                debug!(session = %session.id(), "the session gets no link while it is prepared: {error}");
            }
            Over::Ended => {}
        }
        let reason = session.ending().await;
        // A dead link may take its time until it is closed.
        let reason = if self.goes_on(&reason) { reason } else { self.say_last_words(&session).await };
        Err(ConnectError::Session(reason))
    }
}

/// Closes the client for good when it is dropped: also if the runtime of the task that makes the sessions is shut down.
struct End {
    shared: Arc<Shared>,
    /// Why there are no sessions any more; `None` if the task has not come to its end.
    error: Option<ClientError>,
}

impl End {
    /// How the session has ended that the program has closed, if the task had no time to see that.
    fn closed(&self) -> Option<ClientError> {
        let Shared { sessions, .. } = &*self.shared;
        sessions.ended().now_or_never()?;
        sessions.session().closed().now_or_never().map(ClientError::from)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let error = match self.error.take().or_else(|| self.closed()) {
            Some(error) => {
                match error.session() {
                    // The program has wanted it so.
                    Some(ConnectionError::ClosedLocally) => debug!("the client is closed: {error}"),
                    _ => info!("the client is closed: {error}"),
                }
                error
            }
            None => {
                info!(
                    "the runtime of a client has ended before the client was closed; await `client.close()` at the end \
                     of the program, so that all that was sent arrives, and the server hears that the client leaves"
                );
                ConnectionError::Lost(STOPPED.to_owned()).into()
            }
        };
        let shared = &self.shared;
        shared.sessions.end(&error.to_string());
        shared.state.send_replace(ClientState::Closed(error.clone()));
        let _ = shared.events.send(ClientEvent::Closed(error));
    }
}
