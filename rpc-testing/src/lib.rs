//! What the tests of several crates share: peers that say what a test wants, certificates, waiting, a clock, and what
//! was logged.
//!
//! The tests in `tests/` of a crate use it as a dev-dependency by path, which is left out when the crate is published.
//! The unit tests inside rpc-core can only use what has no types of rpc-core: here these are types of another crate.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authority;
mod bar;
mod blocks;
mod both;
mod clock;
mod frames;
mod limit;
mod lines;
mod read_buffers;
pub mod rows;
mod slow_link;
mod socket;
mod transport;
mod waiting;

pub use authority::{Authority, Identity};
pub use bar::{Bar, BarClient, Keeper, order};
pub use blocks::{blocks, count_blocks};
pub use clock::with_stopped_clock;
pub use frames::{LIMITS, greeting, hello, hosted, packet, request, welcome};
pub use limit::{Limit, thread_time};
pub use lines::{Line, Lines};
pub use read_buffers::ReadBuffers;
pub use slow_link::slow_link;
pub use socket::{Io, Link, accept, join};
pub use transport::Wrapped;
pub use waiting::{Inside, SOON, at_rest, pass, settle, until};
