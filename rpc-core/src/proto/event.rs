//! What a connection tells the shell around it.

use std::sync::Arc;

use bytes::Bytes;

use super::ServedCall;
use crate::{
    error::ConnectionError,
    status::Status,
    wire::{CallId, Hello, Rope, Streams, Welcome},
};

/// What a connection tells the shell around it, in order.
#[derive(Debug)]
pub enum Event {
    /// At a server: the client introduced itself. Answer with [`super::Connection::accept`] or
    /// [`super::Connection::refuse`].
    Hello(Box<Hello>),
    /// At a client: the server took it in.
    Welcome(Box<Welcome>),
    /// A call came in; run its handler and [`super::Connection::complete`] it.
    Call {
        /// Tells it apart from all others of the connection.
        key: ServedKey,
        /// The call.
        call: Arc<ServedCall>,
        /// Its arguments.
        payload: Bytes,
        /// The streams among them, each to be read with [`super::Connection::take_items`] or left with
        /// [`super::Connection::leave_stream`].
        streams: Streams,
    },
    /// The arguments of a call have begun to arrive in chunks; [`Self::Call`] or [`Self::Withdrawn`] follows. If the
    /// object serves one call after another, the call holds its place among those of its session.
    Arriving {
        /// Tells it apart from all others of the connection.
        key: ServedKey,
        /// The method's number.
        method: u32,
    },
    /// The call's arguments will not arrive, and the call has been completed.
    Withdrawn {
        /// The call.
        key: ServedKey,
    },
    /// The caller gave the call up, its deadline passed, or a drain's grace is over: stop its handler unless that must
    /// not be stopped. The call still has to be completed.
    Cancel {
        /// The call.
        key: ServedKey,
    },
    /// This side drains, or the other side has said that it is about to leave. Comes once for each side.
    Draining,
    /// The connection has ended. No event follows.
    Closed(ConnectionError),
}

/// A call that is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServedKey {
    /// A call, by its caller's number.
    Call(CallId),
    /// A one-way call, by a number of this end's own.
    Oneway(u64),
}

/// How a call that was made here ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A result, encoded.
    Value(Bytes),
    /// A result that is a stream, or several streams, each to be read or left.
    Streaming(Bytes, Streams),
    /// The contract's own fault, encoded.
    Fault(Bytes),
    /// Anything else.
    Status(Status),
}

impl Outcome {
    /// The streams that came with it.
    pub(crate) fn streams(&self) -> Streams {
        if let Self::Streaming(_, streams) = self { streams.clone() } else { Streams::default() }
    }
}

/// How a call that was served here ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// A result, encoded.
    Value(Rope),
    /// A result, and how many streams it has.
    Streaming(Rope, usize),
    /// The contract's own fault, encoded.
    Fault(Rope),
    /// A status.
    Status(Status),
    /// The handler was stopped before its end. The connection knows why, and sets the status.
    Stopped,
    /// As [`Self::Stopped`], and the handler had not been started.
    NotStarted,
}
