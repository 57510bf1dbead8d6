//! `HandshakeViolation`: breaches of the rules of the handshake.

use std::fmt;

use crate::{
    config::{MIN_CHUNK, PACKET_OVERHEAD},
    error::CloseCode,
};

/// How a peer broke the rules of the handshake (`docs/protocol.md`, section 4).
///
/// ```
/// use rpc_core::{CloseCode, HandshakeViolation, ProtocolError};
///
/// let error = ProtocolError::from(HandshakeViolation::TooLong { max: 16_384 });
/// assert_eq!(error.close_code(), CloseCode::TOO_BIG);
/// assert!(error.reason().contains("Config::max_handshake"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeViolation {
    /// More bytes came before the handshake was done than [`Config::max_handshake`](crate::Config::max_handshake)
    /// allows. Any transport may have noticed.
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// Hello or Welcome came together with other frames, or in a packet with a number.
    NotAlone,
    /// A second Hello or Welcome.
    Second,
    /// Another frame came where the client's Hello was expected.
    NoHello {
        /// The frame's kind, by the name of the protocol: for instance `Ping`.
        frame: &'static str,
    },
    /// Another frame came where the server's Welcome was expected.
    NoWelcome {
        /// The frame's kind, by the name of the protocol: for instance `Ping`.
        frame: &'static str,
    },
    /// The server took in a client, but speaks another version of the protocol.
    OtherVersion {
        /// The version of the server.
        server: u64,
        /// The version of this side, the client.
        client: u64,
    },
    /// The announced chunks are too short, or do not fit the announced packets.
    UnfitChunk {
        /// The length of a chunk in bytes.
        chunk: u64,
        /// The length of a packet in bytes.
        packet: u64,
    },
    /// More contracts than a side may host.
    TooManyContracts {
        /// How many contracts were announced.
        count: usize,
        /// How many a side may host.
        max: usize,
    },
    /// A client that wants to be able to resume its session did not wait for the Welcome.
    BeforeWelcome,
    /// The server resumed a session from a position that it cannot have reached.
    ImpossiblePosition {
        /// The last packet that the server says it has taken in.
        received: u64,
        /// The last packet that it has acknowledged.
        acked: u64,
        /// The last packet that this side has sent.
        last: u64,
    },
    /// A Bye in a session that cannot be resumed.
    UnexpectedBye,
    /// The server says that it resumes a session, and the client has asked for none.
    UnexpectedResume,
}

impl HandshakeViolation {
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLong { .. } => CloseCode::TOO_BIG,
            Self::NotAlone
            | Self::Second
            | Self::NoHello { .. }
            | Self::NoWelcome { .. }
            | Self::OtherVersion { .. }
            | Self::UnfitChunk { .. }
            | Self::TooManyContracts { .. }
            | Self::ImpossiblePosition { .. }
            | Self::BeforeWelcome
            | Self::UnexpectedBye
            | Self::UnexpectedResume => CloseCode::PROTOCOL,
        }
    }
}

impl fmt::Display for HandshakeViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => {
                write!(f, "more than {max} bytes came before the handshake was done (Config::max_handshake)")
            }
            Self::NotAlone => f.write_str("the handshake must come alone and unsequenced"),
            Self::Second => f.write_str("a second handshake came on an open connection"),
            Self::NoHello { frame } => {
                write!(f, "a {frame} frame came where the handshake of the client was expected")
            }
            Self::NoWelcome { frame } => {
                write!(f, "a {frame} frame came where the handshake of the server was expected")
            }
            Self::OtherVersion { server, client } => {
                write!(f, "the server speaks version {server} of the protocol, this client speaks version {client}")
            }
            Self::UnfitChunk { chunk, packet } => write!(
                f,
                "chunks of {chunk} bytes in packets of {packet} bytes were announced; a chunk has {MIN_CHUNK} bytes at \
                 least, and a packet {PACKET_OVERHEAD} more than a chunk"
            ),
            Self::TooManyContracts { count, max } => {
                write!(f, "{count} contracts were announced; a side hosts {max} at most")
            }
            Self::ImpossiblePosition { received, acked, last } => write!(
                f,
                "the session was resumed behind packet {received}, but packets {acked} to {last} are the only ones that \
                 the server can have taken in last"
            ),
            Self::BeforeWelcome => f.write_str(
                "a counted packet came before the Welcome, from a client that wants to be able to resume the session",
            ),
            Self::UnexpectedBye => f.write_str("a Bye came in a session that cannot be resumed"),
            Self::UnexpectedResume => f.write_str("the server resumed a session that it was not asked for"),
        }
    }
}
