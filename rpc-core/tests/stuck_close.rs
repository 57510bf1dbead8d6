//! A session ends within its close timeout, although its transport takes nothing any more, whichever timer comes first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use rpc_core::{
    CloseCode, Config, ConnectionInfo, Hosting,
    session::{Handshake, Progress, Transport, TransportError, connect, memory},
};
use rpc_testing::pass;
use tokio::time::{Instant, timeout};

/// A transport that neither gives nor takes anything once it is stuck.
struct Stuck<T> {
    inner: T,
    is_stuck: Arc<AtomicBool>,
}

impl<T: Transport> Transport for Stuck<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        if self.is_stuck.load(SeqCst) { Poll::Pending } else { self.inner.poll_receive(cx) }
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.is_stuck.load(SeqCst) { Poll::Pending } else { self.inner.poll_ready(cx) }
    }
    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
        self.inner.start_send(packet)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.is_stuck.load(SeqCst) { Poll::Pending } else { self.inner.poll_flush(cx) }
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()> {
        if self.is_stuck.load(SeqCst) { Poll::Pending } else { self.inner.poll_close(cx, code, reason) }
    }
    fn progress(&self) -> Progress {
        self.inner.progress()
    }
    fn handshake_done(&mut self) {
        self.inner.handshake_done();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_transport_is_stuck_ends_within_its_close_timeout() {
    // In these cases a timer of the running session comes before the close timeout, with it, and after it.
    for idle in [1, 9, 11, 13, 14, 16, 29] {
        let (config, is_stuck) = (Config::default(), Arc::new(AtomicBool::new(false)));
        let (near, far) = memory();
        let link = Stuck { inner: far, is_stuck: is_stuck.clone() };
        let (client, driver) = connect(link, &Hosting::default(), &config, ConnectionInfo::default());
        tokio::spawn(driver);
        let handshake = Handshake::read(near, &config).await.unwrap();
        let (_server, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
        tokio::spawn(driver);
        client.established().await.unwrap();
        pass(Duration::from_secs(idle)).await;
        is_stuck.store(true, SeqCst);
        let begun = Instant::now();
        drop(client.close());
        let limit = config.close_timeout() + Duration::from_secs(1);
        let ended = timeout(Duration::from_secs(3600), client.closed()).await;
        assert!(ended.is_ok() && begun.elapsed() <= limit, "after {idle} s: {ended:?} in {:?}", begun.elapsed());
    }
}
