//! The object that serves a call: one for all sessions, one for each session, or one for each call.

use std::{
    any::type_name,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::BoxFuture;

use super::{Incoming, Runner, turn_queue::TurnQueue};
use crate::{
    context::Context,
    contract::{ContractDescriptor, MethodDescriptor},
    panics::{Panicked, catch},
    peer::{Peer, Session},
    status::Status,
    text::list,
};

/// Starts a method of a hosted object.
pub(super) type Start<T> = fn(&Arc<T>, u32, Incoming, &mut Runner);

/// How many calls an object serves at a time; see [`Service::concurrency`](super::Service::concurrency).
///
/// With each variant, a call that ends by its deadline, is cancelled or loses its session makes room for the next call,
/// unless its method is `#[rpc(no_cancel)]`. Calls that wait for their turn count within the limits of their session.
/// Sessions take turns. The calls of one session start in the order in which they were sent, apart from `#[rpc(spawn)]`
/// methods and calls whose interceptors wait: these queue when they reach the object. The guide explains
/// [which calls deadlock](crate::guide::deadlocks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Concurrency {
    /// The object serves calls concurrently, without a limit of its own, and guards its own state.
    #[default]
    Multiple,
    /// The object serves one call after another: a call waits until the call before it has ended, even while that call
    /// waits for an answer from the other side. A call that would wait for its own chain (the object calls the client,
    /// which calls the object) is refused at once with [`Reason::WouldDeadlock`](crate::status::Reason::WouldDeadlock).
    Single,
    /// As [`Self::Single`], but the object lets in a call that belongs to the chain that it serves. Two handlers of the
    /// object are never polled at the same time. While one handler awaits, another of its chain may run, as with two
    /// functions that call each other.
    Reentrant,
}

/// Starts the methods of an object.
pub(crate) trait Host: Send + Sync {
    fn start(&self, method: u32, call: Incoming, runner: &mut Runner);
}

/// Where the objects of a service come from.
#[derive(Clone)]
pub(super) enum Source {
    /// One object for all sessions.
    Shared(Arc<dyn Host>),
    /// One object for each session.
    PerSession(Arc<dyn Factory>),
    /// One object for each call.
    PerCall(Arc<dyn Host>),
}

/// Makes a session's object.
pub(super) trait Factory: Send + Sync {
    fn make(&self, session: Session) -> BoxFuture<'static, Result<Arc<dyn Host>, Status>>;
}

/// An object that serves a session, and the state that admits calls to the object.
pub(crate) struct Instance {
    contract: &'static ContractDescriptor,
    host: Arc<dyn Host>,
    /// The queue of an object that serves one call at a time.
    turns: Option<Arc<TurnQueue>>,
    /// Whether a method that may begin has succeeded; `None` where every method may begin.
    begun: Option<Arc<AtomicBool>>,
}

/// An object and its methods.
struct Hosted<T> {
    object: Arc<T>,
    start: Start<T>,
}

/// Makes an object for each call.
struct PerCall<F, T> {
    factory: F,
    start: Start<T>,
}

struct PerSession<F>(F);

impl Source {
    pub(super) fn shared<T: Send + Sync + 'static>(object: T, start: Start<T>) -> Self {
        Self::Shared(Arc::new(Hosted { object: Arc::new(object), start }))
    }

    pub(super) fn per_session<T, F, Fut>(factory: F, start: Start<T>) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let make = move |session| -> BoxFuture<'static, Result<Arc<dyn Host>, Status>> {
            let object = factory(session);
            Box::pin(async move { Ok(Arc::new(Hosted { object: Arc::new(object.await?), start }) as Arc<dyn Host>) })
        };
        Self::PerSession(Arc::new(PerSession(make)))
    }

    pub(super) fn per_call<T, F>(factory: F, start: Start<T>) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&Context<Peer>) -> T + Send + Sync + 'static,
    {
        Self::PerCall(Arc::new(PerCall { factory, start }))
    }
}

impl Instance {
    pub(super) fn new(
        contract: &'static ContractDescriptor,
        host: Arc<dyn Host>,
        turns: Option<Arc<TurnQueue>>,
    ) -> Self {
        let gated = contract.methods().iter().any(|method| !method.is_initiating());
        Self { contract, host, turns, begun: gated.then(Arc::default) }
    }

    pub(crate) fn turns(&self) -> Option<&Arc<TurnQueue>> {
        self.turns.as_ref()
    }

    pub(crate) fn start(&self, method: u32, call: Incoming, runner: &mut Runner) {
        self.host.start(method, call, runner);
    }

    /// Checks that a method may be called now: see `#[rpc(initiating = false)]`.
    pub(crate) fn check_begun(&self, method: &MethodDescriptor) -> Result<(), Status> {
        let Some(begun) = &self.begun else { return Ok(()) };
        if method.is_initiating() || begun.load(Ordering::Acquire) {
            return Ok(());
        }
        let first = self.contract.methods().iter().filter(|method| method.is_initiating());
        let message = format!(
            "{method} may not be called yet: first a call of {} must have succeeded in this session, and again in each \
             later one (a client makes such a call in its `on_session`)",
            list(first, " or ")
        );
        Err(Status::failed_precondition(message).not_executed())
    }

    /// The flag to set when the method succeeds, if there is one.
    pub(super) fn begun(&self, method: &MethodDescriptor) -> Option<Arc<AtomicBool>> {
        self.begun.as_ref().filter(|_| method.is_initiating()).cloned()
    }
}

impl<T: Send + Sync + 'static> Host for Hosted<T> {
    fn start(&self, method: u32, call: Incoming, runner: &mut Runner) {
        (self.start)(&self.object, method, call, runner);
    }
}

impl<T, F> Host for PerCall<F, T>
where
    T: Send + Sync + 'static,
    F: Fn(&Context<Peer>) -> T + Send + Sync + 'static,
{
    fn start(&self, method: u32, call: Incoming, runner: &mut Runner) {
        match catch(|| (self.factory)(&call.untyped_context())) {
            Ok(object) => (self.start)(&Arc::new(object), method, call, runner),
            Err(Panicked) => {
                tracing::error!(object = type_name::<T>(), "the factory of an object panicked");
                runner
                    .start(async { Err(Status::internal("the object that was to serve the call could not be made")) });
            }
        }
    }
}

impl<F> Factory for PerSession<F>
where
    F: Fn(Session) -> BoxFuture<'static, Result<Arc<dyn Host>, Status>> + Send + Sync,
{
    fn make(&self, session: Session) -> BoxFuture<'static, Result<Arc<dyn Host>, Status>> {
        (self.0)(session)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("contract", &self.contract.name()).field("turns", &self.turns).finish()
    }
}
