//! `Hosting`: the contracts that one end hosts, with their methods by number.

use std::{fmt, sync::Arc};

use super::{
    Instance, IntoService, Service, SessionHooks,
    authorizer::Authorizer,
    hosting_error::HostingError,
    no_cancel::{NoCancelLimit, NoCancelPermit},
    offer::{announced, handshake_len, hello_len, withhold},
};
use crate::{
    config::{HANDSHAKE, MAX_CONTRACTS},
    contract::{ContractDescriptor, MethodDescriptor, RESERVED},
    credential::Credential,
    error::ConnectionError,
    logging::LogLimit,
    peer::{ConnectionInfo, Facts, Interceptor, ObservedCalls, Observer, Observers, Principal, Session, now},
    proto::MemoryPool,
    status::Status,
    wire::{HostedContract, WithheldContract},
};

/// The contracts, hooks and interceptors that one end uses in its sessions. Cheap to clone.
///
/// The builders of servers and clients make one of their own. A program makes one for a session in memory.
///
/// ```
/// use rpc_core::{Hosting, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Clock {
///     async fn hour(&self) -> u8;
/// }
///
/// struct Tower;
///
/// impl Clock for Tower {
///     async fn hour(&self) -> u8 {
///         12
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Hosting::builder().service(Tower.serve()).build()?;
/// assert_eq!(server.contracts().collect::<Vec<_>>(), ["Clock"]);
///
/// // The client hosts nothing.
/// let (_at_server, at_client) = connect_in_memory(&server, &Hosting::default());
/// assert_eq!(at_client.client::<ClockClient>().hour().await?, 12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hosting {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    services: Vec<Service>,
    hooks: Vec<Arc<dyn SessionHooks>>,
    interceptors: Arc<[Arc<dyn Interceptor>]>,
    observers: Observers,
    /// Sorted by number.
    methods: Vec<Entry>,
    /// Limits the running handlers of `no_cancel` methods.
    no_cancel: NoCancelLimit,
    memory: Option<MemoryPool>,
    replay: Option<MemoryPool>,
    authorizer: Authorizer,
}

/// A hosted method.
#[derive(Clone, Copy, Debug)]
struct Entry {
    method: &'static MethodDescriptor,
    service: usize,
}

/// Collects the contracts, hooks and interceptors of a [`Hosting`].
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{Hosting, HostingError, intercept::TimeoutCap};
///
/// #[rpc_core::service]
/// trait Clock {}
///
/// struct Tower;
///
/// impl Clock for Tower {}
///
/// let cap = TimeoutCap::incoming(Duration::from_secs(5));
/// assert!(Hosting::builder().service(Tower.serve()).interceptor(cap).build().is_ok());
///
/// let twice = Hosting::builder().service(Tower.serve()).service(Tower.serve()).build();
/// assert_eq!(twice.unwrap_err(), HostingError::HostedTwice { name: "Clock" });
/// ```
#[derive(Default)]
pub struct HostingBuilder {
    services: Vec<Service>,
    hooks: Vec<Arc<dyn SessionHooks>>,
    interceptors: Vec<Arc<dyn Interceptor>>,
    observers: Vec<Arc<dyn Observer>>,
    memory: Option<MemoryPool>,
    replay: Option<MemoryPool>,
    authorizer: Authorizer,
    /// The framework's own contract.
    renewals: Option<Service>,
}

/// Each Hello may cause such a log line, so the lines are limited.
static OTHER_VERSION: LogLimit = LogLimit::new();

impl Hosting {
    /// A builder without contracts, hooks and interceptors.
    pub fn builder() -> HostingBuilder {
        HostingBuilder::default()
    }

