//! Hosting a contract: objects, their methods, their turns, and the parts of a handler's future.

mod arguments;
mod authorizer;
mod fair_queue;
mod handler_output;
mod handling;
mod hooks;
mod hosting;
mod hosting_error;
mod incoming;
mod instance;
mod no_cancel;
mod offer;
mod probe;
mod runner;
mod turn_queue;
mod written_out;

use std::{fmt, sync::Arc};

use crate::{
    context::Context,
    contract::ContractDescriptor,
    peer::{Peer, Session},
    status::Status,
};
use instance::{Source, Start};
use turn_queue::TurnQueue;

pub use arguments::Arguments;
pub(crate) use handling::{Handling, no_handler};
pub use hooks::{Resume, SessionHooks};
pub use hosting::{Hosting, HostingBuilder};
pub use hosting_error::HostingError;
pub use incoming::Incoming;
pub(crate) use incoming::Received;
pub use instance::Concurrency;
pub(crate) use instance::Instance;
pub use probe::{Known, Lacks, Probe, Travels, Unknown};
pub use written_out::{Aliased, Fault};

pub use handler_output::HandlerOutput;
pub(crate) use handler_output::HandlerReply;
pub use runner::Runner;
pub(crate) use turn_queue::QueuedTurn;

/// A hosted contract: the value that `Chat::serve(object)`, `Chat::per_session(…)` or `Chat::per_call(…)` returns.
/// Clones host the same objects.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use rpc_core::Concurrency;
///
/// #[rpc_core::service]
/// trait Counter {
///     async fn next(&self) -> u32;
/// }
///
/// #[derive(Default)]
/// struct Turnstile(AtomicU32);
///
/// impl Counter for Turnstile {
///     async fn next(&self) -> u32 {
///         self.0.fetch_add(1, Ordering::Relaxed)
///     }
/// }
///
/// let one_for_all = Turnstile::default().serve();
/// let one_a_session = Counter::per_session(|_session| Turnstile::default()).concurrency(Concurrency::Single);
/// let one_a_call = Counter::per_call(|_cx| Turnstile::default());
/// assert_eq!(one_a_session.contract().name(), "Counter");
/// # let _ = (one_for_all, one_a_call);
/// ```
#[derive(Clone)]
pub struct Service {
    contract: &'static ContractDescriptor,
    source: Source,
    concurrency: Concurrency,
    /// The queue of the one object for all sessions, if the object serves one call at a time.
    turns: Option<Arc<TurnQueue>>,
}

impl Service {
    /// Hosts one object for all sessions. `start` starts its methods.
    #[doc(hidden)]
    pub fn host<T: Send + Sync + 'static>(contract: &'static ContractDescriptor, object: T, start: Start<T>) -> Self {
        Self::new(contract, Source::shared(object, start))
    }

    /// Hosts one object for each session.
    #[doc(hidden)]
    pub fn per_session<T, F>(contract: &'static ContractDescriptor, factory: F, start: Start<T>) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&Session) -> T + Send + Sync + 'static,
    {
        let make = move |session| std::future::ready(Ok(factory(&session)));
        Self::new(contract, Source::per_session(make, start))
    }

    /// Hosts one object for each session. Making the object may take time or fail.
    #[doc(hidden)]
    pub fn try_per_session<T, F, Fut>(contract: &'static ContractDescriptor, factory: F, start: Start<T>) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Status>> + Send + 'static,
    {
        Self::new(contract, Source::per_session(factory, start))
    }

    /// Hosts one object for each call.
    #[doc(hidden)]
    pub fn per_call<T, F>(contract: &'static ContractDescriptor, factory: F, start: Start<T>) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&Context<Peer>) -> T + Send + Sync + 'static,
    {
        Self::new(contract, Source::per_call(factory, start))
    }

    fn new(contract: &'static ContractDescriptor, source: Source) -> Self {
        Self { contract, source, concurrency: Concurrency::Multiple, turns: None }
    }

    /// Sets how many calls an object of this service serves at a time. Default [`Concurrency::Multiple`]. Each object
    /// has its own turns: calls of all sessions wait for each other at one object for all sessions, and no call waits
    /// at an object for each call.
    #[must_use]
    pub fn concurrency(self, concurrency: Concurrency) -> Self {
        let turns = matches!(self.source, Source::Shared(_)).then(|| turns(self.contract, concurrency, true)).flatten();
        Self { concurrency, turns, ..self }
    }

    /// The contract.
    pub fn contract(&self) -> &'static ContractDescriptor {
        self.contract
    }

    /// The object that serves a session.
    async fn open(&self, session: &Session) -> Result<Instance, Status> {
        let (host, turns) = match &self.source {
            Source::Shared(host) => (host.clone(), self.turns.clone()),
            Source::PerCall(host) => (host.clone(), None),
            Source::PerSession(factory) => {
                (factory.make(session.clone()).await?, turns(self.contract, self.concurrency, false))
            }
        };
        Ok(Instance::new(self.contract, host, turns))
    }
}

/// The turns of an object; `is_shared` says whether the object serves all sessions.
fn turns(contract: &ContractDescriptor, concurrency: Concurrency, is_shared: bool) -> Option<Arc<TurnQueue>> {
    match concurrency {
        Concurrency::Multiple => None,
        Concurrency::Single => Some(TurnQueue::new(contract.name(), false, is_shared)),
        Concurrency::Reentrant => Some(TurnQueue::new(contract.name(), true, is_shared)),
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("contract", &self.contract.name())
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// A value that can be hosted: a [`Service`].
///
/// A server's or client's builder takes this, so that a function of yours can take the same:
///
/// ```
/// use rpc_core::{Hosting, HostingError, IntoService};
///
/// fn host(service: impl IntoService) -> Result<Hosting, HostingError> {
///     Hosting::builder().service(service).build()
/// }
/// # #[rpc_core::service]
/// # trait Clock {}
/// # struct Tower;
/// # impl Clock for Tower {}
///
/// assert!(host(Tower.serve()).is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a hosted service",
    label = "this is the object itself",
    note = "host it with `serve`: `Chat::serve(object)` or `object.serve()`, with the trait of the contract in scope"
)]
pub trait IntoService {
    /// The service.
    fn into_service(self) -> Service;
}

impl IntoService for Service {
    fn into_service(self) -> Service {
        self
    }
}
