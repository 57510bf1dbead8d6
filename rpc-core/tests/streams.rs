//! Streams as users see them, over the in-memory pair.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "streams/both_ways.rs"]
mod both_ways;
#[path = "streams/depot.rs"]
mod depot;
#[path = "streams/endings.rs"]
mod endings;
#[path = "streams/mismatch.rs"]
mod mismatch;
#[path = "streams/pauses.rs"]
mod pauses;
#[path = "streams/pressure.rs"]
mod pressure;
