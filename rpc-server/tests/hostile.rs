//! Peers that speak bytes and keep no rules, over `ws://` and over `wss://`, each beside a client that is served
//! throughout. The tests of other programs go on with such peers: `descriptors`, `signals`, `handshake`, `patience`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "hostile/expiry.rs"]
mod expiry;
#[path = "hostile/heads.rs"]
mod heads;
mod raw;
#[path = "hostile/requests.rs"]
mod requests;
#[path = "hostile/row.rs"]
mod row;
#[path = "hostile/silence.rs"]
mod silence;
mod transport;
