//! Connects to Duplex RPC services and hosts the callbacks that they make.
//!
//! ```no_run
//! use rpc_client::{
//!     Connect, // gives every generated client `connect`
//!     Stub,    // and `session`
//! };
//!
//! #[rpc_client::callback]
//! trait Screen {
//!     async fn confirm(&self, question: &str) -> bool;
//! }
//!
//! #[rpc_client::service(callback = Screen)]
//! trait Desk {
//!     async fn open(&self, document: &str) -> bool;
//! }
//!
//! struct Console;
//!
//! impl Screen for Console {
//!     async fn confirm(&self, question: &str) -> bool {
//!         !question.is_empty()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let desk = DeskClient::connect("ws://127.0.0.1:9000/").callback(Console.serve()).await?;
//! let opened = desk.open("letter").await?;
//! // Before the program ends: what is not written by then, the goodbye included, is never written.
//! desk.session().close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A client's `Cargo.toml` needs this crate alone: what else a client names, of `rpc-core`, is here under the same
//! name.
//!
//! For several contracts in one session: [`connect`]. For a WebSocket without contracts: the module `raw`.

mod client;
mod connect;
mod dial;
mod error;
mod headers;
#[cfg(feature = "raw")]
pub mod raw;

pub use client::Client;
pub use connect::{Connect, ConnectBuilder, connect};
pub use error::ConnectError;

#[doc(hidden)]
pub use rpc_core::__private;
pub use rpc_core::{
    __macros::{client_callback as callback, client_service as service},
    CallError, CallOptions, CheckedConfig, CloseCode, Closed, Closing, Code, Concurrency, Config, ConfigError,
    ConfigValue, ConnectionError, ConnectionInfo, Context, Execution, Hosting, HostingBuilder, HostingError,
    IntoService, IntoStreaming, MemoryPool, NoFault, ParseSessionIdError, Peer, Principal, ProtocolError, Reason,
    Scope, Service, Session, SessionHooks, SessionId, SessionState, Side, Stats, Status, StreamSender, Streaming, Stub,
    UnknownCode, async_trait, contract, intercept, logging, session, text,
};
