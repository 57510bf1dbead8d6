//! A session ends within its close timeout, although its transport takes nothing any more, whichever timer comes first;
//! and at once if its transport fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use rpc_core::{
    CloseCode, Config, ConnectionError, ConnectionInfo, Hosting,
    session::{Handshake, Progress, Transport, TransportError, connect, memory},
};
use rpc_testing::{BarClient, pass};
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

/// A transport that takes nothing once it has broken, and does not say so when it is asked for a packet.
struct Broken<T> {
    inner: T,
    is_broken: Arc<AtomicBool>,
    /// How often it was asked to take a packet since then.
    asked: Arc<AtomicUsize>,
}

impl<T: Transport> Transport for Broken<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        if self.is_broken.load(SeqCst) { Poll::Pending } else { self.inner.poll_receive(cx) }
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if !self.is_broken.load(SeqCst) {
            return self.inner.poll_ready(cx);
        }
        assert!(self.asked.fetch_add(1, SeqCst) < 100, "the driver asks again and again");
        Poll::Ready(Err(TransportError::Lost("the pipe is broken".into())))
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

#[tokio::test(start_paused = true)]
async fn a_session_whose_transport_fails_at_a_write_ends_at_once() {
    let (config, is_broken, asked) = (Config::default(), Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let (near, far) = memory();
    let link = Broken { inner: far, is_broken: is_broken.clone(), asked: asked.clone() };
    let (client, driver) = connect(link, &Hosting::default(), &config, ConnectionInfo::default());
    tokio::spawn(driver);
    let handshake = Handshake::read(near, &config).await.unwrap();
    let (_server, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    tokio::spawn(driver);
    client.established().await.unwrap();
    pass(Duration::from_secs(1)).await;
    is_broken.store(true, SeqCst);
    let begun = Instant::now();
    assert!(client.client::<BarClient>().order(1).await.is_err());
    let ended = timeout(Duration::from_secs(3600), client.closed()).await.unwrap();
    assert!(matches!(&ended, ConnectionError::Lost(why) if why.contains("the pipe is broken")), "{ended:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(asked.load(SeqCst) < 10);
}
