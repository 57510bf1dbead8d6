//! Streams as users see them, and the tasks that move their items.
//!
//! A stream that is produced here begins in `start`, and each has a task: `peer/call.rs` starts the streams among
//! the arguments of a call, `session/ended.rs` the streams of a handler's result. A stream that is read here is a
//! `StreamReader` inside a `Streaming`, which decodes its items: `peer/call.rs` takes the streams of a result, and the
//! driver takes the streams among the arguments of a call that came in, which `service/arguments.rs` hands to the
//! handler.

mod item;
mod reader;
mod sender;
mod streaming;
mod watch;
mod writer;
mod writers;

pub use item::{Binary, LaidValue, NoFault, Value};
pub(crate) use item::{Decode, Encode};
pub(crate) use reader::StreamReaders;
pub use sender::{Closed, StreamSender};
pub use streaming::{IntoStreaming, Streaming};
pub(crate) use watch::StreamWatch;
pub use watch::{StreamOutcome, StreamSummary};
pub use writer::StreamWriter;
pub(crate) use writer::start;
pub use writers::StreamWriters;
