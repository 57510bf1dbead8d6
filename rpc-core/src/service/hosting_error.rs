//! `HostingError`: why contracts cannot be hosted together.

use std::{error, fmt};

use crate::{config::MAX_CONTRACTS, contract::RESERVED};

/// Why contracts cannot be hosted together. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostingError {
    /// Two different contracts have one name.
    SameName {
        /// The name.
        name: &'static str,
    },
    /// One contract is hosted twice.
    HostedTwice {
        /// The name of the contract.
        name: &'static str,
    },
    /// A contract has a name of the framework's own contracts.
    ReservedName {
        /// The name.
        name: &'static str,
    },
    /// Two methods have one number.
    SameMethodId {
        /// The number.
        id: u32,
        /// One of the methods, as `Contract.method`.
        first: String,
        /// The other method, as `Contract.method`.
        second: String,
    },
    /// More contracts than a session may have.
    TooMany {
        /// The number of contracts.
        contracts: usize,
    },
    /// A contract says that a method is for callers with a role, and nothing decides who has it.
    NoAuthorizer {
        /// The method, as `Contract.method`.
        method: String,
        /// The role.
        role: &'static str,
    },
    /// The names of the contracts do not fit the handshake, whose length is limited.
    TooLong {
        /// The number of contracts.
        contracts: usize,
        /// The number of bytes of a handshake that announces the contracts.
        bytes: usize,
        /// The number of bytes of a handshake that every peer accepts.
        most: usize,
    },
}

impl fmt::Display for HostingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { contracts } => write!(
                f,
                "{contracts} contracts are hosted together, and a session has {MAX_CONTRACTS} at most; put their methods into fewer contracts"
            ),
            Self::TooLong { contracts, bytes, most } => write!(
                f,
                "the names of {contracts} contracts and the windows of their methods make a handshake of {bytes} bytes, and every peer takes {most} bytes at most before it is done; shorten the names (#[service(name = \"…\")]), or put their methods into fewer contracts"
            ),
            Self::NoAuthorizer { method, role } => write!(
                f,
                "{method} is for callers with the role `{role}`, and nothing decides who has it; add .authorizer(|principal, role| ..) where it is hosted"
            ),
            Self::ReservedName { name } => write!(
                f,
                "a contract named `{name}` is hosted, and names that begin with `{RESERVED}` are those of the framework's own contracts; give it another name: #[service(name = \"…\")]"
            ),
            Self::SameName { name } => write!(
                f,
                "two contracts named `{name}` are hosted together; give one of them another name: #[service(name = \"…\")]"
            ),
            Self::HostedTwice { name } => {
                write!(f, "the contract `{name}` is hosted twice; remove one `.service(…)` or `.callback(…)`")
            }
            Self::SameMethodId { id, first, second } => write!(
                f,
                "the methods {first} and {second} have the same number {id:#010x}; give one of them another: #[rpc(id = 0x…)]"
            ),
        }
    }
}

impl error::Error for HostingError {}
