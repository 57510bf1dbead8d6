//! One connection as a state machine: frames and time in, frames and events out; no tokio, no sockets, no clock.

mod acks;
mod assembly;
mod buffer_pool;
mod bulk;
pub(crate) mod chain;
mod connection;
mod deadline_origin;
mod deadlines;
mod early;
mod event;
mod handshake;
mod handshake_bytes;
mod kept_buffers;
mod kept_packets;
mod link;
mod memory_pool;
mod negotiated;
mod out_frame;
mod outbox;
mod permits;
mod pings;
mod queue;
mod rare;
mod sequence;
mod shrink;
mod slots;
mod streams;
mod timers;
mod wait_queue;
mod writer;

#[cfg(test)]
mod tests;

use std::task::Waker;

#[cfg(test)]
pub(crate) use chain::NewCall;
pub use chain::{Cancellation, ServedCall};
#[cfg(feature = "session")]
pub(crate) use connection::counted_arguments;
pub use connection::{
    CallProgress, CallStart, Charges, Connection, ConnectionStats, Kept, LostCalls, Outgoing, PlainArguments,
    PlainStart, RefusedOneway, Released, Resumability, ResumeVerdict, Role,
};
pub use deadline_origin::{DeadlineOrigin, DeadlineSetting, IdleTimeout};
pub use early::EarlyPackets;
pub use event::{Completion, Event, Outcome, ServedKey};
pub use handshake::{HelloReader, Newcomer, WelcomeReader, Welcomed};
pub use kept_buffers::KeptBuffers;
pub use memory_pool::MemoryPool;
pub use queue::{Enqueued, QueueNeed, QueuedCall};
#[cfg(feature = "session")]
pub(crate) use shrink::{trim_line, trim_list, trim_table};
pub use slots::CallKey;
pub use streams::{ITEM, LongState, Reading, StreamEnd, StreamError, StreamRoom, Taken};

/// Puts `waker` in `place`, unless the waker there wakes the same task. A waker that was there goes to `stale_wakers`,
/// to be dropped outside any lock.
fn keep_waker(place: &mut Option<Waker>, waker: &Waker, stale_wakers: &mut Vec<Waker>) {
    if !place.as_ref().is_some_and(|old| old.will_wake(waker)) {
        stale_wakers.extend(place.replace(waker.clone()));
    }
}
