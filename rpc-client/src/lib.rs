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
//! // Without this line, the end of the program cuts off what the socket does not take at once.
//! desk.session().close().await;
//! # Ok(())
//! # }
//! ```
//!
//! The [guide] shows, page by page, how to build with this crate.
//!
//! A client's `Cargo.toml` needs this crate alone: it re-exports the items of `rpc-core` that a client needs, under the
//! same names.
//!
//! For several contracts in one session use [`connect`].
//!
//! `wss://` URLs are for TLS: the client trusts the authorities that the operating system trusts, or that a `Tls`
//! names. The default feature `tls` brings TLS, with the cryptography of ring; with the feature `aws-lc-rs`, it uses
//! the cryptography of aws-lc-rs.
//!
//! For a WebSocket without contracts there is the module `raw`.

mod client;
mod connect;
mod credentials;
mod dial;
mod error;
mod proxy;
#[cfg(feature = "raw")]
pub mod raw;
mod tls;

pub use client::{Client, ClientError, ClientEvent, ClientState, Reconnect, SetupError};
pub use connect::{Connect, ConnectBuilder, connect};
pub use credentials::{CredentialError, Credentials};
pub use error::ConnectError;
pub use proxy::Proxy;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsBuilder};

#[doc(hidden)]
pub use rpc_core::__private;
#[cfg(feature = "tls")]
pub use rpc_core::TlsError;
pub use rpc_core::{
    __macros::{client_callback as callback, client_service as service},
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
