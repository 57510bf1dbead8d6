//! `ProtocolError`: which rule of the wire the peer broke.

mod calls;
mod handshake;
mod streams;
mod transfers;
mod websocket;

use std::{borrow::Cow, error, fmt, sync::Arc};

pub use calls::CallViolation;
pub use handshake::HandshakeViolation;
pub use streams::StreamViolation;
pub use transfers::TransferViolation;
pub use websocket::WebSocketViolation;

use super::CloseCode;
use crate::{
    text::escaped,
    wire::{WireError, WireFault},
};

/// The peer sent something that the protocol forbids; the connection cannot go on.
///
/// Each rule has a variant, with what the peer did: numbers of calls, transfers and streams as they are on the wire,
/// and lengths in bytes. The sections are from `docs/protocol.md`. Cheap to clone.
///
/// ```
/// use rpc_core::{CloseCode, ConnectionError, ProtocolError, StreamViolation};
///
/// /// Whether the peer goes beyond a limit that it was told, or else does what no peer may do.
/// fn is_greedy(error: &ProtocolError) -> bool {
///     match error {
///         ProtocolError::PacketTooLong { .. } | ProtocolError::TooManyPings { .. } => true,
///         ProtocolError::Stream(StreamViolation::BeyondCredit { .. }) => true,
///         other => other.close_code() == CloseCode::TOO_BIG,
///     }
/// }
///
/// let error = ProtocolError::Stream(StreamViolation::BeyondCredit { stream: 7 });
/// assert!(is_greedy(&error));
/// assert_eq!(error.reason(), "an item of stream 7 came beyond its credit");
/// assert_eq!(error.to_string(), "protocol error: an item of stream 7 came beyond its credit");
/// assert_eq!(ConnectionError::from(error).close_code(), CloseCode::PROTOCOL);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Bytes that are no packet, or no frame.
    Malformed {
        /// What is wrong, for people.
        what: Arc<str>,
        /// Where, in bytes from the beginning of the packet, if that is known.
        at: Option<usize>,
    },
    /// A frame of an unknown kind that must not be ignored.
    UnknownFrame {
        /// The number of the kind.
        kind: u64,
        /// Where, in bytes from the beginning of the packet, if that is known.
        at: Option<usize>,
    },
    /// A packet of more frames than a packet may have.
    TooManyFrames {
        /// How many frames a packet may have.
        max: usize,
        /// Where the first frame begins that is too many, in bytes from the beginning of the packet, if that is known.
        at: Option<usize>,
    },
    /// A packet longer than this side has announced ([`Config::max_packet`](crate::Config::max_packet)).
    PacketTooLong {
        /// The packet's length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A sequenced packet that is not the next one.
    OutOfSequence {
        /// The packet's number.
        seq: u64,
        /// The number that had to come.
        expected: u64,
    },
    /// An acknowledgement of a packet that was never sent.
    AckOfUnsent {
        /// The number that was acknowledged.
        ack: u64,
        /// The number of the last packet that was sent; 0 before the first.
        last: u64,
    },
    /// A sequenced frame in a packet without a number, or the other way about.
    MisplacedFrame {
        /// The frame's kind, by the name of the protocol: for instance `Request`.
        frame: &'static str,
        /// Whether the packet had a number.
        in_sequenced: bool,
    },
    /// More pings and pongs than are taken, the WebSocket's own included. One a second is taken after the first
    /// ones.
    TooManyPings {
        /// How many are taken at once.
        burst: u32,
    },
    /// A breach of the rules of the handshake.
    Handshake(HandshakeViolation),
    /// A breach of the rules of calls.
    Call(CallViolation),
    /// A breach of the rules of payloads that follow in chunks.
    Transfer(TransferViolation),
    /// A breach of the rules of streams.
    Stream(StreamViolation),
    /// A breach of the rules of WebSocket (RFC 6455), or of what this protocol takes of it.
    WebSocket(WebSocketViolation),
    /// A breach of the rules of another transport, in its own words; see [`ProtocolError::transport`].
    Transport {
        /// The code to close with.
        code: CloseCode,
        /// What the peer did, for people. May contain text of the peer: show it with [`escaped`], or show the whole
        /// error, which does so.
        reason: Arc<str>,
    },
}

