//! `ConnectionError`: why a session ended.

use std::{fmt, sync::Arc};

use super::{CloseCode, ProtocolError};
use crate::{status::Status, text::escaped};

/// Why a session ended. Cheap to clone. Where it is shown, control characters in what the other side said are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// This side closed it: `close()`, or the last stub was dropped.
    ClosedLocally,
    /// The other side closed it, with this WebSocket close code and reason.
    ClosedByPeer {
        /// The WebSocket close code (RFC 6455 §7.4.1).
        code: CloseCode,
        /// The reason that came with it, for people, as the other side wrote it; may be empty. Text of a peer: show it
        /// with [`escaped`](crate::text::escaped), or show the whole error, which does so.
        reason: Arc<str>,
    },
    /// The link broke without a goodbye.
    Lost(String),
    /// Nothing was heard from the peer, or nothing could be written to it, for too long.
    TimedOut(String),
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The peer refused the session at the handshake, and said why.
    Refused(Status),
    /// This side refused the peer at the handshake.
    RefusedPeer(Status),
    /// A limit of this side was exceeded, and the session was given up to keep the process healthy.
    Overloaded(String),
    /// This side shut down.
    ShutDown,
}

impl ConnectionError {
    /// The code this side closes the WebSocket with, for this reason.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::ClosedLocally | Self::ClosedByPeer { .. } | Self::Lost(_) => CloseCode::NORMAL,
            Self::TimedOut(_) => CloseCode::TIMEOUT,
            Self::Protocol(error) => error.close_code(),
            Self::Refused(_) | Self::RefusedPeer(_) => CloseCode::REFUSED,
            Self::Overloaded(_) => CloseCode::TRY_AGAIN_LATER,
            Self::ShutDown => CloseCode::RESTART,
        }
    }
}

impl ConnectionError {
    /// What the other side is told, for people; the goodbye of an orderly end says nothing.
    pub fn close_reason(&self) -> String {
        match self {
            Self::ClosedLocally | Self::ClosedByPeer { .. } | Self::Lost(_) => String::new(),
            Self::Protocol(error) => error.reason().to_owned(),
            Self::Refused(status) | Self::RefusedPeer(status) => status.message().to_owned(),
            Self::TimedOut(what) | Self::Overloaded(what) => what.clone(),
            Self::ShutDown => "shutting down".to_owned(),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedLocally => f.write_str(
                "the session was closed by this side, with `close` or because the last stub from `connect` was dropped",
            ),
            Self::ClosedByPeer { code, reason } if reason.is_empty() => {
                write!(f, "the session was closed by the other side with code {code}")
            }
            Self::ClosedByPeer { code, reason } => {
                write!(f, "the session was closed by the other side with code {code}: {}", escaped(reason))
            }
            Self::Lost(why) => write!(f, "the link was lost: {}", escaped(why)),
            Self::TimedOut(what) => write!(f, "the session timed out: {}", escaped(what)),
            Self::Protocol(error) => error.fmt(f),
            Self::Refused(status) => {
                write!(f, "the other side refused the session: {}", escaped(status.message()))
            }
            Self::RefusedPeer(status) => write!(f, "the session was refused: {}", escaped(status.message())),
            Self::Overloaded(what) => write!(f, "the session exceeded a limit: {}", escaped(what)),
            Self::ShutDown => f.write_str("this side has shut down"),
        }
    }
}

impl std::error::Error for ConnectionError {}

impl From<ProtocolError> for ConnectionError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
