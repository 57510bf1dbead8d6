//! Files over streams: a server that keeps them, and a client that puts and gets them.
//!
//! A transfer goes on by itself when the link was lost and found again. If its session is lost, the received part is
//! kept, and the next attempt resumes there. A transfer that was given up leaves nothing.

mod client;
mod contract;
mod demo;
mod part;
mod store;

pub use client::{get, give_up, put};
pub use contract::{Entry, FileError, Files, FilesClient};
pub use demo::demo;
pub use store::Store;
