//! Duplex RPC: contracts, errors, settings and sessions; what a server and its clients share.
//!
//! A contract is a trait. [`service`] and [`callback`] generate both ends of it: a client (`ChatClient` of `Chat`) and
//! `serve`, which hosts an object. `rpc-server` and `rpc-client` put sessions on sockets and have all that their users
//! need of this crate under the same names. So a crate names one of the three: a contract crate this one, a server
//! `rpc-server`, a client `rpc-client`.
//!
//! ```
//! use rpc_core::{Context, Hosting, Status, session};
//!
//! /// Hosted by the client.
//! #[rpc_core::callback]
//! trait Visitor {
//!     async fn name(&self) -> String;
//! }
//!
//! /// Hosted by the server.
//! #[rpc_core::service(callback = Visitor)]
//! trait Greeter {
//!     async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status>;
//! }
//!
//! struct Doorman;
//!
//! impl Greeter for Doorman {
//!     async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status> {
//!         Ok(format!("{greeting}, {}!", cx.peer().name().await?))
//!     }
//! }
//!
//! struct Ada;
//!
//! impl Visitor for Ada {
//!     async fn name(&self) -> String {
//!         "Ada".to_owned()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Both ends in one process, as in a test; over a network, `Server::listen` and `GreeterClient::connect` do this.
//! let server = Hosting::builder().service(Doorman.serve()).build()?;
//! let client = Hosting::builder().service(Ada.serve()).build()?;
//! let (_, session) = session::connect_in_memory(&server, &client);
//!
//! let greeter: GreeterClient = session.client();
//! assert_eq!(greeter.greet("Hello").await?, "Hello, Ada!");
//! # Ok(())
//! # }
//! ```
//!
//! # The guide
//!
//! [`guide`] shows how to build with this crate, page by page, and has chapters for readers who come from another
//! framework.
//!
//! # Errors
//!
//! A method that returns plainly gives `Result<T, Status>` at its caller; one that returns `Result<T, E>` gives
//! `Result<T, CallError<E>>`. A [`Status`] has one of gRPC's codes and says whether the method may have run
//! ([`Execution`]); [`Status::is_retryable`] draws the conclusion. Why a session ended is a [`ConnectionError`].
//!
//! # Cancelling and deadlines
//!
//! A call is sent at its future's first poll. Dropping the future cancels it on the other side, where the handler's
//! future is dropped at its next await. Every call has a deadline ([`Config::call_timeout`], `#[rpc(timeout = "…")]`,
//! [`CallOptions::timeout`]), and calls made inside a handler inherit what is left of the handler's own, as do futures
//! in [`Context::scope`].
//!
//! # Limits
//!
//! [`Config`] has the limits that a program may have reason to change. `docs/limits.md` adds them up, and lists the
//! others.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "session")]
mod backoff;
#[cfg(feature = "session")]
mod cancel_reason;
pub mod config;
#[cfg(feature = "session")]
mod context;
pub mod contract;
mod credential;
pub mod error;
#[cfg(feature = "session")]
mod groups;
#[cfg(feature = "session")]
pub mod guide;
#[cfg(feature = "session")]
pub mod intercept;
pub mod logging;
#[cfg(feature = "session")]
pub mod observe;
mod overflow;
#[cfg(feature = "session")]
mod panics;
#[cfg(feature = "session")]
mod peer;
mod proto;
#[cfg(feature = "raw")]
pub mod raw;
#[cfg(feature = "session")]
mod renewal;
#[cfg(feature = "session")]
mod service;
#[cfg(feature = "session")]
pub mod session;
pub mod status;
pub mod text;
#[cfg(feature = "tls")]
mod tls;
mod wire;

