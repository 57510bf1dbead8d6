//! Descriptions of contracts at run time: the name, the methods and their options. The macros generate them.

use std::{
    fmt,
    hash::{Hash, Hasher},
    time::Duration,
};

use crate::overflow::Overflow;

/// What the names of the framework's own contracts begin with, and no other names.
#[cfg(feature = "session")]
pub(crate) const RESERVED: &str = "rpc.";
/// The name of the framework's own contract, which `renewal.rs` has.
#[cfg(feature = "session")]
pub(crate) const RENEWAL: &str = "rpc.Session";

/// A contract: the constant that `#[service]` and `#[callback]` generate from a trait.
///
/// Two descriptors are equal if the contracts have the same name and equal methods in the same order.
///
/// ```
/// use rpc_core::Stub;
///
/// #[rpc_core::service]
/// trait Desk {
///     async fn open(&self);
///     #[rpc(oneway)]
///     async fn note(&self, text: &str, priority: u8);
/// }
///
/// let contract = DeskClient::CONTRACT;
/// assert_eq!(contract.name(), "Desk");
/// let names: Vec<_> = contract.methods().iter().map(|method| method.name()).collect();
/// assert_eq!(names, ["open", "note"]);
/// ```
#[derive(Debug)]
pub struct ContractDescriptor {
    name: &'static str,
    methods: &'static [&'static MethodDescriptor],
    callback: Option<&'static Self>,
    is_callback_optional: bool,
}

impl ContractDescriptor {
    /// A contract with this wire name and these methods.
    pub const fn new(name: &'static str, methods: &'static [&'static MethodDescriptor]) -> Self {
        Self { name, methods, callback: None, is_callback_optional: false }
    }

    /// Names the callback contract of this contract. A client that does not host it is not offered this contract.
    #[must_use]
    pub const fn with_callback(self, callback: &'static Self) -> Self {
        Self { callback: Some(callback), ..self }
    }

    /// Names the callback contract of this contract, which is offered to every client all the same.
    #[must_use]
    pub const fn with_optional_callback(self, callback: &'static Self) -> Self {
        Self { callback: Some(callback), is_callback_optional: true, ..self }
    }

    /// The name on the wire. Contracts that are hosted together have different names.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The methods, in the order of the trait.
    pub const fn methods(&self) -> &'static [&'static MethodDescriptor] {
        self.methods
    }

    /// The callback contract that the handlers call, if the contract names one.
    pub const fn callback(&self) -> Option<&'static Self> {
        self.callback
    }

    /// The callback contract that a client must host to be offered this contract; `None` if there is none, or if it is
    /// optional.
    pub const fn required_callback(&self) -> Option<&'static Self> {
        if self.is_callback_optional { None } else { self.callback }
    }

    /// A hash over the names, ids and arity of the methods, and their options `oneway` and `idempotent`; other options
    /// do not count. Ends whose fingerprints differ were built from different versions of the contract. The framework
    /// logs such a difference, and refuses nothing because of it.
    pub const fn fingerprint(&self) -> u64 {
        let mut hash = fnv1a_64(FNV_64_BASIS, self.name.as_bytes());
        let mut i = 0;
        while i < self.methods.len() {
            let method = self.methods[i];
            hash = fnv1a_64(hash, method.name.as_bytes());
            hash = fnv1a_64(hash, &method.id.to_be_bytes());
            hash = fnv1a_64(hash, &[method.arity, method.oneway as u8, method.idempotent as u8]);
            i += 1;
        }
        hash
    }
}

impl PartialEq for ContractDescriptor {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.methods == other.methods
    }
}

impl Eq for ContractDescriptor {}

impl Hash for ContractDescriptor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.methods.hash(state);
    }
}

/// A method of a contract and its `#[rpc(…)]` options.
///
/// Two descriptors are equal if the methods have the same contract, name and id. Their arguments and options
/// may differ. So a descriptor can be a key, for instance of a table that an interceptor keeps.
///
/// ```
/// use std::collections::HashMap;
///
/// use rpc_core::contract::MethodDescriptor;
///
/// static NOTE: MethodDescriptor = MethodDescriptor::new("Desk", "note", 2).oneway();
/// assert_eq!((NOTE.to_string(), NOTE.arity(), NOTE.is_oneway()), ("Desk.note".to_owned(), 2, true));
///
/// let mut calls: HashMap<&MethodDescriptor, u64> = HashMap::new();
/// *calls.entry(&NOTE).or_default() += 1;
/// assert_eq!(calls[&NOTE], 1);
/// ```
#[derive(Debug)]
pub struct MethodDescriptor {
    contract: &'static str,
    name: &'static str,
    id: u32,
    arity: u8,
    oneway: bool,
    idempotent: bool,
    no_cancel: bool,
    spawn: bool,
    initiating: bool,
    terminating: bool,
    timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    window: Option<usize>,
    allow: Option<&'static str>,
    overflow: Option<Overflow>,
    ttl: Option<Duration>,
}

