//! `HttpStream`: the stream beneath HTTP, on which a client that has left or does not read its answers is noticed.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The most bytes that are read ahead of HTTP while it waits for an answer.
const AHEAD: usize = 16 * 1024;

/// A stream of a client, for HTTP. The library has no limit for writing: a client that asks for a long answer and does
/// not read it would keep its connection for ever. And it does not notice the end of the stream while it has bytes
/// behind the request that is being answered: such a client would be served when it has left long ago.
///
/// A session and a raw WebSocket look after both themselves, and take the stream out.
#[derive(Debug)]
pub(crate) struct HttpStream<IO> {
    shared: Arc<Mutex<Inner<IO>>>,
}

/// Notices the end of a stream while the application has not answered.
#[derive(Debug)]
pub(crate) struct Watch<IO> {
    shared: Arc<Mutex<Inner<IO>>>,
}

/// One task polls the stream and its watch, so the lock is always free.
#[derive(Debug)]
struct Inner<IO> {
    /// `None` once it has been taken out.
    io: Option<IO>,
    /// Whether the application has a request, and has not answered.
    is_asked: bool,
    /// What has been read, and HTTP has not taken.
    ahead: Vec<u8>,
    write_limit: Duration,
    /// Runs while writing is blocked.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl<IO> HttpStream<IO> {
    /// A stream that fails once writing has made no progress for this time.
    pub(crate) fn new(io: IO, write_limit: Duration) -> Self {
        let shared = Inner { io: Some(io), is_asked: false, ahead: Vec::new(), write_limit, blocked: None };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// To be polled by the task that polls the stream, and after it.
    pub(crate) fn watch(&self) -> Watch<IO> {
        Watch { shared: Arc::clone(&self.shared) }
    }

    /// Takes the stream out, and what has been read ahead. `None` if it has been taken.
    pub(crate) fn take(&self) -> Option<(IO, Vec<u8>)> {
        let mut shared = lock(&self.shared);
        shared.io.take().map(|io| (io, std::mem::take(&mut shared.ahead)))
    }
}

impl<IO> Watch<IO> {
    /// Says whether the application has a request, and has not answered.
    pub(crate) fn asked(&self, is_asked: bool) {
        lock(&self.shared).is_asked = is_asked;
    }
}

impl<IO> Clone for Watch<IO> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<IO: AsyncRead + Unpin> Watch<IO> {
    /// Waits until the client has ended the stream before it has an answer. While an answer goes out, writing fails if
    /// the client has left, and a client that has ended its half alone reads the answer to its end.
    pub(crate) async fn gone(&self) {
        poll_fn(|cx| lock(&self.shared).poll_gone(cx)).await;
    }
}

impl<IO> Inner<IO> {
    /// What a write gave, or the end of the time without progress.
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let limit = self.write_limit;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(limit)));
        blocked.as_mut().poll(cx).map(|()| {
            let why = format!("the client took no byte of an answer for {limit:?} (Config::write_timeout)");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }

    fn poll_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut IO, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let written = write(io, cx);
        self.judge(written, cx)
    }
}

impl<IO: AsyncRead + Unpin> Inner<IO> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(into.remaining());
            into.put_slice(&self.ahead[..taken]);
            self.ahead.drain(..taken);
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Some(io) => Pin::new(io).poll_read(cx, into),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(io) = self.io.as_mut().filter(|_| self.is_asked) else { return Poll::Pending };
        let mut scrap = [0; 1024];
        while self.ahead.len() < AHEAD {
            let mut piece = ReadBuf::new(&mut scrap);
            match Pin::new(&mut *io).poll_read(cx, &mut piece) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => self.ahead.extend_from_slice(piece.filled()),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        // A client that goes on sending is there; HTTP takes the bytes when it reads again.
        Poll::Pending
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for HttpStream<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        lock(&self.shared).poll_read(cx, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for HttpStream<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.shared).poll_write(cx, |io, cx| Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.shared).poll_write(cx, |io, cx| Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.shared).io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.shared).poll_write(cx, |io, cx| Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.shared).poll_write(cx, |io, cx| Pin::new(io).poll_shutdown(cx))
    }
}

fn lock<IO>(shared: &Mutex<Inner<IO>>) -> MutexGuard<'_, Inner<IO>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
