//! `HeadFirst`: a stream that gives out the head of an HTTP response and keeps what follows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The largest number of bytes of a response's head; the server has the same limit for requests.
const MAX_HEAD: usize = 64 * 1024;
const END: &[u8] = b"\r\n\r\n";

/// A stream whose reader gets the bytes up to the end of the head, and no byte beyond.
///
/// The server may send packets right behind its answer. The WebSocket library's handshake would read them into a buffer
/// that it does not hand over. The library also gets the head in one piece, so that a slow peer cannot make it parse
/// each prefix anew.
#[derive(Debug)]
pub(super) struct HeadFirst<IO> {
    io: IO,
    /// The bytes that have been read from `io`.
    buffer: Vec<u8>,
    /// The end of the head in `buffer`; `None` until the head has been read in full.
    head: Option<usize>,
    given: usize,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> HeadFirst<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, buffer: Vec::new(), head: None, given: 0 }
    }

    /// The stream, and the bytes that were read behind the head.
    pub(super) fn into_parts(mut self) -> (IO, Vec<u8>) {
        let rest = self.buffer.split_off(self.head.unwrap_or(self.buffer.len()));
        (self.io, rest)
    }

    /// Whether what has been read begins as a record of TLS does: an alert of version 3 (RFC 8446 §5.1).
    pub(super) fn speaks_tls(&self) -> bool {
        self.buffer.starts_with(&[0x15, 3])
    }

    /// Reads the bytes behind the head until the stream ends or fails, or until there are `most` bytes.
    pub(super) async fn body(self, most: usize) -> Vec<u8> {
        let (io, mut body) = self.into_parts();
        let missing = most.saturating_sub(body.len());
        let _ = io.take(missing as u64).read_to_end(&mut body).await;
        body.truncate(most);
        body
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            if let Some(head) = self.head {
                return Poll::Ready(Ok(head));
            }
            if self.buffer.len() >= MAX_HEAD {
                let why = format!("the head of the answer has more than {MAX_HEAD} bytes");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
            let mut scrap = [0; 4096];
            let mut piece = ReadBuf::new(&mut scrap);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            // The end may have begun in the bytes that were there before.
            let from = self.buffer.len().saturating_sub(END.len() - 1);
            self.buffer.extend_from_slice(piece.filled());
            let found = self.buffer[from..].windows(END.len()).position(|window| window == END);
            self.head = found.map(|at| from + at + END.len());
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for HeadFirst<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let head = ready!(self.poll_head(cx))?;
        let given = self.given + into.remaining().min(head - self.given);
        into.put_slice(&self.buffer[self.given..given]);
        self.given = given;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadFirst<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.io).poll_write(cx, bytes))? {
            // The library asserts that a write takes at least one byte.
            0 if !bytes.is_empty() => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_head_is_given_and_the_rest_is_kept_however_it_comes() {
        for step in 1..20 {
            let (near, mut far) = tokio::io::duplex(1024);
            for piece in b"HTTP/1.1 101 Go\r\na: b\r\n\r\nrest".chunks(step) {
                far.write_all(piece).await.unwrap();
            }
            drop(far);
            let mut stream = HeadFirst::new(near);
            let mut head = Vec::new();
            stream.read_to_end(&mut head).await.unwrap();
            assert_eq!(head, b"HTTP/1.1 101 Go\r\na: b\r\n\r\n");
            let (mut io, mut rest) = stream.into_parts();
            io.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"rest");
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_an_error() {
        let (near, mut far) = tokio::io::duplex(1024);
        let (result, _) =
            tokio::join!(async { HeadFirst::new(near).read_u8().await }, far.write_all(&[b'x'; MAX_HEAD + 4096]));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_body_is_cut() {
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(b"HTTP/1.1 404 No\r\n\r\nabcdef").await.unwrap();
        let mut stream = HeadFirst::new(near);
        stream.read_exact(&mut [0; 10]).await.unwrap();
        assert_eq!(stream.body(3).await, b"abc");
    }
}
