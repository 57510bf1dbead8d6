//! Servers whose answers to the HTTP upgrade keep no rules, over `ws://` and over `wss://`: what a client takes of an
//! answer is bounded, in bytes, headers and time. Beside each such server another one serves the same program.

#![cfg(all(feature = "raw", feature = "tls"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "hostile/answers.rs"]
mod answers;
#[path = "hostile/row.rs"]
mod row;
#[path = "hostile/transport.rs"]
mod transport;