impl MethodDescriptor {
    /// A method of `contract` with `arity` arguments on the wire; its id is [`method_id`] unless [`Self::with_id`] sets
    /// another.
    pub const fn new(contract: &'static str, name: &'static str, arity: u8) -> Self {
        Self {
            contract,
            name,
            id: method_id(contract, name),
            arity,
            oneway: false,
            idempotent: false,
            no_cancel: false,
            spawn: false,
            initiating: true,
            terminating: false,
            timeout: None,
            idle_timeout: None,
            window: None,
            allow: None,
            overflow: None,
            ttl: None,
        }
    }

    /// `#[rpc(id = …)]`: the method has this id, and not the hash of its name.
    #[must_use]
    pub const fn with_id(self, id: u32) -> Self {
        Self { id, ..self }
    }

    /// `#[rpc(oneway)]`: the call has no answer.
    #[must_use]
    pub const fn oneway(self) -> Self {
        Self { oneway: true, ..self }
    }

    /// `#[rpc(idempotent)]`: the method may safely run twice.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self { idempotent: true, ..self }
    }

    /// `#[rpc(no_cancel)]`: the method, once started, runs to its end.
    #[must_use]
    pub const fn no_cancel(self) -> Self {
        Self { no_cancel: true, ..self }
    }

    /// `#[rpc(spawn)]`: the method runs in a separate task from its beginning, and has no place in the order of calls.
    #[must_use]
    pub const fn spawn(self) -> Self {
        Self { spawn: true, ..self }
    }

    /// `#[rpc(initiating = false)]`: the method is refused until an initiating method has succeeded in the session.
    #[must_use]
    pub const fn not_initiating(self) -> Self {
        Self { initiating: false, ..self }
    }

    /// `#[rpc(terminating)]`: the session ends once the method's successful reply has been delivered.
    #[must_use]
    pub const fn terminating(self) -> Self {
        Self { terminating: true, ..self }
    }

    /// `#[rpc(timeout = "…")]`: how long a call may take unless its caller sets another timeout.
    #[must_use]
    pub const fn with_timeout_ms(self, milliseconds: u64) -> Self {
        Self { timeout: Some(Duration::from_millis(milliseconds)), ..self }
    }

    /// `#[rpc(idle_timeout = "…")]`: how long a call may stand still while streams among its arguments are sent,
    /// unless its caller sets another idle timeout.
    #[must_use]
    pub const fn with_idle_timeout_ms(self, milliseconds: u64) -> Self {
        Self { idle_timeout: Some(Duration::from_millis(milliseconds)), ..self }
    }

    /// `#[rpc(window = …)]`: the window of each stream of the method, in bytes.
    #[must_use]
    pub const fn with_window(self, bytes: usize) -> Self {
        Self { window: Some(bytes), ..self }
    }

    /// `#[rpc(allow = "…")]`: the method is for callers with this role; `*` stands for every caller.
    #[must_use]
    pub const fn with_allow(self, role: &'static str) -> Self {
        Self { allow: Some(role), ..self }
    }

    /// `#[rpc(oneway, overflow = "…")]`: what happens to a call whose receiver does not keep up.
    #[must_use]
    pub const fn with_overflow(self, overflow: Overflow) -> Self {
        Self { overflow: Some(overflow), ..self }
    }

    /// `#[rpc(oneway, ttl = "…")]`: how long a call may wait in the queue of its receiver before it is dropped.
    #[must_use]
    pub const fn with_ttl_ms(self, milliseconds: u64) -> Self {
        Self { ttl: Some(Duration::from_millis(milliseconds)), ..self }
    }

    /// What happens to a call whose receiver does not keep up, if the contract says so.
    pub const fn overflow(&self) -> Option<Overflow> {
        self.overflow
    }

    /// How long a call may wait in the queue of its receiver, if the contract says so.
    pub const fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// The role that a caller of the method needs, if the contract says so; `*` stands for every caller.
    pub const fn allow(&self) -> Option<&'static str> {
        self.allow
    }

    /// The window of each stream of the method in bytes, if the contract fixes the window.
    pub const fn window(&self) -> Option<usize> {
        self.window
    }

    /// [`Self::window`] as the other side is told of it; 0 if there is none.
    pub(crate) fn announced_window(&self) -> u32 {
        self.window.map_or(0, |bytes| u32::try_from(bytes).unwrap_or(u32::MAX).max(1))
    }

    /// The wire name of the contract.
    pub const fn contract(&self) -> &'static str {
        self.contract
    }

    /// The wire name of the method within its contract.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The number that stands for the method on the wire.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The number of arguments on the wire.
    pub const fn arity(&self) -> u8 {
        self.arity
    }

    /// Whether the call has no answer.
    pub const fn is_oneway(&self) -> bool {
        self.oneway
    }

    /// Whether the method may safely run twice.
    pub const fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether the method, once started, runs to its end even if its caller gives up or is gone.
    pub const fn is_no_cancel(&self) -> bool {
        self.no_cancel
    }

    /// Whether the method runs in a separate task from its beginning.
    pub const fn is_spawn(&self) -> bool {
        self.spawn
    }

    /// Whether the method may be the first of its contract to be called in a session.
    pub const fn is_initiating(&self) -> bool {
        self.initiating
    }

    /// Whether the session ends after the method's successful reply.
    pub const fn is_terminating(&self) -> bool {
        self.terminating
    }

    /// How long a call may take, if the contract says so.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How long a call may stand still while streams among its arguments are sent, if the contract says so.
    pub const fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }
}

