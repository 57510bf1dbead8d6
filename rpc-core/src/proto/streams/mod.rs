//! Streams: what is produced here and what is read here, with the credit that lets a reader hold its producer back.
//!
//! A stream's credit is counted in items and in bytes, and so are the windows behind it. The window of all streams
//! together is counted in bytes alone.

mod amount;
mod claims;
mod recv_stream;
mod recv_streams;
mod send_stream;
mod send_streams;
mod turn;

use amount::Amount;
pub(crate) use recv_streams::RecvStreams;
pub use recv_streams::Taken;
use send_stream::SendStream;
pub(crate) use send_streams::{SendStreams, WaitsFor};
pub use turn::LongState;
pub(crate) use turn::{TurnLimits, TurnOutput, TurnResult};

use crate::{
    status::Status,
    wire::{ErrorBody, Payload},
};

/// What an item counts beside its own bytes: keeping it takes memory too.
pub const ITEM: usize = 32;
/// The credit of all streams together is scarce when no more than one part in this many is left of what there was to
/// begin with.
const SCARCE: i64 = 4;
/// No credit grows beyond this; what would is an error.
const MAX_CREDIT: i64 = i64::MAX / 4;

/// How a stream ended, apart from having been finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// Its producer gave this fault, encoded.
    Fault(bytes::Bytes),
    /// Anything else.
    Status(Status),
}

/// The end of a stream: `Ok` if its producer has finished it.
pub type StreamEnd = Result<(), StreamError>;

impl From<StreamError> for ErrorBody {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Fault(bytes) => Self::Fault(Payload::Inline(bytes)),
            StreamError::Status(status) => Self::Status(status),
        }
    }
}

/// What a stream takes at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamRoom {
    /// How many items; none if its producer has to wait.
    pub items: usize,
    /// How many bytes they may have, with [`ITEM`] for each item; the last item may go beyond.
    pub bytes: usize,
}

/// What a reader has read since it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How many items.
    pub items: i64,
    /// How many bytes they had, with [`ITEM`] for each item.
    pub bytes: i64,
    /// It is slow: the producer is to hear of it, however little it is.
    pub slow: bool,
}

/// What a reader grants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// How many items have been read since the stream began.
    pub(crate) read: u64,
}

/// What an item of `len` bytes counts in a window.
fn weight(len: u64) -> i64 {
    i64::try_from(len.saturating_add(ITEM as u64)).unwrap_or(MAX_CREDIT)
}

/// Credit as it is counted, of what was announced or granted.
fn signed(credit: u64) -> i64 {
    i64::try_from(credit).unwrap_or(MAX_CREDIT).min(MAX_CREDIT)
}
