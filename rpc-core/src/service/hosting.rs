//! `Hosting`: the contracts that one end hosts, and their methods by number.

use std::{fmt, sync::Arc};

use super::{IntoService, Service};
use crate::{contract::MethodDescriptor, status::Status, wire::HostedContract};

/// The contracts that one end hosts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hosting {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    services: Vec<Service>,
    /// By number, sorted.
    methods: Vec<Entry>,
}

/// A hosted method.
#[derive(Clone, Copy, Debug)]
struct Entry {
    method: &'static MethodDescriptor,
    service: usize,
}

/// Collects the contracts that one end hosts.
#[derive(Debug, Default)]
pub struct HostingBuilder {
    services: Vec<Service>,
}

/// Contracts that cannot be hosted together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostingError {
    /// Two contracts have one name.
    SameName {
        /// The name.
        name: &'static str,
    },
    /// Two methods have one number.
    SameMethodId {
        /// The number.
        id: u32,
        /// One of them, as `Contract.method`.
        first: String,
        /// The other one.
        second: String,
    },
}

impl Hosting {
    /// Starts with nothing.
    pub fn builder() -> HostingBuilder {
        HostingBuilder::default()
    }

    /// The names of the contracts.
    pub fn contracts(&self) -> impl Iterator<Item = &'static str> {
        self.inner.services.iter().map(|service| service.contract().name())
    }

    /// What the handshake says of them.
    pub(crate) fn announced(&self) -> Vec<HostedContract> {
        let services = self.inner.services.iter().map(Service::contract);
        services.map(|c| HostedContract { name: c.name().to_owned(), fingerprint: c.fingerprint() }).collect()
    }

    /// Whether a client that hosts `theirs` can be served: every callback contract must be there.
    pub(crate) fn judge(&self, theirs: &[HostedContract]) -> Result<(), Status> {
        for service in &self.inner.services {
            let contract = service.contract();
            let Some(callback) = contract.callback() else { continue };
            match theirs.iter().find(|hosted| hosted.name == callback.name()) {
                None => {
                    let (name, callback) = (contract.name(), callback.name());
                    return Err(Status::failed_precondition(format!(
                        "the contract `{name}` calls back through `{callback}`, which the client does not host: \
                         connect with `.callback({callback}::serve(object))`"
                    )));
                }
                Some(hosted) if hosted.fingerprint != callback.fingerprint() => {
                    tracing::warn!(
                        contract = callback.name(),
                        "the client was built from another version of this contract"
                    );
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Logs contracts that both sides know in different versions.
    pub(crate) fn compare(&self, theirs: &[HostedContract]) {
        tracing::trace!(hosts = ?theirs, "the other side's contracts");
    }

    /// The position of a method among all that are hosted.
    pub(crate) fn find(&self, method: u32) -> Option<usize> {
        self.inner.methods.binary_search_by_key(&method, |entry| entry.method.id()).ok()
    }

    /// How many methods are hosted.
    pub(crate) fn len(&self) -> usize {
        self.inner.methods.len()
    }

    pub(crate) fn method(&self, index: usize) -> &'static MethodDescriptor {
        self.inner.methods[index].method
    }

    pub(crate) fn service_of(&self, index: usize) -> &Service {
        &self.inner.services[self.inner.methods[index].service]
    }
}

impl HostingBuilder {
    /// Adds a contract.
    #[must_use]
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.services.push(service.into_service());
        self
    }

    /// Checks that all can be told apart.
    pub fn build(self) -> Result<Hosting, HostingError> {
        let services = self.services;
        let mut methods: Vec<Entry> = Vec::new();
        for (index, service) in services.iter().enumerate() {
            let contract = service.contract();
            if services[..index].iter().any(|other| other.contract().name() == contract.name()) {
                return Err(HostingError::SameName { name: contract.name() });
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
        Ok(Hosting { inner: Arc::new(Inner { services, methods }) })
    }
}

impl fmt::Display for HostingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName { name } => write!(
                f,
                "two contracts named `{name}` are hosted together; give one of them another name: #[service(name = \"…\")]"
            ),
            Self::SameMethodId { id, first, second } => write!(
                f,
                "the methods {first} and {second} have the same number {id:#010x}; give one of them another: #[rpc(id = 0x…)]"
            ),
        }
    }
}

impl std::error::Error for HostingError {}
