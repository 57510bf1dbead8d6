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
//! `listen` at the builder is the short way. A [`Server`] is a handle that can be cloned; it listens at any number of
//! addresses ([`Server::builder`], [`ServerBuilder::build`], [`Server::listen`]) and serves beside web pages in another
//! HTTP server ([`Server::upgrade`]).
//!
//! WebSockets without contracts: the module `raw`.
//!
//! A server's `Cargo.toml` needs this crate alone: what else a server names, of `rpc-core`, is here under the same
//! name.

mod builder;
mod caps;
mod error;
mod handle;
mod listener;
mod origin;
#[cfg(feature = "raw")]
pub mod raw;
mod server;
mod sessions;
mod shared;
mod socket;
mod upgrade;

pub use builder::ServerBuilder;
pub use error::{BuildError, ListenError};
pub use handle::ServerHandle;
pub use listener::Listener;
pub use server::Server;
pub use sessions::{SessionChange, SessionChanges, Sessions};
pub use upgrade::{Upgrade, UpgradeBody, UpgradeFuture};

#[doc(hidden)]
pub use rpc_core::__private;
pub use rpc_core::{
    __macros::{server_callback as callback, server_service as service},
    CallError, CallOptions, CheckedConfig, CloseCode, Closed, Closing, Code, Concurrency, Config, ConfigError,
    ConfigValue, ConnectionError, ConnectionInfo, Context, Execution, Hosting, HostingBuilder, HostingError,
    IntoService, IntoStreaming, MemoryPool, NoFault, ParseSessionIdError, Peer, Principal, ProtocolError, Reason,
    Scope, Service, Session, SessionHooks, SessionId, SessionState, Side, Stats, Status, StreamSender, Streaming, Stub,
    UnknownCode, async_trait, contract, intercept, logging, session, text,
};
