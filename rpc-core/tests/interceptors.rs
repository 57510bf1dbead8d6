//! Interceptors as users write them, at both ends and in both directions, and the ready-made interceptors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "interceptors/certainty.rs"]
mod certainty;
#[path = "interceptors/own.rs"]
mod own;
#[path = "interceptors/ready_made.rs"]
mod ready_made;
#[path = "interceptors/retry.rs"]
mod retry;
#[path = "interceptors/spans.rs"]
mod spans;
#[path = "interceptors/stream_ends.rs"]
mod stream_ends;
#[path = "interceptors/town.rs"]
mod town;
#[path = "interceptors/traces.rs"]
mod traces;
