//! Sessions: the handshake before them, the driver that moves packets, the dispatch that runs handlers, and the
//! transports beneath.

mod dispatch;
mod driver;
mod ended;
mod first_frame;
mod goodbye;
mod handshake;
mod in_memory;
mod memory;
mod opening;
mod resume;
mod start;
mod task;
mod trace;
mod transport;
pub(crate) mod websocket;
mod yield_now;

pub use driver::Driver;
pub use handshake::Handshake;
pub use in_memory::{connect_in_memory, connect_in_memory_with};
pub use memory::{Memory, memory};
pub use resume::{ResumableSessions, ResumeOutcome, Resumed, resume};
pub use start::{Greeting, connect, connect_with};
pub use transport::{Progress, Transport, TransportError};
pub use websocket::WebSocket;
#[cfg(feature = "raw")]
pub(crate) use yield_now::yield_now;

pub use crate::{
    proto::{ConnectionStats, Released},
    wire::SUBPROTOCOL,
};
