//! A chat over Duplex RPC; see `main.rs` for its commands.

mod demo;
mod house;
mod member;

pub use demo::{Answers, demo};
pub use house::ChatHouse;
