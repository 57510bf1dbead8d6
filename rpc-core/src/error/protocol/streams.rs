//! `StreamViolation`: breaches of the rules of streams.

use std::fmt;

/// How a peer broke the rules of streams (`docs/protocol.md`, section 11).
///
/// ```
/// use rpc_core::{ProtocolError, StreamViolation};
///
/// let error = ProtocolError::from(StreamViolation::NotOpen { stream: 3 });
/// assert_eq!(error.reason(), "stream 3 is not open: it was never opened, or has ended");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamViolation {
    /// More streams in one frame than a call may have.
    TooManyInFrame {
        /// How many streams the frame lists.
        count: usize,
        /// How many it may list.
        max: usize,
    },
    /// More streams open at once than this side has announced ([`Config::max_streams`](crate::Config::max_streams)).
    TooMany {
        /// The stream that is too many.
        stream: u64,
        /// The announced limit.
        max: u32,
    },
    /// An item or the end of a stream that was never opened, or has ended.
    NotOpen {
        /// The stream.
        stream: u64,
    },
    /// An item that is longer than can be counted.
    ItemTooLong {
        /// The stream.
        stream: u64,
        /// The item's length in bytes.
        len: u64,
    },
    /// An item before the end of the one before it, which arrives in chunks.
    ItemWithinItem {
        /// The stream.
        stream: u64,
    },
    /// An item after one that the producer had aborted.
    ItemAfterAborted {
        /// The stream.
        stream: u64,
    },
    /// An item beyond the credit of its stream.
    BeyondCredit {
        /// The stream.
        stream: u64,
    },
    /// An item beyond the credit of all streams together.
    BeyondSharedCredit {
        /// The stream.
        stream: u64,
    },
    /// An item that follows in chunks, by another number than its stream's.
    ItemByOtherNumber {
        /// The stream.
        stream: u64,
        /// The number of the transfer.
        transfer: u64,
    },
    /// The end of a stream before the end of its last item.
    EndWithinItem {
        /// The stream.
        stream: u64,
    },
    /// An end without an error, although the producer had aborted an item.
    FinishedAfterAborted {
        /// The stream.
        stream: u64,
    },
    /// A fault at the end of a stream that follows in chunks.
    FaultInChunks {
        /// The stream.
        stream: u64,
    },
    /// Credit for a stream that was never opened.
    CreditForUnopened {
        /// The stream.
        stream: u64,
    },
    /// More credit than can be counted.
    CreditTooLarge {
        /// The stream; 0 for all of them together.
        stream: u64,
    },
    /// A reader reports more items than were sent.
    ReadMoreThanSent {
        /// The stream.
        stream: u64,
        /// How many items were reported read.
        read: u64,
        /// How many items were sent.
        sent: u64,
    },
}

impl fmt::Display for StreamViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyInFrame { count, max } => write!(f, "one frame lists {count} streams; it may list {max}"),
            Self::TooMany { stream, max } => {
                write!(f, "stream {stream} was opened beyond the announced limit of {max} streams")
            }
            Self::NotOpen { stream } => {
                write!(f, "stream {stream} is not open: it was never opened, or has ended")
            }
            Self::ItemTooLong { stream, len } => {
                write!(f, "an item of stream {stream} of {len} bytes cannot be counted")
            }
            Self::ItemWithinItem { stream } => {
                write!(f, "an item of stream {stream} came before the end of the one before it")
            }
            Self::ItemAfterAborted { stream } => {
                write!(f, "an item of stream {stream} came after one that was given up")
            }
            Self::BeyondCredit { stream } => write!(f, "an item of stream {stream} came beyond its credit"),
            Self::BeyondSharedCredit { stream } => {
                write!(f, "an item of stream {stream} came beyond the credit of all streams together")
            }
            Self::ItemByOtherNumber { stream, transfer } => {
                write!(f, "an item of stream {stream} was announced as transfer {transfer}; it has the stream's number")
            }
            Self::EndWithinItem { stream } => write!(f, "stream {stream} ended within an item"),
            Self::FinishedAfterAborted { stream } => {
                write!(f, "stream {stream} was finished after an item that was given up")
            }
            Self::FaultInChunks { stream } => {
                write!(f, "the fault at the end of stream {stream} was announced in chunks")
            }
            Self::CreditForUnopened { stream } => {
                write!(f, "credit came for stream {stream}, which was never opened")
            }
            Self::CreditTooLarge { stream: 0 } => {
                f.write_str("the credit of all streams together grew beyond what can be counted")
            }
            Self::CreditTooLarge { stream } => {
                write!(f, "the credit of stream {stream} grew beyond what can be counted")
            }
            Self::ReadMoreThanSent { stream, read, sent } => {
                write!(f, "items of stream {stream} were reported read: {read}; sent were {sent}")
            }
        }
    }
}
