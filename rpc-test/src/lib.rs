//! Tests of programs that use Duplex RPC: a crate for `[dev-dependencies]`.
//!
//! | To test | there is |
//! |---|---|
//! | a server with its clients, without a socket: calls, headers, credentials, hooks | [`TestServer`] |
//! | what a program does when its link breaks or stands still | [`Network`] |
//! | how a program behaves beside a peer that is slow, or that breaks the rules | [`FakePeer`] |
//! | whether the values of a contract survive the wire | [`assert_travels`] |
//! | virtual time | [`settle`] |
//!
//! ```
//! use rpc_server::{Context, Server};
//! use rpc_test::TestServer;
//!
//! #[rpc_server::service]
//! trait Greeter {
//!     async fn greet(&self, cx: &Context<GreeterClient>, greeting: &str) -> String;
//! }
//!
//! struct Doorman;
//!
//! impl Greeter for Doorman {
//!     async fn greet(&self, cx: &Context<GreeterClient>, greeting: &str) -> String {
//!         let name = cx.headers().get("x-name").and_then(|name| name.to_str().ok());
//!         format!("{greeting}, {}!", name.unwrap_or("stranger"))
//!     }
//! }
//!
//! // In a test: #[tokio::test]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start(Server::builder().service(Doorman.serve()))?;
//! let greeter = server.connect::<GreeterClient>().header("x-name", "Ada").await?;
//! assert_eq!(greeter.greet("Hello").await?, "Hello, Ada!");
//! # Ok(())
//! # }
//! ```
//!
//! # Paused time
//!
//! Everything here works under `#[tokio::test(start_paused = true)]`: nothing waits for a socket or a thread, so the
//! clock jumps to the next timer when no task can run. A test of a deadline of eight hours takes no time.
//!
//! What never comes does not fail such a test by itself: while a session lives, its keepalive always has a timer, and
//! the clock jumps from one to the next. Put `tokio::time::timeout` around what a test awaits of a program that may be
//! wrong. The expectations of a [`FakePeer`] have a time of their own.
//!
//! The guide has a page on [testing](rpc_core::guide::testing).

mod network;
mod peer;
mod server;
mod time;
mod travel;

pub use network::{Network, NetworkStream};
pub use peer::{Call, ErrorBody, FakePeer, Frame, Goodbye, Payload};
pub use server::TestServer;
pub use time::settle;
pub use travel::{TravelError, TravelErrorKind, assert_travels, travel};
