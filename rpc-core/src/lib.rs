//! Duplex RPC: contracts, wire, protocol and sessions; what a server and its clients share.

pub mod config;
#[cfg(feature = "session")]
mod context;
pub mod contract;
pub mod error;
#[cfg(feature = "session")]
mod peer;
pub mod proto;
#[cfg(feature = "session")]
mod service;
#[cfg(feature = "session")]
pub mod session;
pub mod status;
pub mod wire;

pub use config::Config;
#[cfg(feature = "session")]
pub use context::Context;
pub use error::{CallError, CloseCode, ConnectionError, ProtocolError};
#[cfg(feature = "session")]
pub use peer::{CallOptions, ConnectionInfo, Peer, Scope, Session, SessionState, Stats, Stub};
pub use rpc_macros::{callback, service};
#[cfg(feature = "session")]
pub use service::{Hosting, HostingBuilder, HostingError, IntoService, Service};
pub use status::{Code, Execution, Status};

/// What generated code names. Not for people: it may change in any release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __private {
    pub use core;
    pub use std;

    pub use bytes::Bytes;
    pub use serde;

    pub use crate::{
        CallError, CallOptions, Context, Peer, Service, Status, Stub,
        contract::{ContractDescriptor, MethodDescriptor, method_id},
        peer::{Binary, Fallible, Output, Value},
        service::{Arguments, Completion, Incoming, Runner},
        wire::{Bin, NoArguments},
    };
}
