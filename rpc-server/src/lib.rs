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
//! A server's `Cargo.toml` needs this crate alone: what else a server names, of `rpc-core`, is here under the same
//! name.
//!
//! To serve beside web pages in another HTTP server, see [`Upgrade`].

mod error;
mod handle;
mod listener;
mod server;
mod sessions;
mod upgrade;

pub use error::{ListenError, UpgradeError};
pub use handle::ServerHandle;
pub use server::{Server, ServerBuilder};
pub use sessions::{SessionChange, SessionChanges, Sessions};
pub use upgrade::Upgrade;

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
