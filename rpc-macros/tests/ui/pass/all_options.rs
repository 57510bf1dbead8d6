#![deny(missing_docs, warnings)]
//! Every option, documented, without a warning.

use rpc_core::{Context, Status, Streaming};

/// A result whose type does not say that it is one.
pub type Answer = Result<(), String>;

/// Hosted by the client.
#[rpc_core::callback(name = "screen")]
pub trait Screen {
    /// Shows.
    #[rpc(oneway)]
    async fn show(&self, cx: &Context<DeskClient>, text: &str);
}

/// Hosted by the server.
#[rpc_core::service(callback = Screen, name = "desk", crate = "rpc_core")]
pub trait Desk {
    /// Takes a note.
    #[rpc(idempotent, timeout = "250ms", name = "note", id = 0x0102_0304)]
    async fn take_note(&self, text: String, #[rpc(default)] copies: u32) -> u32;
    /// Cannot be stopped.
    #[rpc(no_cancel, spawn)]
    async fn compute(&self) -> Result<u64, Status>;
    /// May fail.
    #[rpc(fallible)]
    async fn check(&self) -> Answer;
    /// Not for everyone.
    #[rpc(allow = "admin")]
    async fn open(&self);
    /// For everyone.
    #[rpc(allow = "*")]
    async fn close(&self);
    /// Streams with a window of their own.
    #[rpc(window = 65_536)]
    async fn copy(&self, pages: Streaming<String>) -> Streaming<u32>;
    /// A stream that may pause.
    #[rpc(timeout = "2h", idle_timeout = "30s")]
    async fn scan(&self, pages: Streaming<String>) -> u32;
    /// Only later.
    #[rpc(initiating = false, terminating)]
    async fn leave(&self);
    /// Old.
    #[deprecated(note = "use `leave`")]
    async fn go(&self);
}

fn main() {}
