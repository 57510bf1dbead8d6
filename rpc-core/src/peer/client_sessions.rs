//! `ClientSessions`: the sessions of one client, one after another, as the client's stubs see them.

use std::{
    cell::Cell,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::{runtime::Handle, sync::watch, time::timeout_at};

use super::{
    Peer,
    call::{Answer, CallInput, CallParams, attempt},
    clock::now,
    current::current,
    encode::Arguments,
    intercept::Interceptor,
    session::Session,
    shared::SessionShared,
};
use crate::{
    config::Config,
    contract::MethodDescriptor,
    service::Hosting,
    status::{Code, Execution, Status},
};

thread_local! {
    /// The session which the code that is polled here prepares for all others; 0 for none.
    static PREPARED: Cell<u64> = const { Cell::new(0) };
}

/// The sessions of one client, one after another. Its peers call through the session of the moment, and wait while
/// there is none. What makes the sessions tells this of each change.
pub struct ClientSessions {
    config: Config,
    interceptors: Arc<[Arc<dyn Interceptor>]>,
    state: watch::Sender<State>,
    /// The runtime of the sessions. A call that is awaited outside of it has its timer there.
    runtime: Handle,
}

struct State {
    /// The session of the moment, or the last one.
    session: Arc<SessionShared>,
    /// Keeps this session open, until the client is over.
    keep: Option<Peer>,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    /// The session is being prepared: its own calls go out, and all others wait.
    Preparing,
    /// The session takes all calls.
    Ready,
    /// There is no session, for this reason.
    Away(Arc<str>),
    /// There will be no session any more, for this reason.
    Over(Arc<str>),
}

impl ClientSessions {
    /// The sessions of a client that has its first session, which is still to be prepared. The client keeps each of its
    /// sessions open.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(first: &Session, hosting: &Hosting, config: Config) -> Arc<Self> {
        let state = watch::Sender::new(State {
            session: first.shared().clone(),
            keep: Some(first.keep_open()),
            stage: Stage::Preparing,
        });
        let (interceptors, runtime) = (hosting.interceptors().clone(), Handle::current());
        Arc::new(Self { config, interceptors, state, runtime })
    }

    /// The session of the moment, or the last one.
    pub fn session(&self) -> Session {
        Session::new(self.shared())
    }

    /// There is a new session, which is still to be prepared. False if the client is over.
    pub fn prepare(&self, session: &Session) -> bool {
        // It may be the last holder of the old session, so the old session is dropped without the lock.
        let (mut old, mut keep) = (session.shared().clone(), Some(session.keep_open()));
        self.advance(|state| {
            mem::swap(&mut state.session, &mut old);
            mem::swap(&mut state.keep, &mut keep);
            Stage::Preparing
        })
    }

    /// The session takes all calls from now on. False if the client is over.
    pub fn ready(&self) -> bool {
        self.advance(|_| Stage::Ready)
    }

    /// There is no session for now; `why` is for the callers that do not wait. False if the client is over.
    pub fn away(&self, why: &str) -> bool {
        self.advance(|_| Stage::Away(why.into()))
    }

    /// There will be no session any more. The present one is closed in good order, unless others keep it open.
    pub fn end(&self, why: &str) {
        // What it drops may close the session, which is not for the lock.
        let mut keep = None;
        self.advance(|state| {
            keep = state.keep.take();
            Stage::Over(why.into())
        });
    }

    /// Waits until there will be no session any more, for instance because the last handle was dropped.
    pub async fn ended(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.state.subscribe().wait_for(|state| matches!(state.stage, Stage::Over(_))).await;
    }

    /// Runs a future that prepares the session of the moment. The calls that are made while the future is polled go to
    /// that session, through whichever stub of the client.
    pub fn preparing<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Preparing { session: self.shared().id.number(), future: Box::pin(future) }
    }

    /// The last handle is gone.
    pub(super) fn let_go(&self) {
        self.end("its last handle was dropped");
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn interceptors(&self) -> &[Arc<dyn Interceptor>] {
        &self.interceptors
    }

    pub(super) fn shared(&self) -> Arc<SessionShared> {
        self.state.borrow().session.clone()
    }

    /// The session that takes a call of the caller now, if there is one.
    pub(super) fn at_hand(&self) -> Option<Arc<SessionShared>> {
        let state = self.state.borrow();
        (state.is_open_here() && !state.session.is_detached()).then(|| state.session.clone())
    }

    /// Whether a call that has failed in this session goes to the next one: it did not run, because the session has
    /// ended or is about to.
    pub(super) fn goes_on(&self, tried: &SessionShared, status: &Status) -> bool {
        status.execution() == Execution::NotExecuted
            && status.code() == Code::Unavailable
            && tried.look(|connection| connection.ended().is_some() || connection.is_leaving())
    }

    /// Makes a call in the session of the moment, or in a later one if the call has not run because its session was
    /// lost. `input` keeps its streams as long as they have not begun to be sent.
    pub(super) async fn attempt<A: Arguments>(
        &self,
        method: &'static MethodDescriptor,
        params: &CallParams,
        input: &mut CallInput<A>,
    ) -> Result<Answer, Status> {
        let (streams, mut tried) = (input.streams.len(), None);
        loop {
            let shared = self.wait(tried.as_ref(), method, params).await?;
            match attempt(&shared, method, &mut params.again(), input).await {
                Err(status) if input.streams.len() == streams && self.goes_on(&shared, &status) => {
                    tried = Some(shared);
                }
                answer => return answer,
            }
        }
    }

    /// Waits for a session other than `tried`, within the time that the call may take.
    async fn wait(
        &self,
        tried: Option<&Arc<SessionShared>>,
        method: &MethodDescriptor,
        params: &CallParams,
    ) -> Result<Arc<SessionShared>, Status> {
        let mut state = self.state.subscribe();
        let settled = |state: &State| match &state.stage {
            Stage::Over(why) => Some(Err(closed(method, why))),
            Stage::Ready if params.fail_fast && state.session.is_detached() => {
                Some(Err(away(method, "its link is lost, and the session waits for another one")))
            }
            _ if state.is_open_here() && tried.is_none_or(|tried| !Arc::ptr_eq(tried, &state.session)) => {
                Some(Ok(state.session.clone()))
            }
            Stage::Away(why) if params.fail_fast => Some(Err(away(method, why))),
            Stage::Preparing if params.fail_fast => Some(Err(away(method, "the session is being prepared"))),
            Stage::Ready if params.fail_fast => Some(Err(away(method, "the last one has ended, or is about to"))),
            _ => None,
        };
        let mut found = None;
        let wait = state.wait_for(|state| {
            found = settled(state);
            found.is_some()
        });
        let in_time = match params.wait_until() {
            Some(until) => {
                let in_time = {
                    let _runtime = self.runtime.enter();
                    timeout_at(until.into(), wait)
                };
                in_time.await.is_ok()
            }
            None => wait.await.is_ok(),
        };
        found.filter(|_| in_time).unwrap_or_else(|| Err(self.too_late(method)))
    }

    fn too_late(&self, method: &MethodDescriptor) -> Status {
        let why = match &self.state.borrow().stage {
            Stage::Away(why) | Stage::Over(why) => why.to_string(),
            Stage::Preparing => "the session was still being prepared".to_owned(),
            Stage::Ready => "the session was about to end".to_owned(),
        };
        Status::deadline_exceeded(format!("{method} found no session with the server before its deadline: {why}"))
            .not_executed()
    }

    /// Goes on to another stage, unless the client is over.
    fn advance(&self, to: impl FnOnce(&mut State) -> Stage) -> bool {
        self.state.send_if_modified(|state| {
            let goes_on = !matches!(state.stage, Stage::Over(_));
            if goes_on {
                state.stage = to(state);
            }
            goes_on
        })
    }
}

