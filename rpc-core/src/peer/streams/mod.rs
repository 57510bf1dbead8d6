//! Streams as users see them, and the tasks that move their items.

mod item;
mod reader;
mod sender;
mod streaming;
mod writer;

pub use item::{Binary, NoFault, Value};
pub(crate) use item::{Decode, Encode};
pub(crate) use reader::StreamReaders;
pub use sender::{Closed, StreamSender};
pub use streaming::{IntoStreaming, Streaming};
pub(crate) use writer::start;
pub use writer::{StreamWriter, StreamWriters};
