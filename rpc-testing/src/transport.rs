//! A transport that shows a test what a session does with it, and that a test can hold up.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use rpc_core::{
    CloseCode,
    session::{Progress, Transport, TransportError},
};

/// A transport inside another one.
pub struct Wrapped<T> {
    inner: T,
    handshakes: Arc<AtomicUsize>,
    is_deaf: bool,
    sent: Arc<AtomicUsize>,
    is_stuck: Arc<AtomicBool>,
    read: Box<dyn FnMut(Bytes) -> Bytes + Send>,
}

impl<T> Wrapped<T> {
    /// Counts how often the transport is told that the handshake is done. The transport holds its clone of the counter
    /// until it is dropped.
    pub fn new(inner: T, handshakes: &Arc<AtomicUsize>) -> Self {
        Self {
            inner,
            handshakes: Arc::clone(handshakes),
            is_deaf: false,
            sent: Arc::default(),
            is_stuck: Arc::default(),
            read: Box::new(|packet| packet),
        }
    }

    /// Never finishes its goodbye, as if the other side did not answer it.
    pub fn deaf(inner: T) -> Self {
        Self { is_deaf: true, ..Self::new(inner, &Arc::default()) }
    }

    /// Counts the packets that it is given to send, and takes none while it is stuck.
    pub fn counting(inner: T, sent: &Arc<AtomicUsize>, is_stuck: &Arc<AtomicBool>) -> Self {
        Self { sent: Arc::clone(sent), is_stuck: Arc::clone(is_stuck), ..Self::new(inner, &Arc::default()) }
    }

    /// Hands on what `read` makes of each packet that comes.
    pub fn reading(inner: T, read: impl FnMut(Bytes) -> Bytes + Send + 'static) -> Self {
        Self { read: Box::new(read), ..Self::new(inner, &Arc::default()) }
    }
}

impl<T: Transport> Transport for Wrapped<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        self.inner.poll_receive(cx).map_ok(&mut self.read)
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.is_stuck.load(Ordering::SeqCst) { Poll::Pending } else { self.inner.poll_ready(cx) }
    }
    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.inner.start_send(packet)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()> {
        if self.is_deaf { Poll::Pending } else { self.inner.poll_close(cx, code, reason) }
    }
    fn progress(&self) -> Progress {
        self.inner.progress()
    }
    fn handshake_done(&mut self) {
        self.handshakes.fetch_add(1, Ordering::SeqCst);
        self.inner.handshake_done();
    }
}

impl<T> fmt::Debug for Wrapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("is_deaf", &self.is_deaf).finish_non_exhaustive()
    }
}
