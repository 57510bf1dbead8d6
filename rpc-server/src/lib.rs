//! Hosts Duplex RPC services: HTTP upgrade, listener, sessions and shutdown in good order.

mod error;
mod handle;
mod listener;
mod server;
mod sessions;
mod upgrade;

pub use error::ListenError;
pub use handle::ServerHandle;
pub use server::{Server, ServerBuilder};
pub use sessions::Sessions;
pub use upgrade::Upgrade;
