//! One connection as a state machine: frames and time in, frames and events out; no tokio, no sockets, no clock.

mod assembly;
mod bulk;
mod chain;
mod connection;
mod deadlines;
mod event;
mod line;
mod outbox;
mod permits;
mod pings;
mod pool;
mod sequence;
mod slots;
mod spares;
mod streams;
mod timers;
mod writer;

#[cfg(test)]
mod tests;

pub use chain::ServedCall;
#[cfg(feature = "session")]
pub(crate) use connection::counted_arguments;
pub use connection::{
    CallProgress, CallStart, Charges, Connection, ConnectionStats, Outgoing, RefusedNotify, Released, Role,
};
pub use event::{Completion, Event, Outcome, ServedKey};
pub use pool::MemoryPool;
pub use slots::CallKey;
pub use streams::{ITEM, Long, Reading, StreamEnd, StreamError, StreamRoom, Taken};
