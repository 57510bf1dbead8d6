//! Connects to Duplex RPC services and hosts the callbacks that they make.

mod client;
mod connect;
mod dial;
mod error;

pub use client::Client;
pub use connect::{Connect, ConnectBuilder, connect};
pub use error::ConnectError;
