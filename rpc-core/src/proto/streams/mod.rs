//! Streams, and the flow control with which a reader holds its producer back.
//!
//! As in HTTP/2 (RFC 9113 §5.2) and QUIC (RFC 9000 §4), there are two levels of credit: each stream has its own,
//! counted in items and bytes ([`Amount`]), and all streams of one direction share another, counted in bytes alone. An
//! item needs both. The one exception is that a stream of which everything has been read may send one short item
//! without shared credit, so that slow readers of other streams cannot stop it for good.
//!
//! [`SendStreams`] are produced here, [`RecvStreams`] are read here. The states of a single stream, with their
//! transitions and invariants, are described in [`send_stream`] and [`recv_stream`].
//!
//! # The life of credit
//!
//! At the producer, in the order of an item's way:
//!
//! 1. Both credits begin with what the reader has announced in the handshake (`SendStream::new`,
//!    `SendStreams::set_limits`). The stream's own begins with the window of its method, if that is less: the reader
//!    has announced that too, with the contracts that it hosts or in the Request.
//! 2. Before items are made, their producer claims shared credit, and room among what waits to be sent
//!    (`SendStreams::poll` and `claim_long`; [`claims`] decides). The stream's own credit needs no claim, because no
//!    other stream can take it. What cannot be claimed is waited for: `WaitsForStream` or `WaitsForShared`.
//! 3. Queueing an item spends the stream's own credit, and the claim becomes a promise of shared credit
//!    (`SendStreams::push`). So what waits here is a part of the window.
//! 4. Sending the item spends the shared credit (`Turn::write_item`, in [`turn`]). If there is none, a short item
//!    blocks its stream, and a long item is given back to its producer, to be made again.
//! 5. A Credit frame adds to one of the credits (`SendStreams::grant`): the stream's own wakes its producer, the shared
//!    one lets blocked streams go on and wakes the producers that wait in the queues of [`claims`].
//!
//! At the reader (a producer that does not know the window of the method may use the credit of the handshake:
//! `RecvStream::claim_spare`):
//!
//! 1. An item that comes is checked against both credits and taken from both. Until it has been read it is *held*
//!    (`RecvStreams::begin_item`).
//! 2. `take` moves items to the reader, but they count as held until the reader reports them as read (`count_read`).
//!    Readers report a quarter of their first window at a time and 64 KiB at most (every item, if the window was set by
//!    hand), after 200 ms, and whenever they have nothing more to read (`StreamReader`, in `peer/streams/reader.rs`).
//! 3. A grant is what the window leaves beside credit and held items. It is made when it comes to half of the window,
//!    in items or in bytes, and also when shared credit is scarce and everything has been read (`renew`, and
//!    `renew_all` for the shared credit, both in `recv_streams/credit.rs`).
//! 4. The grant waits as a notice; grants that follow add to it. The next counted packet begins with the notices that
//!    wait, as Credit frames, before the frames of the outbox (`next_credit`, called by `Connection::poll_transmit`). A
//!    notice may grant nothing: a slow reader's says only how far the reader is (`report`).
//! 5. The window doubles when a reader finds nothing to read although the producer has used all credit that it is known
//!    to have, by the acknowledgements of the packets with Credit (`take`). The shared window never grows, nor does one
//!    that was set by hand.

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
pub(crate) use send_streams::{SendStreams, SendTerms, WaitsFor};
pub use turn::LongState;
pub(crate) use turn::{TurnLimits, TurnOutput, TurnResult};

use crate::{
    status::Status,
    wire::{ErrorBody, Payload},
};

/// The bytes that an item counts beside its own, for the memory that keeps the item.
pub const ITEM: usize = 32;
/// The shared credit is scarce when no more than one part in this many is left of what it began with.
const SCARCE: i64 = 4;
/// No credit grows beyond this; a grant that would is an error.
const MAX_CREDIT: i64 = i64::MAX / 4;

/// Why a stream ended without having been finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The producer's fault, encoded.
    Fault(bytes::Bytes),
    /// Any other reason.
    Status(Status),
}

/// The end of a stream: `Ok` if the producer has finished it.
pub type StreamEnd = Result<(), StreamError>;

impl From<StreamError> for ErrorBody {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Fault(bytes) => Self::Fault(Payload::Inline(bytes)),
            StreamError::Status(status) => Self::Status(status),
        }
    }
}

/// How much a stream takes at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamRoom {
    /// How many items; 0 if the producer has to wait.
    pub items: usize,
    /// How many bytes, with [`ITEM`] for each item; the last item may go beyond.
    pub bytes: usize,
}

/// The items and bytes that a reader has read since its last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How many items.
    pub items: i64,
    /// How many bytes, with [`ITEM`] for each item.
    pub bytes: i64,
    /// Whether the reader is slow, so that the producer is to hear of any progress.
    pub slow: bool,
}

/// What a Credit frame grants and reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// How many items have been read since the beginning of the stream.
    pub(crate) read: u64,
}

/// The bytes that an item of `len` bytes counts in flow control.
fn weight(len: u64) -> i64 {
    i64::try_from(len.saturating_add(ITEM as u64)).unwrap_or(MAX_CREDIT)
}

/// An announced or granted credit, as it is counted.
fn signed(credit: u64) -> i64 {
    i64::try_from(credit).unwrap_or(MAX_CREDIT).min(MAX_CREDIT)
}
