//! WebSockets without contracts, over real sockets: in axum and in plain hyper.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "raw")]

#[path = "websocket/bounds.rs"]
mod bounds;
#[path = "websocket/handlers.rs"]
mod handlers;
#[path = "websocket/handshake.rs"]
mod handshake;
#[path = "websocket/host.rs"]
mod host;
#[path = "websocket/members.rs"]
mod members;
#[path = "websocket/routed.rs"]
mod routed;
