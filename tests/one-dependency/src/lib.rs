//! A crate that has none of our crates in its `Cargo.toml`: it reaches `rpc-core` through its contract crate, and says
//! so.

use one_contract::rpc_core::{self, Status};

/// A contract in such a crate.
#[rpc_core::service(crate = "one_contract::rpc_core")]
pub trait Desk {
    /// Signs a document.
    async fn sign(&self, document: &str) -> Result<String, Status>;
}
