//! Files over streams: a server that keeps them, and a client that puts and gets them.
//!
//! If a lost link cuts a transfer off, the received part is kept, and the next attempt resumes there. A transfer that
//! was given up leaves nothing.

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
