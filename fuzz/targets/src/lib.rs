//! The bodies of the fuzz targets: each takes any bytes, and panics where the code that it drives breaks a promise.
//!
//! `fuzz` runs them under libFuzzer, and `tests/corpus.rs` replays the inputs in `fuzz/corpus` without it.

pub mod connection;
pub mod front;
pub mod packets;
pub mod payloads;
mod pipe;
mod source;
pub mod websocket;

/// What a target does with an input.
pub type Body = fn(&[u8]);

/// All targets, by their names, which are those of their folders in `fuzz/corpus` too.
pub const TARGETS: [(&str, Body); 5] = [
    ("packets", packets::run),
    ("payloads", payloads::run),
    ("connection", connection::run),
    ("websocket", websocket::run),
    ("front", front::run),
];
