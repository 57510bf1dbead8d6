//! How long a session may take to end, and what outlives it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpc_core::{
    __internals::wire::PacketHeader,
    CloseCode, Code, Config, ConnectionError, ConnectionInfo, Context, Execution, Hosting, SessionState, Status,
    session::{Handshake, Transport, connect, memory},
};
use rpc_testing::{LIMITS, Wrapped, hello, packet};
use tokio::{sync::Semaphore, time::Instant};

use crate::pairs::{Ends, at_rest, config, host, open, open_with, until};

#[rpc_core::service]
trait Vault {
    /// Runs until the test lets it go.
    #[rpc(no_cancel)]
    async fn write(&self);
    #[rpc(no_cancel, oneway)]
    async fn log(&self);
    async fn read(&self) -> u32;
}

#[rpc_core::callback]
trait Clerk {
    #[rpc(no_cancel, timeout = "200ms")]
    async fn sign(&self);
}

#[rpc_core::service(callback = Clerk)]
trait Office {
    async fn submit(&self, cx: &Context<ClerkClient>) -> Result<(), Status>;
}

#[derive(Clone)]
struct Cellar {
    gate: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
}

impl Cellar {
    fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), running: Arc::default() }
    }

    async fn work(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

impl Vault for Cellar {
    async fn write(&self) {
        self.work().await;
    }

    async fn log(&self) {
        self.work().await;
    }

    async fn read(&self) -> u32 {
        7
    }
}

impl Clerk for Cellar {
    async fn sign(&self) {
        self.work().await;
    }
}

struct Desk;

impl Office for Desk {
    async fn submit(&self, cx: &Context<ClerkClient>) -> Result<(), Status> {
        cx.peer().sign().await
    }
}

async fn begin(ends: &Ends, cellar: &Cellar, calls: usize) {
    let (vault, before): (VaultClient, _) = (ends.client.client(), cellar.running());
    for _ in 0..calls {
        let vault = vault.clone();
        tokio::spawn(async move { vault.write().await });
    }
    until("they run", || cellar.running() == before + calls).await;
}

#[tokio::test(start_paused = true)]
async fn handlers_that_outlive_their_sessions_have_a_bound() {
    let cellar = Cellar::new();
    let server = host(Vault::serve(cellar.clone()));
    let few = || config(|config| config.max_no_cancel(4));
    // Connect, start, drop, and again.
    for _ in 0..2 {
        let ends = open_with(&server, &Hosting::default(), few());
        begin(&ends, &cellar, 2).await;
        ends.client.close();
        ends.server.closed().await;
    }
    assert_eq!(cellar.running(), 4, "they run on");
    let ends = open_with(&server, &Hosting::default(), few());
    let vault: VaultClient = ends.client.client();
    for _ in 0..3 {
        let status = vault.write().await.unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::ResourceExhausted, Execution::NotExecuted), "{status}");
        assert!(status.message().contains("Config::max_no_cancel") && status.message().contains('4'), "{status}");
        assert!(status.is_retryable());
        vault.log().await.unwrap();
    }
    assert_eq!(vault.read().await, Ok(7), "other methods are served");
    at_rest(&ends).await;
    assert_eq!(cellar.running(), 4, "nothing of what was refused has run");
    cellar.gate.add_permits(4);
    until("they have ended", || cellar.running() == 0).await;
    cellar.gate.add_permits(4);
    for _ in 0..4 {
        vault.write().await.unwrap();
    }
    at_rest(&ends).await;
}