    /// The names of the hosted contracts.
    pub fn contracts(&self) -> impl Iterator<Item = &'static str> {
        self.inner.services.iter().map(|service| service.contract().name())
    }

    /// The contracts as the handshake announces them.
    pub(crate) fn announced(&self) -> Vec<HostedContract> {
        announced(&self.inner.services)
    }

    /// Checks that a credential fits the Hello that announces the contracts. The error says why it does not.
    #[doc(hidden)]
    pub fn __check_hello(&self, credential: &Credential) -> Result<(), String> {
        let bytes = hello_len(&self.inner.services, credential);
        if bytes <= HANDSHAKE {
            return Ok(());
        }
        Err(format!(
            "with the names of {} callback contracts it makes a Hello of {bytes} bytes, and every server takes {HANDSHAKE} \
             bytes at most; show a shorter one, or one that goes with the upgrade (Credential::bearer)",
            self.inner.services.len()
        ))
    }

    /// What a server tells a client: the contracts that are offered to the client, and the contracts that are not.
    pub(crate) fn offer(&self, is_offered: impl Iterator<Item = bool>) -> (Vec<HostedContract>, Vec<WithheldContract>) {
        let (offered, withheld): (Vec<_>, Vec<_>) =
            self.inner.services.iter().zip(is_offered).partition(|(_, is_offered)| *is_offered);
        let services = |of: Vec<(_, bool)>| of.into_iter().map(|(service, _): (&Service, _)| service);
        (announced(services(offered)), services(withheld).filter_map(withhold).collect())
    }

    /// Logs that a client's callback contracts, of which these are all, are of other versions than this side's.
    pub(crate) fn compare(&self, theirs: &[HostedContract]) {
        for callback in self.inner.services.iter().filter_map(|service| service.contract().callback()) {
            let of_name = theirs.iter().find(|hosted| hosted.name == callback.name());
            if of_name.is_some_and(|hosted| hosted.fingerprint != callback.fingerprint()) {
                if let Some(more) = OTHER_VERSION.admit(now()) {
                    tracing::warn!(
                        contract = callback.name(),
                        "a client was built from another version of this contract{more}"
                    );
                }
            }
        }
    }

    /// The position of a method among all hosted methods.
    pub(crate) fn find(&self, method: u32) -> Option<usize> {
        self.inner.methods.binary_search_by_key(&method, |entry| entry.method.id()).ok()
    }

    /// The number of hosted methods.
    pub(crate) fn len(&self) -> usize {
        self.inner.methods.len()
    }

    pub(crate) fn method(&self, index: usize) -> &'static MethodDescriptor {
        self.inner.methods[index].method
    }

    /// The answer to a call of a method that is hosted, and whose contract is not offered to the caller.
    pub(crate) fn not_offered(&self, index: usize) -> Status {
        let contract = self.inner.services[self.service_of(index)].contract();
        let (name, callback) = (contract.name(), contract.required_callback().map_or("", ContractDescriptor::name));
        Status::unimplemented(format!(
            "`{name}` is only for clients that host the callback contract `{callback}`; \
             connect with .callback({callback}::serve(object))"
        ))
        .not_executed()
    }

    /// The position of the contract that a method belongs to.
    pub(crate) fn service_of(&self, index: usize) -> usize {
        self.inner.methods[index].service
    }

    /// Whether it depends on the other side whether it may call a method.
    #[inline]
    pub(crate) fn is_guarded(&self, method: &MethodDescriptor) -> bool {
        self.inner.authorizer.guards(method)
    }

    /// Checks that the other side may call a method. Runs users' code.
    pub(crate) fn authorize(&self, method: &MethodDescriptor, facts: &Facts) -> Result<(), Status> {
        self.inner.authorizer.check(method, || facts.principal())
    }

    /// A permit to run the handler of a `no_cancel` method; `None` if `most` such handlers run already.
    pub(crate) fn acquire_no_cancel(&self, most: usize) -> Option<NoCancelPermit> {
        self.inner.no_cancel.acquire(most)
    }

    /// The pool that bounds the memory of all sessions together.
    pub(crate) fn memory(&self) -> Option<&MemoryPool> {
        self.inner.memory.as_ref()
    }

    /// The pool of what all sessions together keep to be resumed.
    pub(crate) fn replay(&self) -> Option<&MemoryPool> {
        self.inner.replay.as_ref()
    }

    pub(crate) fn hooks(&self) -> &[Arc<dyn SessionHooks>] {
        &self.inner.hooks
    }

    pub(crate) fn interceptors(&self) -> &Arc<[Arc<dyn Interceptor>]> {
        &self.inner.interceptors
    }

    pub(crate) fn observers(&self) -> &Observers {
        &self.inner.observers
    }

    /// Tells the observers of a client that has got no session. `info` is asked if there are any.
    #[doc(hidden)]
    pub fn __session_failed(&self, info: impl FnOnce() -> ConnectionInfo, reason: &ConnectionError) {
        if !self.inner.observers.is_empty() {
            let info = info();
            self.inner.observers.tell(|observer| observer.session_failed(&info, reason));
        }
    }

    /// The objects that serve a session, by the position of their contract. A server has no object for a contract whose
    /// callback contract the client does not host.
    pub(crate) async fn open(&self, session: &Session, is_server: bool) -> Result<Vec<Option<Instance>>, Status> {
        let mut instances = Vec::with_capacity(self.inner.services.len());
        for service in &self.inner.services {
            let required = service.contract().required_callback().filter(|_| is_server);
            let is_offered = required.is_none_or(|callback| session.hosts(callback.name()));
            instances.push(if is_offered { Some(service.open(session).await?) } else { None });
        }
        Ok(instances)
    }
}

