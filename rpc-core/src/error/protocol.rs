//! `ProtocolError`: the peer broke the rules of the wire.

use std::{fmt, sync::Arc};

use crate::{text::escaped, wire::WireError};

/// The peer sent something that the protocol forbids; the connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    close: CloseCode,
    reason: Arc<str>,
}

/// The WebSocket close code that an ending maps to (RFC 6455 §7.4.1; 4000 and up are this protocol's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A message of a type that is not taken: text.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A message larger than announced limits allow.
    pub const TOO_BIG: Self = Self(1009);
    /// The server restarts or shuts down.
    pub const RESTART: Self = Self(1012);
    /// The handshake was refused; the Welcome packet before it says why.
    pub const REFUSED: Self = Self(4400);
    /// A time limit ran out: handshake, keepalive, a stalled message or a stalled write.
    pub const TIMEOUT: Self = Self(4408);
}

impl ProtocolError {
    /// A breach of the protocol's rules (close code 1002).
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { close: CloseCode::PROTOCOL, reason: reason.into() }
    }

    /// A breach of a size limit (close code 1009).
    pub fn too_big(reason: impl Into<Arc<str>>) -> Self {
        Self { close: CloseCode::TOO_BIG, reason: reason.into() }
    }

    /// A message type that is not taken (close code 1003).
    pub fn unsupported(reason: impl Into<Arc<str>>) -> Self {
        Self { close: CloseCode::UNSUPPORTED, reason: reason.into() }
    }

    /// The code to close the WebSocket with.
    pub fn close_code(&self) -> CloseCode {
        self.close
    }

    /// What the peer did.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protocol error: {}", escaped(&self.reason))
    }
}

impl std::error::Error for ProtocolError {}

impl From<WireError> for ProtocolError {
    fn from(error: WireError) -> Self {
        Self::new(error.to_string())
    }
}
