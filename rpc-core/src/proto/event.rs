//! What a connection reports to the shell around it.

use std::sync::Arc;

use bytes::Bytes;

use super::ServedCall;
use crate::{
    error::ConnectionError,
    status::Status,
    wire::{CallId, Rope, Streams, Welcome},
};

/// What a connection reports to the shell around it, in order.
#[derive(Debug)]
pub enum Event {
    /// At a client: the server has accepted the session.
    Welcome(Box<Welcome>),
    /// A call has come. Run its handler, and then [`super::Connection::complete`] it.
    Call {
        /// Identifies the call on this connection.
        key: ServedKey,
        /// The call.
        call: Arc<ServedCall>,
        /// The call's arguments.
        payload: Bytes,
        /// The length of the buffer of which the arguments are a small part, and which they keep alive; 0 if they keep
        /// nothing but themselves. The shell must not keep many such buffers for calls that wait: see
        /// [`super::KeptBuffers`].
        buffer: usize,
        /// The streams among the arguments, each to be read with [`super::Connection::take_items`] or left with
        /// [`super::Connection::leave_stream`].
        streams: Streams,
    },
    /// The arguments of a call have begun to arrive in chunks; [`Self::Call`] or [`Self::Withdrawn`] follows. If calls
    /// are served one after another, the call keeps its place among its session's calls.
    Arriving {
        /// Identifies the call on this connection.
        key: ServedKey,
        /// The method's number.
        method: u32,
    },
    /// The call's arguments will not arrive, and the call has been completed.
    Withdrawn {
        /// The call.
        key: ServedKey,
    },
    /// The caller has given the call up, its deadline has passed, or a drain's grace is over. Stop its handler, unless
    /// the handler must run to its end. The call still has to be completed.
    Cancel {
        /// The call.
        key: ServedKey,
    },
    /// Free the memory that is kept to be used again: the connection has done so. It comes once in a while after
    /// something has happened.
    Trim,
    /// This side drains, or the other side has announced that it leaves. Reported once for each side.
    Draining,
    /// While this side drains: whether something is served here. It began with true.
    Serving(bool),
    /// The session has lost its link, whose transport is to be closed for this reason, and waits for another one.
    Detached(ConnectionError),
    /// The session has another link.
    Attached,
    /// The connection has ended. After that, only events of links follow, and only while the connection
    /// [lingers](super::Connection::is_lingering).
    Closed(ConnectionError),
}

impl Event {
    /// Copies the arguments of a call that is going to wait out of their buffer.
    #[cfg(feature = "session")]
    pub(crate) fn detach(&mut self) {
        if let Self::Call { payload, buffer: buffer @ 1.., .. } = self {
            *payload = Bytes::copy_from_slice(payload);
            *buffer = 0;
        }
    }
}

/// A call that is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServedKey {
    /// A call, by the number that its caller has given it.
    Call(CallId),
    /// A one-way call, by a number that this end has given it.
    Oneway(u64),
}

/// How a call that was made here ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A result, encoded.
    Value(Bytes),
    /// A result with one or more streams, each of which is to be read or left.
    Streaming(Bytes, Streams),
    /// The contract's own fault, encoded.
    Fault(Bytes),
    /// Any other outcome.
    Status(Status),
}

impl Outcome {
    /// The streams in the result.
    pub(crate) fn streams(&self) -> Streams {
        if let Self::Streaming(_, streams) = self { streams.clone() } else { Streams::default() }
    }
}

/// How a call that was served here ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// A result, encoded.
    Value(Rope),
    /// A result, and the number of streams in it.
    Streaming(Rope, usize),
    /// The contract's own fault, encoded.
    Fault(Rope),
    /// A status.
    Status(Status),
    /// The handler was stopped before its end, for the reason that the connection reported.
    Stopped,
    /// The handler was stopped before it had begun.
    NotStarted,
}
