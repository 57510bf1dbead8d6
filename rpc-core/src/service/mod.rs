//! Hosting a contract: an object, its methods, and what a handler's future is made of.

mod arguments;
mod hosting;
mod incoming;
mod reply;
mod runner;

use std::{fmt, sync::Arc};

use crate::contract::ContractDescriptor;

pub use arguments::Arguments;
pub use hosting::{Hosting, HostingBuilder, HostingError};
pub use incoming::Incoming;
pub use reply::Completion;
pub(crate) use reply::Reply;
pub use runner::Runner;

/// How a method of a hosted object is started.
type Start<T> = fn(&Arc<T>, u32, Incoming, &mut Runner);

/// An object that hosts a contract: what `Chat::serve(object)` gives.
#[derive(Clone)]
pub struct Service {
    contract: &'static ContractDescriptor,
    host: Arc<dyn Host>,
}

/// Something that starts methods.
pub(crate) trait Host: Send + Sync {
    fn start(&self, method: u32, call: Incoming, runner: &mut Runner);
}

struct Hosted<T> {
    object: Arc<T>,
    start: Start<T>,
}

impl<T: Send + Sync + 'static> Host for Hosted<T> {
    fn start(&self, method: u32, call: Incoming, runner: &mut Runner) {
        (self.start)(&self.object, method, call, runner);
    }
}

impl Service {
    /// Hosts `object`, whose methods `start` starts.
    #[doc(hidden)]
    pub fn host<T: Send + Sync + 'static>(contract: &'static ContractDescriptor, object: T, start: Start<T>) -> Self {
        Self { contract, host: Arc::new(Hosted { object: Arc::new(object), start }) }
    }

    /// The contract.
    pub fn contract(&self) -> &'static ContractDescriptor {
        self.contract
    }

    pub(crate) fn start(&self, method: u32, call: Incoming, runner: &mut Runner) {
        self.host.start(method, call, runner);
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("contract", &self.contract.name()).finish_non_exhaustive()
    }
}

/// What can be hosted: a [`Service`].
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
