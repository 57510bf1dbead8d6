//! Servers that listen by TLS, over real handshakes.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/front.rs"]
mod front;
#[path = "tls/hostile.rs"]
mod hostile;
#[path = "tls/reload.rs"]
mod reload;
#[path = "transport/secure.rs"]
mod secure;
#[path = "tls/traffic.rs"]
mod traffic;
#[path = "tls/vault.rs"]
mod vault;
