//! Hosts Duplex RPC services: HTTP upgrade, listener, sessions and shutdown in good order.
//!
//! ```
//! use rpc_server::Server;
//!
//! #[rpc_server::service]
//! trait Adder {
//!     async fn add(&self, a: i64, b: i64) -> i64;
//! }
//!
//! struct Calculator;
//!
//! impl Adder for Calculator {
//!     async fn add(&self, a: i64, b: i64) -> i64 {
//!         a + b
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().service(Calculator.serve()).listen("127.0.0.1:0").await?;
//! println!("listening at ws://{}/", server.local_addr());
//! // … until it is time to go:
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! `listen` of the builder is the short way. A [`Server`] is a handle that can be cloned. It listens at any number of
//! addresses ([`Server::builder`], [`ServerBuilder::build`], [`Server::listen`]) and serves beside web pages in another
//! HTTP server ([`Server::upgrade`]).
//!
//! `listen_tls`, at the builder and at the server, listens by TLS (`wss://` URLs) with a certificate and key: `Tls`.
//! The default feature `tls` brings TLS, with the cryptography of ring; with the feature `aws-lc-rs`, it uses the
//! cryptography of aws-lc-rs.
//!
//! WebSockets without contracts: the module `raw`.
//!
//! The [guide] shows, page by page, how to build with this crate; its page on [hosting](guide::hosting) is about
//! servers.
//!
//! A server's `Cargo.toml` needs this crate alone: it re-exports the items of `rpc-core` that a server needs, under the
//! same names.

mod admission;
mod auth;
mod builder;
mod caps;
mod error;
mod front;
mod groups;
mod handle;
mod headers;
mod http_stream;
mod listener;
#[cfg(feature = "raw")]
pub mod raw;
mod routes;
mod server;
mod sessions;
mod shared;
mod signal;
mod socket;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
mod tls;
#[cfg(unix)]
mod unix;
mod upgrade;

pub use auth::{AuthError, AuthErrorKind, AuthRequest, Authenticator, Verdict};
pub use builder::ServerBuilder;
pub use error::{BuildError, ListenError};
pub use front::{Front, FrontFuture};
pub use groups::{Group, GroupName, Groups, JoinError, LeaveReason, Presence, PresenceChange, SessionGroups};
pub use handle::ServerHandle;
#[cfg(unix)]
pub use listener::UnixListener;
pub use listener::{ListenOptions, Listener};
pub use routes::{FrontBody, RequestBody, RouteService};
pub use server::Server;
pub use sessions::{SessionChange, SessionChanges, Sessions};
#[cfg(feature = "tls")]
pub use tls::Tls;
pub use upgrade::{Upgrade, UpgradeBody, UpgradeFuture};

#[doc(hidden)]
pub use rpc_core::__private;
#[cfg(feature = "tls")]
pub use rpc_core::TlsError;
pub use rpc_core::{
    __macros::{server_callback as callback, server_service as service},
    Answers, Audience, Broadcast, CallError, CallOptions, CallViolation, CancelReason, CloseCode, Closed, Closing,
    Code, Concurrency, Config, ConfigBuilder, ConfigError, ConfigValue, ConnectionError, ConnectionInfo, Context,
    Credential, Delivery, Execution, GroupStub, HandshakeViolation, Hosting, HostingBuilder, HostingError, Identity,
    IntoService, IntoStreaming, Member, MemoryLimit, MemoryPool, NoFault, Overflow, Overload, ParseSessionIdError,
    Peer, PeerCertificate, Principal, ProtocolError, Reason, Resume, Scope, Service, Session, SessionHooks, SessionId,
    SessionState, Side, Stats, Status, StreamSender, StreamViolation, Streaming, Stub, TimeLimit, Timeout, TlsInfo,
    TransferViolation, UnknownCode, WebSocketViolation, async_trait, contract, intercept, logging, observe, session,
    text,
};
#[doc(no_inline)]
pub use rpc_core::{guide, http};
