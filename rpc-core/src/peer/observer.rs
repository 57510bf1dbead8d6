//! `Observer`: hears of the calls and sessions of one end, and changes nothing.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{
    clock::now,
    info::ConnectionInfo,
    intercept::{CallInfo, Direction, Interceptor, Next, Reply},
    session::Session,
    session_id::SessionId,
    streams::StreamSummary,
};
use crate::{
    contract::MethodDescriptor,
    error::ConnectionError,
    panics::{Panicked, catch},
    status::Status,
};

/// Hears of the calls, streams and sessions of one end: the trait behind metrics. A server's or client's builder takes
/// observers with `observer`, and so does [`crate::HostingBuilder::observer`]. [`Metrics`](crate::observe::Metrics) is
/// a ready-made observer.
///
/// An observer changes nothing; an [`Interceptor`] can. The methods run in the tasks in which the events happen, so
/// they must not block. A panic in one of them is logged, and nothing else comes of it. An end without observers pays
/// nothing for them; with observers, a call costs what interceptors cost.
///
/// ```
/// use rpc_core::observe::{CallOutcome, CallSummary, Observer};
///
/// struct SlowCalls;
///
/// impl Observer for SlowCalls {
///     fn call_ended(&self, call: &CallSummary) {
///         if call.time.as_secs() >= 1 && !matches!(call.outcome, CallOutcome::GivenUp) {
///             println!("{:?} {} took {:?}", call.direction, call.method, call.time);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A call has ended that this side made, or that it served: it was answered, it has failed, or its caller has given
    /// it up. A call that this side made counts once, however often interceptors have made it again.
    fn call_ended(&self, call: &CallSummary) {
        let _ = call;
    }

    /// The stream of a result has ended, some time after [`Self::call_ended`] of its call.
    fn stream_ended(&self, call: &CallSummary, stream: &StreamSummary) {
        let _ = (call, stream);
    }

    /// A call has come that did not get as far as the interceptors: this side does not host its method, the caller
    /// lacks the role for it, or too many `no_cancel` handlers run. [`Self::call_ended`] does not follow. Calls that
    /// exceed a limit of the session or come during a drain are refused before that, and are not observed.
    fn call_refused(&self, call: &RefusedCall<'_>) {
        let _ = call;
    }

    /// A session is open.
    fn session_opened(&self, session: &Session) {
        let _ = session;
    }

    /// A session has ended that was open.
    fn session_closed(&self, session: &Session, reason: &ConnectionError) {
        let _ = (session, reason);
    }

    /// A session has ended before it was open: either side has refused it ([`ConnectionError::is_refused`]), or the
    /// handshake has failed. At a server this includes clients that are refused at the HTTP upgrade, for instance by
    /// an authenticator or because of their origin, but not connections that the listener turns away.
    fn session_failed(&self, info: &ConnectionInfo, reason: &ConnectionError) {
        let _ = (info, reason);
    }
}

/// A call that has ended, as an [`Observer`] hears of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSummary {
    /// Whether this side made the call, or served it.
    pub direction: Direction,
    /// The method.
    pub method: &'static MethodDescriptor,
    /// The session; `None` if the call was made while there was none for it.
    pub session: Option<SessionId>,
    /// From the beginning of the call to its end, with all waits. A one-way call that this side makes ends when it has
    /// its place in the outgoing queue.
    pub time: Duration,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// With a result.
    Success,
    /// With a typed fault of the contract.
    Fault,
    /// With a status.
    Failed(Status),
    /// The caller has given it up: its future, or its handler, was dropped. A handler is also dropped when the deadline
    /// passes and when the session ends.
    GivenUp,
}

impl CallOutcome {
    /// A short name for a label: `OK`, `FAULT`, or the name of a code such as `UNAVAILABLE`; `CANCELLED` for a call
    /// that was given up.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Success => "OK",
            Self::Fault => "FAULT",
            Self::Failed(status) => status.code().name(),
            Self::GivenUp => "CANCELLED",
        }
    }
}

/// A call that did not get as far as the interceptors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedCall<'a> {
    /// The session in which it came.
    pub session: SessionId,
    /// The number of the method, as the caller has sent it.
    pub id: u32,
    /// The method; `None` if this side does not host it.
    pub method: Option<&'static MethodDescriptor>,
    /// What the caller is told; the caller of a one-way call is told nothing.
    pub status: &'a Status,
}

impl<'a> RefusedCall<'a> {
    pub(crate) fn new(
        session: SessionId,
        id: u32,
        method: Option<&'static MethodDescriptor>,
        status: &'a Status,
    ) -> Self {
        Self { session, id, method, status }
    }
}

/// The observers of one end.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all observers. Runs users' code.
    pub(crate) fn tell(&self, event: impl Fn(&dyn Observer)) {
        for observer in &*self.0 {
            if let Err(Panicked) = catch(|| event(&**observer)) {
                tracing::error!("an observer panicked");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

/// Observes calls, as the outermost interceptor.
pub(crate) struct ObservedCalls(pub(crate) Observers);

#[async_trait]
impl Interceptor for ObservedCalls {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let mut observed = ObservedCall {
            observers: &self.0,
            direction: call.direction(),
            method: call.method(),
            session: call.session_id(),
            begun: now(),
            open: true,
        };
        let mut result = next.run(call).await;
        let summary = observed.end(match &result {
            Ok(reply) if reply.is_fault() => CallOutcome::Fault,
            Ok(_) => CallOutcome::Success,
            Err(status) => CallOutcome::Failed(status.clone()),
        });
        if let Some(reply) = result.as_mut().ok().filter(|reply| reply.has_stream()) {
            let observers = self.0.clone();
            reply.on_stream_end(move |stream| observers.tell(|observer| observer.stream_ended(&summary, stream)));
        }
        result
    }
}

/// A call under way.
struct ObservedCall<'a> {
    observers: &'a Observers,
    direction: Direction,
    method: &'static MethodDescriptor,
    session: Option<SessionId>,
    begun: Instant,
    open: bool,
}

impl ObservedCall<'_> {
    fn end(&mut self, outcome: CallOutcome) -> CallSummary {
        self.open = false;
        let (direction, method, session) = (self.direction, self.method, self.session);
        let summary = CallSummary { direction, method, session, time: now() - self.begun, outcome };
        self.observers.tell(|observer| observer.call_ended(&summary));
        summary
    }
}

impl Drop for ObservedCall<'_> {
    fn drop(&mut self) {
        if self.open {
            self.end(CallOutcome::GivenUp);
        }
    }
}
