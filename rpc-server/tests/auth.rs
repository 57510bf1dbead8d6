//! Authentication: who a client is, at its upgrade and at its Hello.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "auth/at_hello.rs"]
mod at_hello;
#[path = "auth/at_upgrade.rs"]
mod at_upgrade;
#[path = "auth/bank.rs"]
mod bank;
mod raw;
#[path = "auth/roles.rs"]
mod roles;
