//! `HandshakeBytes`: how many bytes may come before the handshake is done.

use crate::error::{HandshakeViolation, ProtocolError};

/// The bytes that the other side has sent in its handshake, and how many there may be
/// ([`max_handshake`](crate::Config::max_handshake)). The default takes none.
#[derive(Debug, Default)]
pub(crate) struct HandshakeBytes {
    came: usize,
    limit: usize,
}

impl HandshakeBytes {
    pub(crate) fn new(limit: usize) -> Self {
        Self { came: 0, limit }
    }

    /// Counts a packet of `len` bytes.
    pub(crate) fn count(&mut self, len: usize) -> Result<(), ProtocolError> {
        self.came = self.came.saturating_add(len);
        if self.came <= self.limit { Ok(()) } else { Err(HandshakeViolation::TooLong { max: self.limit }.into()) }
    }

    /// The number of bytes that may still come.
    pub(super) fn left(&self) -> usize {
        self.limit.saturating_sub(self.came)
    }
}
