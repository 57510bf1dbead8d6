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
    CloseCode, Config, ConnectionError, ConnectionInfo, Hosting, Session,
    session::{Handshake, Progress, Transport, TransportError, connect, memory},
};
use rpc_testing::{BarClient, pass};
use tokio::time::{Instant, timeout};

/// What becomes of a transport when its test says so.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// It neither gives nor takes anything.
    Stuck,
    /// It gives nothing, and says that the link is lost when it is asked to take a packet.
    Broken,
}

/// A transport that fails in this way once its switch is set.
struct Faulty<T> {
    inner: T,
    fault: Fault,
    switch: Arc<Switch>,
}

#[derive(Default)]
struct Switch {
    is_set: AtomicBool,
    /// How often the transport was asked to take a packet since then.
    asked: AtomicUsize,
}

impl<T> Faulty<T> {
    /// The fault, once there is one.
    fn fault(&self) -> Option<Fault> {
        self.switch.is_set.load(SeqCst).then_some(self.fault)
    }
}

impl<T: Transport> Transport for Faulty<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        if self.fault().is_some() { Poll::Pending } else { self.inner.poll_receive(cx) }
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.fault() == Some(Fault::Broken) {
            assert!(self.switch.asked.fetch_add(1, SeqCst) < 100, "the driver asks again and again");
            return Poll::Ready(Err(TransportError::Lost("the pipe is broken".into())));
        }
        if self.fault() == Some(Fault::Stuck) { Poll::Pending } else { self.inner.poll_ready(cx) }
    }
    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
        self.inner.start_send(packet)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.fault() == Some(Fault::Stuck) { Poll::Pending } else { self.inner.poll_flush(cx) }
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()> {
        if self.fault() == Some(Fault::Stuck) { Poll::Pending } else { self.inner.poll_close(cx, code, reason) }
    }
    fn progress(&self) -> Progress {
        self.inner.progress()
    }
    fn handshake_done(&mut self) {
        self.inner.handshake_done();
    }
}

/// Both ends of a session whose client has a transport that may fail in this way, and the switch.
async fn session(fault: Fault) -> (Session, Session, Arc<Switch>) {
    let (config, switch) = (Config::default(), Arc::<Switch>::default());
    let (near, far) = memory();
    let link = Faulty { inner: far, fault, switch: switch.clone() };
    let (client, driver) = connect(link, &Hosting::default(), &config, ConnectionInfo::default());
    tokio::spawn(driver);
    let handshake = Handshake::read(near, &config).await.unwrap();
    let (server, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    tokio::spawn(driver);
    client.established().await.unwrap();
    (server, client, switch)
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_transport_is_stuck_ends_within_its_close_timeout() {
    // In these cases a timer of the running session comes before the close timeout, with it, and after it.
    for idle in [1, 9, 11, 13, 14, 16, 29] {
        let (_server, client, switch) = session(Fault::Stuck).await;
        pass(Duration::from_secs(idle)).await;
        switch.is_set.store(true, SeqCst);
        let begun = Instant::now();
        drop(client.close());
        let limit = Config::default().close_timeout() + Duration::from_secs(1);
        let ended = timeout(Duration::from_secs(3600), client.closed()).await;
        assert!(ended.is_ok() && begun.elapsed() <= limit, "after {idle} s: {ended:?} in {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_transport_fails_at_a_write_ends_at_once() {
    let (_server, client, switch) = session(Fault::Broken).await;
    pass(Duration::from_secs(1)).await;
    switch.is_set.store(true, SeqCst);
    let begun = Instant::now();
    assert!(client.client::<BarClient>().order(1).await.is_err());
    let ended = timeout(Duration::from_secs(3600), client.closed()).await.unwrap();
    assert!(matches!(&ended, ConnectionError::Lost(why) if why.contains("the pipe is broken")), "{ended:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(switch.asked.load(SeqCst) < 10);
}
