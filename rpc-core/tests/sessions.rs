//! What a session's handle and driver promise, whatever is hosted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use rpc_core::{
    CheckedConfig, CloseCode, ConnectionInfo, Hosting,
    session::{Driver, Progress, Transport, TransportError, WebSocket, accept, connect, memory},
};

/// A transport inside another one, which counts how often it is told that the handshake is done.
struct Wrapped<T> {
    inner: T,
    told: Arc<AtomicUsize>,
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
        self.inner.poll_close(cx, code, reason)
    }
    fn progress(&self) -> Progress {
        self.inner.progress()
    }
    fn handshake_done(&mut self) {
        self.told.fetch_add(1, Ordering::SeqCst);
        self.inner.handshake_done();
    }
}

#[tokio::test(start_paused = true)]
async fn drivers_over_different_transports_are_one_type() {
    let (hosting, config) = (Hosting::default(), CheckedConfig::default());
    let info = ConnectionInfo::default;
    let told = Arc::<AtomicUsize>::default();
    let (near, far) = memory();
    let (near, far) = (Wrapped { inner: near, told: told.clone() }, Wrapped { inner: far, told: told.clone() });
    let (io, other_io) = tokio::io::duplex(4096);
    let (ws_server, ws_client) =
        (WebSocket::server(io, Bytes::new(), &config), WebSocket::client(other_io, Bytes::new(), &config));
    let ends = [
        accept(near, &hosting, &config, info()),
        connect(far, &hosting, &config, info()),
        accept(ws_server, &hosting, &config, info()),
        connect(ws_client, &hosting, &config, info()),
    ];
    let (sessions, drivers): (Vec<_>, Vec<Driver>) = ends.into_iter().unzip();
    let drivers: Vec<_> = drivers.into_iter().map(tokio::spawn).collect();
    for session in &sessions {
        session.established().await.unwrap();
    }
    assert_eq!(told.load(Ordering::SeqCst), 2, "each end of the wrapped pair was told once");
    sessions[1].close();
    sessions[3].close();
    for driver in drivers {
        driver.await.unwrap();
    }
}
