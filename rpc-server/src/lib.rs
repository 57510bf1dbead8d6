//! Hosts Duplex RPC services: HTTP upgrade, listener, sessions and shutdown in good order.
//!
//! ```
//! use rpc_server::Server;
//!
//! #[rpc_core::service]
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