impl HostingBuilder {
    /// Hosts one more contract.
    #[must_use]
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.services.push(service.into_service());
        self
    }

    /// Adds code that runs when a session opens and when it has ended.
    #[must_use]
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        self.hooks.push(Arc::new(hooks));
        self
    }

    /// Adds code around every call, further inside than the interceptors that were added before.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Adds an observer of calls and sessions. It sees calls from outside all interceptors.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Decides whether a principal has a role, for the methods with `#[rpc(allow = "role")]`. It runs before the
    /// interceptors and the method, at each call of such a method, so it must not block. A second call replaces the
    /// first one.
    #[must_use]
    pub fn authorizer(mut self, decide: impl Fn(&Principal, &str) -> bool + Send + Sync + 'static) -> Self {
        self.authorizer.decide_by(Arc::new(decide));
        self
    }

    /// Refuses the calls of all methods whose contracts do not say who may call them. `#[rpc(allow = "*")]` opens a
    /// method to every caller.
    #[must_use]
    pub fn deny_by_default(mut self) -> Self {
        self.authorizer.deny_by_default();
        self
    }

    /// Bounds the memory that the other sides can make all sessions of this hosting hold together. A server makes a
    /// pool itself; see `ServerBuilder::memory`.
    #[must_use]
    pub fn memory(mut self, pool: MemoryPool) -> Self {
        self.memory = Some(pool);
        self
    }

    /// Counts what all sessions together keep to be resumed in this pool; see `ServerBuilder::replay_total`.
    #[doc(hidden)]
    #[must_use]
    pub fn __replay(mut self, pool: MemoryPool) -> Self {
        self.replay = Some(pool);
        self
    }

    /// Hosts the framework's own contract, which every caller may call.
    #[doc(hidden)]
    #[must_use]
    pub fn __renewals(self, service: Service) -> Self {
        Self { renewals: Some(service), ..self }
    }

    /// Builds the hosting.
    ///
    /// # Errors
    ///
    /// If two contracts have the same name or two methods the same number, if a name begins with `rpc.`, which is
    /// reserved, if the names of the contracts do not fit a handshake, or if a method is for callers with a role and
    /// there is no [`authorizer`](Self::authorizer).
    pub fn build(self) -> Result<Hosting, HostingError> {
        let Self { mut services, hooks, mut interceptors, observers, memory, replay, authorizer, renewals } = self;
        // The authorizer knows the framework's own contract by its name.
        if let Some(name) = services.iter().map(|own| own.contract().name()).find(|name| name.starts_with(RESERVED)) {
            return Err(HostingError::ReservedName { name });
        }
        services.extend(renewals);
        if services.len() > MAX_CONTRACTS {
            return Err(HostingError::TooMany { contracts: services.len() });
        }
        let bytes = handshake_len(&services);
        if bytes > HANDSHAKE {
            return Err(HostingError::TooLong { contracts: services.len(), bytes, most: HANDSHAKE });
        }
        let mut methods: Vec<Entry> = Vec::new();
        for (index, service) in services.iter().enumerate() {
            let contract = service.contract();
            let name = contract.name();
            if let Some(other) = services[..index].iter().map(Service::contract).find(|other| other.name() == name) {
                let is_same = other.fingerprint() == contract.fingerprint();
                return Err(match is_same {
                    true => HostingError::HostedTwice { name },
                    false => HostingError::SameName { name },
                });
            }
            methods.extend(contract.methods().iter().map(|&method| Entry { method, service: index }));
        }
        methods.sort_by_key(|entry| entry.method.id());
        for pair in methods.windows(2) {
            let [first, second] = [pair[0].method, pair[1].method];
            if first.id() == second.id() {
                let [first_name, second_name] = [first, second].map(|m| format!("{}.{}", m.contract(), m.name()));
                return Err(HostingError::SameMethodId { id: first.id(), first: first_name, second: second_name });
            }
        }
        let roles = methods.iter().map(|entry| (entry.method, authorizer.undecided(entry.method)));
        for (method, role) in roles {
            if let Some(role) = role {
                return Err(HostingError::NoAuthorizer { method: method.to_string(), role });
            }
        }
        let observers = Observers::new(observers);
        if !observers.is_empty() {
            interceptors.insert(0, Arc::new(ObservedCalls(observers.clone())));
        }
        let (interceptors, no_cancel) = (interceptors.into(), NoCancelLimit::default());
        let inner = Inner { services, hooks, interceptors, observers, methods, no_cancel, memory, replay, authorizer };
        Ok(Hosting { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosting")
            .field("services", &self.services)
            .field("hooks", &self.hooks.len())
            .field("interceptors", &self.interceptors.len())
            .finish()
    }
}

impl fmt::Debug for HostingBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostingBuilder")
            .field("services", &self.services)
            .field("hooks", &self.hooks.len())
            .field("interceptors", &self.interceptors.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_frameworks_own_contracts_is_refused() {
        static SESSION: ContractDescriptor = ContractDescriptor::new("rpc.Session", &[]);
        static OTHER: ContractDescriptor = ContractDescriptor::new("rpc.", &[]);
        let service = |contract| Service::host(contract, (), |_, _, _, _| unreachable!("there is no method"));
        for contract in [&SESSION, &OTHER] {
            let error = Hosting::builder().service(service(contract)).build().unwrap_err();
            assert_eq!(error, HostingError::ReservedName { name: contract.name() });
            assert!(error.to_string().contains("`rpc.`"), "{error}");
        }
        let hosting = Hosting::builder().__renewals(service(&SESSION)).build().unwrap();
        assert_eq!(hosting.contracts().collect::<Vec<_>>(), ["rpc.Session"]);
    }
}
