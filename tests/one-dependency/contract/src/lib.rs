//! A contract crate: its `Cargo.toml` has `rpc-core` alone of our crates.

/// For crates that have only this one.
pub use rpc_core;
use rpc_core::{Context, Status, Streaming};

/// Hosted by the client.
#[rpc_core::callback(group)]
pub trait Visitor {
    /// What the visitor is called.
    async fn name(&self) -> String;
    /// Another visitor has come.
    #[rpc(oneway, overflow = "conflate", key = "name.len()")]
    async fn came(&self, name: &str);
}

/// Hosted by the server.
#[rpc_core::service(callback = Visitor)]
pub trait Greeter {
    /// Greets the visitor by the name that the visitor gives.
    async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status>;

    /// The numbers below `end`.
    async fn count(&self, end: u32) -> Streaming<u32>;
}
