//! Streams as users see them, and what moves their items.

mod inlet;
mod item;
mod outlet;
mod sender;
mod streaming;

pub(crate) use inlet::Inlets;
pub use item::{Binary, NoFault, Value};
pub(crate) use item::{Decode, Encode};
pub(crate) use outlet::start;
pub use outlet::{Outlet, Outlets};
pub use sender::{Closed, StreamSender};
pub use streaming::{IntoStreaming, Streaming};