impl ProtocolError {
    /// What a transport of another kind than WebSocket reports, in `TransportError::Protocol`, when the peer breaks a
    /// rule of that transport: the code to close with, usually [`CloseCode::PROTOCOL`], and what the peer did.
    ///
    /// ```
    /// use rpc_core::{CloseCode, ProtocolError};
    ///
    /// let error = ProtocolError::transport(CloseCode::PROTOCOL, "a datagram without a length");
    /// assert_eq!(error.close_code(), CloseCode::PROTOCOL);
    /// assert_eq!(error.to_string(), "protocol error: a datagram without a length");
    /// ```
    pub fn transport(code: CloseCode, reason: impl Into<Arc<str>>) -> Self {
        Self::Transport { code, reason: reason.into() }
    }

    /// The code to close the WebSocket with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::PacketTooLong { .. } => CloseCode::TOO_BIG,
            Self::Handshake(violation) => violation.close_code(),
            Self::Transfer(violation) => violation.close_code(),
            Self::WebSocket(violation) => violation.close_code(),
            Self::Transport { code, .. } => *code,
            Self::Malformed { .. }
            | Self::UnknownFrame { .. }
            | Self::TooManyFrames { .. }
            | Self::OutOfSequence { .. }
            | Self::AckOfUnsent { .. }
            | Self::MisplacedFrame { .. }
            | Self::TooManyPings { .. }
            | Self::Call(_)
            | Self::Stream(_) => CloseCode::PROTOCOL,
        }
    }

    /// What the peer did, for people. Not escaped.
    pub fn reason(&self) -> Cow<'_, str> {
        match self {
            Self::Transport { reason, .. } => Cow::Borrowed(reason),
            other => Cow::Owned(Reason(other).to_string()),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protocol error: {}", escaped(&self.reason()))
    }
}

impl error::Error for ProtocolError {}

impl From<HandshakeViolation> for ProtocolError {
    fn from(violation: HandshakeViolation) -> Self {
        Self::Handshake(violation)
    }
}

impl From<CallViolation> for ProtocolError {
    fn from(violation: CallViolation) -> Self {
        Self::Call(violation)
    }
}

impl From<TransferViolation> for ProtocolError {
    fn from(violation: TransferViolation) -> Self {
        Self::Transfer(violation)
    }
}

impl From<StreamViolation> for ProtocolError {
    fn from(violation: StreamViolation) -> Self {
        Self::Stream(violation)
    }
}

impl From<WebSocketViolation> for ProtocolError {
    fn from(violation: WebSocketViolation) -> Self {
        Self::WebSocket(violation)
    }
}

impl From<WireError> for ProtocolError {
    fn from(error: WireError) -> Self {
        let at = error.offset();
        match error.into_fault() {
            WireFault::Text(what) => Self::Malformed { what: what.into(), at },
            WireFault::UnknownFrame(kind) => Self::UnknownFrame { kind, at },
            WireFault::TooManyFrames(max) => Self::TooManyFrames { max, at },
        }
    }
}

/// Shows what the peer did, as it is.
struct Reason<'a>(&'a ProtocolError);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ProtocolError::Malformed { what, at } => write!(f, "{what}{}", At(*at)),
            ProtocolError::UnknownFrame { kind, at } => {
                write!(f, "a frame of the unknown kind {kind}{}", At(*at))
            }
            ProtocolError::TooManyFrames { max, at } => write!(f, "a packet of more than {max} frames{}", At(*at)),
            ProtocolError::PacketTooLong { len, max } => {
                write!(f, "a packet of {len} bytes came, where at most {max} are taken (Config::max_packet)")
            }
            ProtocolError::OutOfSequence { seq, expected } => {
                write!(f, "packet {seq} came where packet {expected} was expected")
            }
            ProtocolError::AckOfUnsent { ack, last } => {
                write!(f, "packet {ack} was acknowledged, but the last one sent is {last}")
            }
            ProtocolError::MisplacedFrame { frame, in_sequenced } => {
                let packet = if *in_sequenced { "a sequenced" } else { "an unsequenced" };
                write!(f, "a {frame} frame came in {packet} packet")
            }
            ProtocolError::TooManyPings { burst } => write!(
                f,
                "too many pings and pongs came, those of the WebSocket included: {burst} at once and one a second \
                 after that are taken"
            ),
            ProtocolError::Handshake(violation) => violation.fmt(f),
            ProtocolError::Call(violation) => violation.fmt(f),
            ProtocolError::Transfer(violation) => violation.fmt(f),
            ProtocolError::Stream(violation) => violation.fmt(f),
            ProtocolError::WebSocket(violation) => violation.fmt(f),
            ProtocolError::Transport { reason, .. } => f.write_str(reason),
        }
    }
}

/// Shows where in a packet, as [`WireError`] does.
struct At(Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, " (at byte {at})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
