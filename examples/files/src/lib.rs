//! Files over streams: a server that keeps them, and a client that puts and gets them.
//!
//! What was cut off by a lost link is kept as a part and goes on from there; what was given up leaves nothing.

mod cable;
mod client;
mod contract;
mod demo;
mod part;
mod store;

pub use client::{get, give_up, put};
pub use contract::{Entry, FileError, Files, FilesClient};
pub use demo::demo;
pub use store::Store;
