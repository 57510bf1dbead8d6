//! `WebSocketViolation`: breaches of the rules of WebSocket.

use std::fmt;

use crate::error::CloseCode;

/// How a peer broke the rules of WebSocket (RFC 6455), or sent what this protocol does not take.
///
/// ```
/// use rpc_core::{CloseCode, ProtocolError, WebSocketViolation};
///
/// let error = ProtocolError::from(WebSocketViolation::Text);
/// assert_eq!(error.close_code(), CloseCode::UNSUPPORTED);
/// assert_eq!(error.reason(), "a text message, where only binary ones are taken");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketViolation {
    /// A text message. Only binary messages are taken.
    Text,
    /// A message longer than a packet may be ([`Config::max_packet`](crate::Config::max_packet)), or than a raw
    /// WebSocket takes, found before all of it had come. Before the handshake is done it is
    /// [`HandshakeViolation::TooLong`](crate::HandshakeViolation::TooLong) instead.
    MessageTooLong {
        /// The length in bytes that is known; the whole message may be longer.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A message in very many fragments.
    TooManyFragments {
        /// How many bytes a message may have with the headers of its frames.
        max: usize,
    },
    /// A client's frame without a mask (§5.1).
    Unmasked,
    /// A server's frame with a mask (§5.1).
    Masked,
    /// A frame with reserved bits (§5.2). No extension is agreed.
    ReservedBits,
    /// A frame with a reserved opcode (§5.2).
    ReservedOpcode,
    /// A continuation without a message to continue (§5.4).
    StrayContinuation,
    /// A new message before the end of a fragmented one (§5.4).
    UnfinishedMessage,
    /// A control frame in fragments (§5.5).
    FragmentedControl,
    /// A control frame of more than 125 bytes (§5.5).
    ControlTooLong,
    /// Data after the close frame (§5.5.1).
    DataAfterClose,
    /// A close frame of one byte (§5.5.1).
    CloseOfOneByte,
    /// A text message that is not UTF-8 (§8.1), to a raw WebSocket.
    TextNotUtf8,
    /// A close frame whose reason is not UTF-8 (§5.5.1).
    ReasonNotUtf8,
    /// A close frame with a code that must not be sent (§7.4).
    ForbiddenCode,
    /// Another fault in the framing.
    Framing,
}

impl WebSocketViolation {
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Text => CloseCode::UNSUPPORTED,
            Self::TextNotUtf8 => CloseCode::NOT_UTF8,
            Self::MessageTooLong { .. } | Self::TooManyFragments { .. } => CloseCode::TOO_BIG,
            Self::Unmasked
            | Self::Masked
            | Self::ReservedBits
            | Self::ReservedOpcode
            | Self::StrayContinuation
            | Self::UnfinishedMessage
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::DataAfterClose
            | Self::CloseOfOneByte
            | Self::ReasonNotUtf8
            | Self::ForbiddenCode
            | Self::Framing => CloseCode::PROTOCOL,
        }
    }
}

impl fmt::Display for WebSocketViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MessageTooLong { len, max } => {
                return write!(f, "a message of {len} bytes or more, where at most {max} are taken");
            }
            Self::TooManyFragments { max } => {
                return write!(
                    f,
                    "a message in too many fragments: more than {max} bytes with the headers of its frames"
                );
            }
            Self::Text => "a text message, where only binary ones are taken",
            Self::Unmasked => "a frame from the client is not masked (RFC 6455 §5.1)",
            Self::Masked => "a frame from the server is masked (RFC 6455 §5.1)",
            Self::ReservedBits => "a frame has reserved bits set, and no extension was agreed (RFC 6455 §5.2)",
            Self::ReservedOpcode => "a frame has a reserved opcode (RFC 6455 §5.2)",
            Self::StrayContinuation => "a continuation without a message to continue (RFC 6455 §5.4)",
            Self::UnfinishedMessage => "a new message before the end of a fragmented one (RFC 6455 §5.4)",
            Self::FragmentedControl => "a control frame is fragmented (RFC 6455 §5.5)",
            Self::ControlTooLong => "a control frame has more than 125 bytes (RFC 6455 §5.5)",
            Self::DataAfterClose => "data after the close frame (RFC 6455 §5.5.1)",
            Self::CloseOfOneByte => "a close frame of one byte (RFC 6455 §5.5.1)",
            Self::TextNotUtf8 => "text that is not UTF-8 (RFC 6455 §8.1)",
            Self::ReasonNotUtf8 => "the reason of a close frame is not UTF-8",
            Self::ForbiddenCode => "a close frame with a code that must not be sent (RFC 6455 §7.4)",
            Self::Framing => "the WebSocket framing is broken",
        })
    }
}
