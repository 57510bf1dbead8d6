//! `ProtocolError`: the peer broke the rules of the wire.

use std::{fmt, sync::Arc};

use super::CloseCode;
use crate::{text::escaped, wire::WireError};

/// The peer sent something that the protocol forbids; the connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    close: CloseCode,
    reason: Arc<str>,
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

    /// Text that is not UTF-8 (close code 1007).
    #[cfg(feature = "raw")]
    pub(crate) fn not_utf8() -> Self {
        Self { close: CloseCode::NOT_UTF8, reason: "text that is not UTF-8 (RFC 6455 §8.1)".into() }
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
