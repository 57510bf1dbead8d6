//! `Cable`: the link of a client, which a test cuts, or from which the client reads nothing for a while.

use std::{
    fmt,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use rpc_core::{
    CloseCode,
    session::{Memory, Progress, Transport, TransportError},
};

/// What a test does to a link.
#[derive(Clone, Default)]
pub(crate) struct Cable(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_cut: bool,
    is_held: bool,
    reader: Option<Waker>,
}

impl Cable {
    /// Both ends lose the link.
    pub(crate) fn cut(&self) {
        self.change(|state| state.is_cut = true);
    }

    /// The client reads nothing from now on, or goes on.
    pub(crate) fn hold(&self, is_held: bool) {
        self.change(|state| state.is_held = is_held);
    }

    pub(crate) fn around(&self, inner: Memory) -> Cabled {
        Cabled { inner, cable: self.clone() }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }
}

/// The client's end of such a link.
pub(crate) struct Cabled {
    inner: Memory,
    cable: Cable,
}

impl Transport for Cabled {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        let mut state = self.cable.0.lock().unwrap();
        if state.is_cut {
            return Poll::Ready(Err(TransportError::Lost("it was cut".to_owned())));
        }
        state.reader = Some(cx.waker().clone());
        let is_held = state.is_held;
        drop(state);
        if is_held { Poll::Pending } else { self.inner.poll_receive(cx) }
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
        self.inner.poll_close(cx, code, reason)
    }
    fn progress(&self) -> Progress {
        self.inner.progress()
    }
    fn handshake_done(&mut self) {
        self.inner.handshake_done();
    }
}

impl fmt::Debug for Cabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cabled").finish_non_exhaustive()
    }
}
