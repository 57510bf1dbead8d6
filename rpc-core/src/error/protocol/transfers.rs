//! `TransferViolation`: breaches of the rules of payloads that follow in chunks.

use std::fmt;

use crate::error::CloseCode;

/// How a peer broke the rules of transfers, the payloads that follow in chunks (`docs/protocol.md`, section 10). All
/// lengths are in bytes.
///
/// ```
/// use rpc_core::{CloseCode, ProtocolError, TransferViolation};
///
/// let error = ProtocolError::from(TransferViolation::TooLong { transfer: 1, len: 5_000_000, max: 4_000_000 });
/// assert_eq!(error.close_code(), CloseCode::TOO_BIG);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferViolation {
    /// A transfer or a stream with a number that is not higher than all before it.
    OldNumber {
        /// The number of the transfer or stream.
        id: u64,
        /// The highest number before it.
        last: u64,
    },
    /// A transfer of no bytes.
    Empty {
        /// The transfer.
        transfer: u64,
    },
    /// A transfer that, with those under way, is longer than this side has announced
    /// ([`Config::max_assembly`](crate::Config::max_assembly)).
    TooLong {
        /// The transfer.
        transfer: u64,
        /// The length of the transfer.
        len: u64,
        /// The announced limit for all transfers that are under way.
        max: usize,
    },
    /// A chunk of a transfer that is not under way.
    StrayChunk {
        /// The transfer.
        transfer: u64,
    },
    /// A chunk without bytes, or with more than are left of its transfer.
    UnfitChunk {
        /// The transfer.
        transfer: u64,
        /// The length of the chunk.
        len: usize,
        /// How much was left of the transfer.
        left: usize,
    },
    /// The abort of a transfer that is not under way.
    StrayAbort {
        /// The transfer.
        transfer: u64,
    },
}

impl TransferViolation {
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLong { .. } => CloseCode::TOO_BIG,
            Self::OldNumber { .. }
            | Self::Empty { .. }
            | Self::StrayChunk { .. }
            | Self::UnfitChunk { .. }
            | Self::StrayAbort { .. } => CloseCode::PROTOCOL,
        }
    }
}

impl fmt::Display for TransferViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldNumber { id, last } => {
                write!(f, "transfer or stream {id} was announced after number {last}")
            }
            Self::Empty { transfer } => write!(f, "transfer {transfer} was announced with no bytes"),
            Self::TooLong { transfer, len, max } => write!(
                f,
                "transfer {transfer} of {len} bytes exceeds the announced limit of {max} for payloads under way \
                 (Config::max_assembly)"
            ),
            Self::StrayChunk { transfer } => {
                write!(f, "a chunk came for transfer {transfer}, which is not under way")
            }
            Self::UnfitChunk { transfer, len, left } => {
                write!(f, "a chunk of {len} bytes came for transfer {transfer}, of which {left} bytes are left")
            }
            Self::StrayAbort { transfer } => write!(f, "transfer {transfer} was aborted, but is not under way"),
        }
    }
}
