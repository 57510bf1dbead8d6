//! A driver that can do nothing waits, and lets other tasks run: while its link is lost before hooks are done, and
//! while the other side reads nothing of its last words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use rpc_core::{
    Config, ConnectionInfo, Hosting, Session, SessionHooks, SessionState, Status, async_trait,
    session::{
        Driver, Greeting, Handshake, ResumableSessions, ResumeOutcome, Resumed, Transport, WebSocket, connect_with,
        resume,
    },
};
use rpc_testing::{Wrapped, until};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    sync::Semaphore,
    task::{AbortHandle, yield_now},
    time::{Instant, sleep},
};

/// How often a driver may be polled in a time in which it can do nothing: for what has just happened.
const FEW: usize = 10;
/// Last words wait for ten seconds, and the goodbye for five.
const LONG_ENOUGH: Duration = Duration::from_secs(16);

/// Both ends of a link, and what cuts it.
fn link() -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>, AbortHandle) {
    let ((near, mut one), (far, mut other)) = (duplex(1 << 16), duplex(1 << 16));
    let carried = tokio::spawn(async move {
        let _ = copy_bidirectional(&mut one, &mut other).await;
    });
    let config = Config::default();
    let (near, far) = (WebSocket::server(near, Bytes::new(), &config), WebSocket::client(far, Bytes::new(), &config));
    (near, far, carried.abort_handle())
}

/// A driver whose polls are counted.
struct Counted(Driver, Arc<AtomicUsize>);

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.1.fetch_add(1, SeqCst);
        Pin::new(&mut self.0).poll(cx)
    }
}

fn spawn(driver: Driver) -> Arc<AtomicUsize> {
    let polls = Arc::default();
    tokio::spawn(Counted(driver, Arc::clone(&polls)));
    polls
}

/// Other tasks run, no time passes, and the driver is hardly polled.
async fn is_at_rest(polls: &AtomicUsize) {
    let before = polls.load(SeqCst);
    for _ in 0..1000 {
        yield_now().await;
    }
    let polled = polls.load(SeqCst) - before;
    assert!(polled < FEW, "it was polled {polled} times");
}

fn client(far: impl Transport, hosting: &Hosting) -> (Session, Arc<AtomicUsize>) {
    let greeting = Greeting { resumes: true, ..Greeting::default() };
    let (client, driver) = connect_with(greeting, far, hosting, &Config::default(), ConnectionInfo::default());
    (client, spawn(driver))
}

async fn server(near: impl Transport, hosting: &Hosting) -> Session {
    let config = Config::default();
    let (server, driver) = Handshake::read(near, &config).await.unwrap().accept(hosting, ConnectionInfo::default());
    tokio::spawn(driver);
    server
}

/// A hook that waits for a permit.
#[derive(Clone)]
struct Gate(Arc<AtomicBool>, Arc<Semaphore>);

impl Gate {
    fn new() -> (Self, Hosting) {
        let gate = Self(Arc::default(), Arc::new(Semaphore::new(0)));
        (gate.clone(), Hosting::builder().hooks(gate).build().unwrap())
    }
}

#[async_trait]
impl SessionHooks for Gate {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        self.0.store(true, SeqCst);
        self.1.acquire().await.unwrap().forget();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_loses_its_link_while_its_hooks_run_waits_for_them() {
    for comes_back in [false, true] {
        let (gate, hosting) = Gate::new();
        let (near, far, link) = link();
        let (client, polls) = client(far, &hosting);
        let server = server(near, &Hosting::default()).await;
        until("the hook runs", || gate.0.load(SeqCst)).await;
        link.abort();
        is_at_rest(&polls).await;
        assert!(client.is_detached());
        if comes_back {
            resumed(&server, &client, false).await;
            is_at_rest(&polls).await;
        }
        gate.1.add_permits(1);
        client.established().await.unwrap();
        assert_eq!(client.state(), if comes_back { SessionState::Open } else { SessionState::Detached });
        server.close();
        if comes_back {
            client.closed().await;
        }
    }
}

/// The client's session goes on over another link, whose end at the client takes nothing more when `is_stuck`.
async fn resumed(server: &Session, client: &Session, is_stuck: bool) {
    let (hosting, config) = (Hosting::default(), Config::default());
    let resumable = ResumableSessions::new();
    resumable.insert(server);
    let (near, far, _) = link();
    let (sent, stuck) = (Arc::default(), Arc::<AtomicBool>::default());
    let far = Wrapped::counting(far, &sent, &stuck);
    let back = async {
        let back = resume(client, None, far, &hosting, &config, ConnectionInfo::default()).await;
        stuck.store(is_stuck, SeqCst);
        back.unwrap()
    };
    let there = async {
        let handshake = Handshake::read(near, &config).await.unwrap();
        resumable.resume(handshake, &hosting, &ConnectionInfo::default(), pending()).await
    };
    let (there, back) = tokio::join!(there, back);
    assert!(matches!((&there, back), (ResumeOutcome::Done(_), Resumed::Same)), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn a_side_whose_last_words_are_not_read_waits() {
    let (near, far, link) = link();
    let (client, polls) = client(far, &Hosting::default());
    let server = server(near, &Hosting::default()).await;
    client.established().await.unwrap();
    // The server has to learn that its Welcome has come.
    sleep(Duration::from_secs(1)).await;
    link.abort();
    until("the loss is noticed", || client.is_detached() && server.is_detached()).await;
    client.close();
    let closed = Instant::now();
    resumed(&server, &client, true).await;
    is_at_rest(&polls).await;
    assert_eq!(client.state(), SessionState::Closing);
    client.closed().await;
    assert!(closed.elapsed() < LONG_ENOUGH, "{:?}", closed.elapsed());
}
