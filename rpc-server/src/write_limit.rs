//! `WriteLimit`: the stream beneath HTTP, on which a peer that does not read its answers is given up.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A stream that fails once writing has made no progress for a time.
///
/// HTTP has no such limit: a peer that asks for a long answer and does not read it would keep its connection for ever.
/// A session and a raw WebSocket have limits of their own, and take the stream out.
#[derive(Debug)]
pub(crate) struct WriteLimit<IO> {
    io: IO,
    limit: Duration,
    /// Runs while writing is blocked.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl<IO> WriteLimit<IO> {
    pub(crate) fn new(io: IO, limit: Duration) -> Self {
        Self { io, limit, blocked: None }
    }

    pub(crate) fn into_inner(self) -> IO {
        self.io
    }

    /// What a write gave, or the end of the time without progress.
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let limit = self.limit;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(limit)));
        blocked.as_mut().poll(cx).map(|()| {
            let why = format!("the peer took no byte of an answer for {limit:?} (Config::write_timeout)");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for WriteLimit<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WriteLimit<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.judge(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.io).poll_shutdown(cx);
        self.judge(ended, cx)
    }
}
