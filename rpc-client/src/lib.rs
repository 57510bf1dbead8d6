//! Connects to Duplex RPC services and hosts the callbacks that they make.
//!
//! ```no_run
//! use rpc_client::Connect; // gives every generated client `connect`
//! use rpc_core::Stub; // and `session`
//!
//! #[rpc_core::callback]
//! trait Screen {
//!     async fn confirm(&self, question: &str) -> bool;
//! }
//!
//! #[rpc_core::service(callback = Screen)]
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
//! For several contracts in one session: [`connect`].

mod client;
mod connect;
mod dial;
mod error;

pub use client::Client;
pub use connect::{Connect, ConnectBuilder, connect};
pub use error::ConnectError;