impl PartialEq for MethodDescriptor {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.contract == other.contract && self.name == other.name
    }
}

impl Eq for MethodDescriptor {}

impl Hash for MethodDescriptor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.contract, self.name, self.id).hash(state);
    }
}

impl fmt::Display for MethodDescriptor {
    /// `Contract.method`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.contract, self.name)
    }
}

const FNV_32_BASIS: u32 = 0x811c_9dc5;
const FNV_32_PRIME: u32 = 0x0100_0193;
const FNV_64_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_64_PRIME: u64 = 0x0100_0000_01b3;

/// The id of a method on the wire: FNV-1a, 32 bits, of `Contract.method` in UTF-8.
pub const fn method_id(contract: &str, method: &str) -> u32 {
    let hash = fnv1a_32(FNV_32_BASIS, contract.as_bytes());
    let hash = fnv1a_32(hash, b".");
    fnv1a_32(hash, method.as_bytes())
}

const fn fnv1a_32(mut hash: u32, bytes: &[u8]) -> u32 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(FNV_32_PRIME);
        i += 1;
    }
    hash
}

const fn fnv1a_64(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_64_PRIME);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_fnv1a_of_the_full_name() {
        // FNV-1a reference values: the empty string is the basis, "a" is 0xe40c292c.
        assert_eq!(fnv1a_32(FNV_32_BASIS, b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(FNV_32_BASIS, b"a"), 0xe40c_292c);
        assert_eq!(method_id("Chat", "join"), fnv1a_32(FNV_32_BASIS, b"Chat.join"));
    }

    #[test]
    fn descriptors_are_equal_by_name_and_id_and_can_be_keys() {
        let method = || MethodDescriptor::new("C", "m", 1);
        let set = HashSet::from([method(), method().oneway(), MethodDescriptor::new("C", "m", 2)]);
        assert_eq!(set, HashSet::from([method()]), "arguments and options do not count");
        for other in [method().with_id(7), MethodDescriptor::new("D", "m", 1), MethodDescriptor::new("C", "n", 1)] {
            assert!(!set.contains(&other), "{other:?}");
        }

        static OTHERS: [[&MethodDescriptor; 2]; 2] = [
            [&MethodDescriptor::new("C", "m", 1), &MethodDescriptor::new("C", "n", 1)],
            [&MethodDescriptor::new("C", "n", 1), &MethodDescriptor::new("C", "m", 1)],
        ];
        let contract = |name, methods| ContractDescriptor::new(name, methods);
        let known = HashSet::from([contract("C", &OTHERS[0]), contract("C", &OTHERS[0])]);
        assert_eq!(known.len(), 1);
        for other in [contract("D", &OTHERS[0]), contract("C", &OTHERS[1]), contract("C", &[])] {
            assert!(!known.contains(&other), "{other:?}");
        }
    }

    #[test]
    fn fingerprints_see_names_arity_and_options() {
        static A: [&MethodDescriptor; 1] = [&MethodDescriptor::new("C", "m", 1)];
        static B: [&MethodDescriptor; 1] = [&MethodDescriptor::new("C", "m", 2)];
        static C: [&MethodDescriptor; 1] = [&MethodDescriptor::new("C", "m", 1).oneway()];
        let prints = [&A, &B, &C].map(|methods| ContractDescriptor::new("C", methods).fingerprint());
        assert_ne!(prints[0], prints[1]);
        assert_ne!(prints[0], prints[2]);
    }
}