/// Places of handlers that end at once, are cancelled before they start or panic come back as well.
#[tokio::test(start_paused = true)]
async fn a_place_comes_back_however_its_handler_ends() {
    let cellar = Cellar::new();
    cellar.gate.add_permits(100);
    let server = host(Vault::serve(cellar.clone()).concurrency(rpc_core::Concurrency::Single));
    let ends = open_with(&server, &Hosting::default(), config(|config| config.max_no_cancel(1)));
    let vault: VaultClient = ends.client.client();
    for _ in 0..10 {
        vault.write().await.unwrap();
        vault.log().await.unwrap();
        at_rest(&ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_handlers_whose_callers_have_given_up() {
    for at_server in [true, false] {
        let cellar = Cellar::new();
        let ends = open(&host(Desk.serve()), &host(Clerk::serve(cellar.clone())));
        let office: OfficeClient = ends.client.client();
        assert_eq!(office.submit().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(cellar.running(), 1, "it runs on");
        let begun = Instant::now();
        let leaving = if at_server { &ends.server } else { &ends.client };
        leaving.drain();
        assert_eq!(leaving.closed().await, ConnectionError::ShutDown);
        let grace = Config::default().drain_grace();
        // Where it runs it has the grace; where it was called, no caller waits for it.
        let limit = if at_server { Duration::from_secs(1) } else { grace + Duration::from_secs(1) };
        assert!(begun.elapsed() <= limit, "{:?}", begun.elapsed());
        assert_eq!(cellar.running(), 1, "it runs on still");
        cellar.gate.add_permits(1);
        until("it has ended", || cellar.running() == 0).await;
        at_rest(&ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_shows_that_the_other_side_drains() {
    let cellar = Cellar::new();
    let ends = open(&host(Vault::serve(cellar.clone())), &Hosting::default());
    begin(&ends, &cellar, 1).await;
    ends.server.drain();
    ends.client.draining().await;
    let vault: VaultClient = ends.client.client();
    assert_eq!(vault.read().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(ends.client.state(), SessionState::Draining);
    assert_eq!(ends.server.state(), SessionState::Draining);
    cellar.gate.add_permits(1);
    ends.client.closed().await;
    assert_eq!(ends.client.state(), SessionState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_no_longer_than_its_time_closing_included() {
    let times = [(30, 5, 10), (3, 5, 10), (30, 40, 1), (2, 1, 40)];
    for (drain, close, grace) in times.map(|(d, c, g)| (d, c, g).into_durations()) {
        let config = config(|config| config.drain_timeout(drain).close_timeout(close).drain_grace(grace));
        let cellar = Cellar::new();
        let (near, far) = memory();
        let hosting = host(Vault::serve(cellar.clone()));
        let (client, other) = connect(far, &Hosting::default(), &config, ConnectionInfo::default());
        tokio::spawn(other);
        let handshake = Handshake::read(Wrapped::deaf(near), &config).await.unwrap();
        let (server, driver) = handshake.accept(&hosting, ConnectionInfo::default());
        tokio::spawn(driver);
        let ends = Ends { server, client };
        begin(&ends, &cellar, 1).await;
        let begun = Instant::now();
        ends.server.drain();
        assert_eq!(ends.server.closed().await, ConnectionError::ShutDown);
        assert!(begun.elapsed() <= drain, "{:?} of {drain:?}", begun.elapsed());
        assert!(begun.elapsed() >= drain / 2, "the call had its time: {:?} of {drain:?}", begun.elapsed());
        cellar.gate.add_permits(1);
    }
}

trait IntoDurations {
    fn into_durations(self) -> (Duration, Duration, Duration);
}

impl IntoDurations for (u64, u64, u64) {
    fn into_durations(self) -> (Duration, Duration, Duration) {
        (Duration::from_secs(self.0), Duration::from_secs(self.1), Duration::from_secs(self.2))
    }
}

#[tokio::test(start_paused = true)]
async fn close_can_be_awaited_and_acts_at_once_all_the_same() {
    let ends = open(&Hosting::default(), &Hosting::default());
    ends.client.established().await.unwrap();
    // Nothing more is needed to end the session.
    ends.client.close();
    assert!(matches!(ends.server.closed().await, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }));
    assert_eq!(ends.client.close().await, ConnectionError::ClosedLocally, "after the end it gives the reason");

    let ends = open(&Hosting::default(), &Hosting::default());
    ends.client.established().await.unwrap();
    assert_eq!(ends.client.close().await, ConnectionError::ClosedLocally);
    assert_eq!(ends.client.state(), SessionState::Closed, "the goodbye is out");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_close_has_a_limit() {
    let (near, mut far) = memory();
    let config = Config::default();
    far.start_send(packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, Vec::new())])).unwrap();
    // Its driver is never polled, as one whose thread a handler has blocked.
    let handshake = Handshake::read(near, &config).await.unwrap();
    let (session, _driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    let begun = Instant::now();
    let reason = session.close().await;
    assert!(matches!(reason, ConnectionError::TimedOut(_)), "{reason:?}");
    assert!(reason.to_string().contains("Config::close_timeout"), "{reason}");
    assert!(begun.elapsed() <= config.close_timeout() + Duration::from_secs(1), "in virtual time");
}
