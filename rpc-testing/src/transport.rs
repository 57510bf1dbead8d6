//! A transport that shows a test what a session does with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use rpc_core::{
    CloseCode,
    session::{Progress, Transport, TransportError},
};

/// A transport inside another one.
#[derive(Debug)]
pub struct Wrapped<T> {
    inner: T,
    handshakes: Arc<AtomicUsize>,
    is_deaf: bool,
}

impl<T> Wrapped<T> {
    /// Counts how often the transport is told that the handshake is done. The transport holds its clone of the counter
    /// until it is dropped.
    pub fn new(inner: T, handshakes: &Arc<AtomicUsize>) -> Self {
        Self { inner, handshakes: Arc::clone(handshakes), is_deaf: false }
    }

    /// Never finishes its goodbye, as if the other side did not answer it.
    pub fn deaf(inner: T) -> Self {
        Self { inner, handshakes: Arc::default(), is_deaf: true }
    }
}

impl<T: Transport> Transport for Wrapped<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        self.inner.poll_receive(cx)
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_ready(cx)
    }
    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
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