impl State {
    /// Whether the session takes calls of the code that is polled on this thread.
    fn is_open_here(&self) -> bool {
        match self.stage {
            Stage::Ready => true,
            Stage::Preparing => {
                let number = self.session.id.number();
                PREPARED.get() == number || current().is_some_and(|serving| serving.call.session == number)
            }
            Stage::Away(_) | Stage::Over(_) => false,
        }
    }
}

#[cold]
fn away(method: &MethodDescriptor, why: &str) -> Status {
    Status::unavailable(format!("{method} was not called: there is no session with the server now ({why})"))
        .not_executed()
}

#[cold]
fn closed(method: &MethodDescriptor, why: &str) -> Status {
    Status::unavailable(format!("{method} was not called: the client is closed ({why}); connect again for new stubs"))
        .not_executed()
}

/// Runs a future that prepares a session.
struct Preparing<F> {
    session: u64,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Preparing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        struct Restore(u64);
        impl Drop for Restore {
            fn drop(&mut self) {
                PREPARED.set(self.0);
            }
        }
        let _restore = Restore(PREPARED.replace(self.session));
        self.future.as_mut().poll(cx)
    }
}

impl CallParams {
    /// The same parameters, for an attempt that begins now.
    fn again(&self) -> Self {
        Self { begun: now(), origin: self.origin.clone(), metadata: self.metadata.clone(), ..*self }
    }

    /// How long the call waits for a session.
    fn wait_until(&self) -> Option<Instant> {
        let idle = self.idle_timeout.and_then(|idle| self.begun.checked_add(idle.time));
        self.deadline.into_iter().chain(idle).min()
    }
}

impl fmt::Debug for ClientSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        let stage = match &state.stage {
            Stage::Preparing => "Preparing",
            Stage::Ready => "Ready",
            Stage::Away(_) => "Away",
            Stage::Over(_) => "Over",
        };
        f.debug_struct("ClientSessions").field("session", &state.session.id).field("stage", &stage).finish()
    }
}