#[cfg(feature = "session")]
pub use async_trait::async_trait;
#[cfg(feature = "session")]
pub use cancel_reason::CancelReason;
pub use config::{Config, ConfigBuilder, ConfigError, ConfigValue};
#[cfg(feature = "session")]
pub use context::Context;
pub use credential::Credential;
pub use error::{
    CallError, CallViolation, CloseCode, ConnectionError, HandshakeViolation, MemoryLimit, Overload, ProtocolError,
    Side, StreamViolation, TimeLimit, Timeout, TransferViolation, WebSocketViolation,
};
#[cfg(feature = "session")]
pub use groups::{Answers, Audience, Broadcast, Delivery, GroupStub, Member};
#[cfg(feature = "session")]
#[doc(no_inline)]
pub use http;
pub use overflow::Overflow;
#[cfg(feature = "session")]
pub use peer::{
    CallOptions, Closed, Closing, ConnectionInfo, Identity, IntoStreaming, NoFault, ParseSessionIdError, Peer,
    PeerCertificate, Principal, Scope, Session, SessionId, SessionState, Stats, StreamSender, Streaming, Stub, TlsInfo,
};
pub use proto::MemoryPool;
pub use rpc_macros::{callback, service};
#[cfg(feature = "session")]
pub use service::{Concurrency, Hosting, HostingBuilder, HostingError, IntoService, Resume, Service, SessionHooks};
pub use status::{Code, Execution, Reason, Status, UnknownCode};
#[cfg(feature = "tls")]
pub use tls::TlsError;

/// What generated code names. Not for people: it may change in any release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __private {
    pub use core::{
        self,
        future::Future,
        marker::{Send, Sized, Sync},
        ops::Fn,
        result::Result,
    };
    pub use std::{self, sync::Arc};

    pub use bytes::Bytes;
    pub use serde;

    pub use crate::{
        Answers, Audience, Broadcast, CallError, CallOptions, Context, GroupStub, IntoStreaming, NoFault, Overflow,
        Peer, Service, Session, Status, Streaming, Stub,
        contract::{ContractDescriptor, MethodDescriptor, method_id},
        peer::{
            Binary, CallsBack, ContextPeer, DecodeFault, Fallible, LaidValue, Output, OverflowKey, Single,
            StreamWriter, StreamWriters, Streamed, Value, decoded,
        },
        service::{Aliased, Arguments, Fault, HandlerOutput, Incoming, Known, Lacks, Probe, Runner, Travels, Unknown},
        wire::{Bin, Blob, Boxed, Each, Entries, Laid, LaidRef, Maybe, Nil, NoArguments, Octets, Same},
    };
}

/// The wire format and the state machine of a connection, for the tests, vectors, fuzzers and benchmarks of this
/// project. Not for people: it may change in any release.
#[doc(hidden)]
pub mod __internals {
    pub mod proto {
        pub use crate::proto::*;
    }

    pub mod wire {
        pub use crate::wire::*;
    }
}

/// What `rpc-server` and `rpc-client` share for TLS. Not for people: it may change in any release.
#[cfg(feature = "tls")]
#[doc(hidden)]
pub mod __tls {
    pub use crate::tls::{ALPN, Pem, WRITE_AHEAD, certified_key, provider};
}

/// The reserved contract `rpc.Session`, which a server hosts and a client calls. Not for people: it may change in any
/// release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __renewal {
    pub use crate::renewal::{Renewal, RenewalClient};
}

/// What `rpc-client` makes its clients of. Not for people: it may change in any release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __client {
    pub use crate::{backoff::backoff, peer::ClientSessions, proto::LostCalls};
}

/// What `rpc-server` makes its groups of. Not for people: it may change in any release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __groups {
    pub use crate::groups::{Audience, Members, Selection};
}

/// What `rpc-server` drains and weighs its sessions with. Not for people: it may change in any release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __server {
    pub use crate::{peer::drain_together, proto::Kept};
}

/// The macros as `rpc-server` and `rpc-client` re-export them. Not for people: it may change in any release.
#[cfg(feature = "session")]
#[doc(hidden)]
pub mod __macros {
    pub use rpc_macros::{client_callback, client_service, server_callback, server_service};
}
