//! `RawError`: why a WebSocket ended, or took no message.

use std::{error, fmt, time::Duration};

use super::CloseFrame;
use crate::{
    error::{CloseCode, ProtocolError},
    session::TransportError,
    text::{MAX_PEER_TEXT, cut, escaped},
};

/// Why a WebSocket ended other than by a goodbye, or why it did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawError {
    /// The connection broke: the other side hung up without a close frame, or the network gave up.
    Lost(String),
    /// The other side broke the rules of the WebSocket or a limit of this side. It was told the code: 1007 for text
    /// that is not UTF-8, 1009 for a message over [`RawLimits::max_message`](super::RawLimits::max_message), otherwise
    /// 1002. The receiver gets the messages that came before first, and the answers to them go out before the code.
    Protocol(ProtocolError),
    /// Nothing came from the other side for this time, [`RawLimits::silence`](super::RawLimits::silence).
    Silent(Duration),
    /// The other side took no byte for this time, [`RawLimits::write_timeout`](super::RawLimits::write_timeout).
    Stuck(Duration),
    /// This side ended the connection with [`Connection::abort`](super::Connection::abort); what was queued is lost. A
    /// collection aborts a member that does not keep up.
    Aborted(CloseFrame),
    /// The queue of messages to send has no room. Only
    /// [`Connection::try_send`](super::Connection::try_send) says so.
    Full,
    /// A ping may carry 125 bytes (RFC 6455 §5.5), and was given this many.
    PingTooLong(usize),
    /// The WebSocket is closing or closed, and takes no more messages.
    Closed,
}

impl RawError {
    /// The goodbye that the other side gets; `None` where no goodbye would arrive.
    pub(super) fn goodbye(&self) -> Option<CloseFrame> {
        match self {
            Self::Protocol(error) => Some(CloseFrame::new(error.close_code(), error.reason())),
            Self::Silent(_) => Some(CloseFrame::new(CloseCode::INTERNAL, "nothing came for too long")),
            Self::Aborted(frame) => Some(frame.clone()),
            Self::Lost(_) | Self::Stuck(_) | Self::Full | Self::PingTooLong(_) | Self::Closed => None,
        }
    }
}

impl From<TransportError> for RawError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Protocol(error) => Self::Protocol(error),
            TransportError::Lost(why) => Self::Lost(cut(&why, MAX_PEER_TEXT).to_owned()),
            TransportError::Closed { .. } => Self::Closed,
        }
    }
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(why) => write!(f, "the connection was lost: {}", escaped(why)),
            Self::Protocol(error) => error.fmt(f),
            Self::Silent(limit) => {
                write!(f, "nothing came from the other side for {limit:?}, although it was pinged (RawLimits::silence)")
            }
            Self::Stuck(limit) => {
                write!(f, "the other side took no byte for {limit:?} (RawLimits::write_timeout)")
            }
            Self::Aborted(frame) => {
                write!(f, "this side ended the connection: {}", frame.code)?;
                if frame.reason.is_empty() { Ok(()) } else { write!(f, ", {}", escaped(&frame.reason)) }
            }
            Self::Full => f.write_str(
                "the queue of messages to send is full; the other side does not keep up, so leave messages out, or wait \
                 with send",
            ),
            Self::PingTooLong(len) => write!(f, "a ping may carry 125 bytes, and was given {len}"),
            Self::Closed => f.write_str("the WebSocket is closed, and takes no more messages"),
        }
    }
}

impl error::Error for RawError {}
