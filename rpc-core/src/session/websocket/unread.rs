//! `Unread`: what has been read from the stream and not been taken by the WebSocket library.

use std::{fmt, io, mem, task::Poll};

use tokio::io::AsyncRead;

use super::{metered::Metered, pool};

/// Bytes that wait for the library. Most of the time there are none, and then there is no buffer either.
#[derive(Default)]
pub(super) struct Unread {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Unread {
    /// The copy releases the buffer that the bytes were read into, which may be much longer.
    pub(super) fn copied(bytes: &[u8]) -> Self {
        Self { buffer: bytes.into(), start: 0, end: bytes.len() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The length of the buffer.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Reads once, at most this many bytes. Nothing may be left of what was read before.
    pub(super) fn poll_fill<IO: AsyncRead + Unpin>(
        &mut self,
        stream: &mut Metered<IO>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = pool::buffer();
        // The stream may be a user's and use WebSockets of this thread itself, so the buffer is not in the pool now.
        let most = most.min(buffer.len());
        match stream.poll_read(&mut buffer[..most]) {
            Poll::Ready(Ok(read)) if read > 0 => {
                *self = Self { buffer, start: 0, end: read };
                Poll::Ready(Ok(read))
            }
            other => {
                pool::keep_buffer(buffer);
                other
            }
        }
    }

    /// Moves bytes out, as many as there are room and bytes.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let taken = into.len().min(self.end - self.start);
        into[..taken].copy_from_slice(&self.buffer[self.start..self.start + taken]);
        self.start += taken;
        if self.is_empty() {
            pool::keep_buffer(mem::take(self).buffer);
        }
        taken
    }

    /// Gives up the room that the bytes do not need, because they may wait for long.
    pub(super) fn settle(&mut self) {
        if self.end - self.start < self.buffer.len() {
            let rest = Self::copied(&self.buffer[self.start..self.end]);
            pool::keep_buffer(mem::replace(self, rest).buffer);
        }
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unread").field(&(self.end - self.start)).finish()
    }
}
