//! Calls in both directions at once over real sockets. Afterwards neither side holds anything.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpc_client::{Connect, Reconnect};
use rpc_core::{CallOptions, Code, Config, Context, Execution, Session, Stats, Status, Stub};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Inside, SOON, at_rest, until};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

#[rpc_core::service(callback = Far)]
trait Near {
    /// Calls back with one more, and adds one.
    async fn bounce(&self, cx: &Context<FarClient>, n: u32) -> Result<u32, Status>;
    async fn plain(&self, n: u32) -> u32;
    /// Calls back and forth until `left` is 0, and returns the depth of the chain.
    async fn descend(&self, cx: &Context<FarClient>, left: u32) -> Result<u32, Status>;
    /// Waits until the test opens the gate.
    async fn park(&self) -> u32;
    #[rpc(no_cancel)]
    async fn park_for_good(&self) -> u32;
    /// The number of milliseconds until the deadline of the callback.
    async fn remaining(&self, cx: &Context<FarClient>, scoped: bool) -> Result<u64, Status>;
    async fn panic(&self, late: bool) -> u32;
    #[rpc(oneway)]
    async fn note(&self);
    /// The task in which the handler runs.
    async fn here(&self) -> String;
    #[rpc(spawn)]
    async fn apart(&self) -> String;
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
}

#[rpc_core::callback]
trait Far {
    async fn bounce(&self, cx: &Context<NearClient>, n: u32) -> Result<u32, Status>;
    async fn plain(&self, n: u32) -> u32;
    async fn descend(&self, cx: &Context<NearClient>, left: u32) -> Result<u32, Status>;
    async fn remaining(&self, cx: &Context<NearClient>) -> u64;
}

struct House {
    gate: Semaphore,
    parked: AtomicUsize,
    finished: AtomicUsize,
    notes: AtomicU32,
}

impl House {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Semaphore::new(0),
            parked: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            notes: AtomicU32::new(0),
        })
    }

    async fn wait(&self) -> u32 {
        let _inside = Inside::enter(&self.parked);
        self.gate.acquire().await.unwrap().forget();
        self.finished.fetch_add(1, Ordering::SeqCst);
        7
    }
}

impl Near for House {
    async fn bounce(&self, cx: &Context<FarClient>, n: u32) -> Result<u32, Status> {
        Ok(cx.peer().plain(n + 1).await? + 1)
    }
    async fn plain(&self, n: u32) -> u32 {
        n
    }
    async fn descend(&self, cx: &Context<FarClient>, left: u32) -> Result<u32, Status> {
        if left == 0 { Ok(cx.depth()) } else { cx.peer().descend(left - 1).await }
    }
    async fn park(&self) -> u32 {
        self.wait().await
    }
    async fn park_for_good(&self) -> u32 {
        self.wait().await
    }
    async fn remaining(&self, cx: &Context<FarClient>, scoped: bool) -> Result<u64, Status> {
        if !scoped {
            return cx.peer().remaining().await;
        }
        let peer = cx.peer().clone();
        tokio::spawn(cx.scope(async move { peer.remaining().await })).await.unwrap()
    }
    async fn panic(&self, late: bool) -> u32 {
        if late {
            tokio::task::yield_now().await;
        }
        panic!("as the test wants")
    }
    async fn note(&self) {
        self.notes.fetch_add(1, Ordering::SeqCst);
    }
    async fn here(&self) -> String {
        tokio::task::id().to_string()
    }
    async fn apart(&self) -> String {
        tokio::task::id().to_string()
    }
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

struct Screen;

impl Far for Screen {
    async fn bounce(&self, cx: &Context<NearClient>, n: u32) -> Result<u32, Status> {
        Ok(cx.peer().plain(n + 1).await? + 1)
    }
    async fn plain(&self, n: u32) -> u32 {
        n
    }
    async fn descend(&self, cx: &Context<NearClient>, left: u32) -> Result<u32, Status> {
        if left == 0 { Ok(cx.depth()) } else { cx.peer().descend(left - 1).await }
    }
    async fn remaining(&self, cx: &Context<NearClient>) -> u64 {
        u64::try_from(cx.remaining().unwrap_or(Duration::MAX).as_millis()).unwrap_or(u64::MAX)
    }
}

struct Both {
    server: ServerHandle,
    house: Arc<House>,
    near: NearClient,
    far: FarClient,
    sessions: [Session; 2],
}

async fn both(config: Config) -> Both {
    let house = House::new();
    let builder = Server::builder().service(house.clone().serve()).config(config.clone());
    let server = builder.listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let near =
        NearClient::connect(url).callback(Screen.serve()).config(config).reconnect(Reconnect::never()).await.unwrap();
    let session = server.sessions().iter().next().unwrap();
    Both { far: session.client(), sessions: [near.session(), session], server, house, near }
}

impl Both {
    /// Waits until neither side holds anything.
    async fn empty(&self) {
        for session in &self.sessions {
            at_rest(session).await;
        }
    }

    async fn parked(&self, count: usize) {
        let parked = || self.house.parked.load(Ordering::SeqCst) == count;
        until(&format!("{count} calls are parked"), parked).await;
    }
}

fn is_empty(mut stats: Stats) -> bool {
    // Acknowledgements are delayed by a timer.
    stats.connection.unacked_bulk = 0;
    stats == Stats::default()
}

fn least() -> Config {
    Config::builder()
        .max_calls(1)
        .nested_calls(1)
        .max_oneway_calls(1)
        .chunk(256)
        .max_packet(256 + 512)
        .max_metadata(256)
        .max_payload(256)
        .max_assembly(256)
        .max_arguments(256)
        .outbox_soft(256 + 256 + 512)
        .unacked_bulk(128 * 1024)
        .max_unacked_bulk(128 * 1024)
        .build()
        .unwrap()
}

async fn a_thousand_each_way(config: Config) {
    let both = both(config).await;
    let mut calls = JoinSet::new();
    for n in 0..1000 {
        let (near, far) = (both.near.clone(), both.far.clone());
        calls.spawn(async move { assert_eq!(near.bounce(n).await.unwrap(), n + 2) });
        calls.spawn(async move { assert_eq!(far.bounce(n).await.unwrap(), n + 2) });
    }
    timeout(SOON, calls.join_all()).await.expect("every call ends");
    both.empty().await;
    both.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_each_way_with_the_defaults() {
    a_thousand_each_way(Config::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_each_way_with_every_bound_at_its_least() {
    a_thousand_each_way(least()).await;
}

#[tokio::test]
async fn depth_16_is_served_and_17_is_an_error() {
    for config in [Config::default(), least()] {
        let both = both(config).await;
        assert_eq!(timeout(SOON, both.near.descend(16)).await.unwrap().unwrap(), 16);
        let status = timeout(SOON, both.near.descend(17)).await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(timeout(SOON, both.far.descend(16)).await.unwrap().unwrap(), 16);
        both.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_recursion_from_both_sides_at_once_ends() {
    for config in [Config::default(), least()] {
        let both = both(config).await;
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let (near, far) = (both.near.clone(), both.far.clone());
            calls.spawn(async move { near.descend(12).await });
            calls.spawn(async move { far.descend(12).await });
        }
        for result in timeout(SOON, calls.join_all()).await.expect("every call ends") {
            assert_eq!(result, Ok(12));
        }
        both.empty().await;
    }
}

#[tokio::test]
async fn a_dropped_call_drops_its_handler() {
    let both = both(Config::default()).await;
    for _ in 0..20 {
        let near = both.near.clone();
        let call = tokio::spawn(async move { near.park().await });
        both.parked(1).await;
        call.abort();
        both.parked(0).await;
        both.empty().await;
    }
    assert_eq!(both.house.finished.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_cancel_runs_to_its_end() {
    let both = both(Config::default()).await;
    let near = both.near.clone();
    let call = tokio::spawn(async move { near.park_for_good().await });
    both.parked(1).await;
    call.abort();
    // When a later call has been answered, the cancel has arrived.
    both.near.plain(1).await.unwrap();
    both.house.gate.add_permits(1);
    both.parked(0).await;
    assert_eq!(both.house.finished.load(Ordering::SeqCst), 1);
    both.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_race_with_answers_and_nothing_is_misdelivered() {
    for config in [Config::default(), least()] {
        let both = both(config).await;
        let mut calls = JoinSet::new();
        for n in 0..400_u32 {
            let (near, far) = (both.near.clone(), both.far.clone());
            calls.spawn(async move {
                // Each call is dropped after another number of polls, and so at another step of its life.
                let mut call = std::pin::pin!(near.bounce(n));
                for _ in 0..n % 7 {
                    if let std::task::Poll::Ready(result) = futures_poll(call.as_mut()).await {
                        assert_eq!(result.unwrap(), n + 2);
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
            calls.spawn(async move { assert_eq!(far.plain(n).await.unwrap(), n) });
        }
        timeout(SOON, calls.join_all()).await.unwrap();
        assert_eq!(both.near.plain(5).await.unwrap(), 5);
        both.empty().await;
    }
}

/// Polls once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(move |cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn deadlines_are_inherited_by_callbacks_also_from_scoped_tasks() {
    let both = both(Config::default()).await;
    for scoped in [false, true] {
        let near = both.near.with(CallOptions::new().timeout(Duration::from_secs(20)));
        let ms = near.remaining(scoped).await.unwrap();
        assert!((10_000..=20_000).contains(&ms), "{ms} ms of 20 s are left");
    }
}

#[tokio::test]
async fn a_deadline_ends_a_handler_that_does_not() {
    let both = both(Config::default()).await;
    let status = both.near.with(CallOptions::new().timeout(Duration::from_millis(30))).park().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::Unknown));
    both.parked(0).await;
    both.empty().await;
}

#[tokio::test]
async fn a_panic_answers_internal_and_the_next_call_works() {
    let both = both(Config::default()).await;
    for late in [false, true] {
        let status = both.near.panic(late).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("as the test wants"), "{status}");
        assert_eq!(both.near.plain(1).await.unwrap(), 1);
    }
    both.empty().await;
}

#[tokio::test]
async fn one_way_calls_arrive_before_the_session_is_closed() {
    let Both { house, near, sessions: [_, server_side], server: _server, .. } = both(Config::default()).await;
    for _ in 0..2000 {
        near.note().await.unwrap();
    }
    drop(near);
    timeout(SOON, server_side.closed()).await.unwrap();
    assert_eq!(house.notes.load(Ordering::SeqCst), 2000);
}

#[tokio::test]
async fn handlers_run_where_their_call_arrives_unless_they_are_spawned() {
    let both = both(Config::default()).await;
    assert_eq!(both.near.here().await.unwrap(), both.near.here().await.unwrap());
    assert_ne!(both.near.apart().await.unwrap(), both.near.apart().await.unwrap());
}

#[tokio::test]
async fn four_mebibytes_go_there_and_back() {
    let both = both(Config::default()).await;
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(4 * 1024 * 1024 - 16).collect();
    assert_eq!(both.near.echo(bytes.clone()).await.unwrap(), bytes);
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let (near, bytes) = (both.near.clone(), bytes.clone());
        calls.spawn(async move { assert_eq!(near.echo(bytes.clone()).await.unwrap(), bytes) });
    }
    timeout(SOON, calls.join_all()).await.unwrap();
    both.empty().await;
}

#[tokio::test]
async fn shutdown_lets_running_calls_finish() {
    let both = both(Config::default()).await;
    let near = both.near.clone();
    let call = tokio::spawn(async move { near.park().await });
    both.parked(1).await;
    let house = both.house.clone();
    let release = async {
        // The drain has begun when new calls are refused.
        while both.near.plain(1).await.is_ok() {
            tokio::task::yield_now().await;
        }
        house.gate.add_permits(1);
    };
    timeout(SOON, async { tokio::join!(both.server.shutdown(), release) }).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), 7);
    let reason = timeout(SOON, both.sessions[0].closed()).await.unwrap();
    assert!(reason.to_string().contains("1012"), "{reason}");
    for session in &both.sessions {
        assert!(is_empty(session.stats()));
    }
}

#[tokio::test]
async fn a_lost_session_returns_everything() {
    let both = both(Config::default()).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let near = both.near.clone();
        calls.spawn(async move { near.park().await });
    }
    both.parked(50).await;
    both.sessions[1].close();
    for result in timeout(SOON, calls.join_all()).await.unwrap() {
        let status = result.unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
    }
    for session in &both.sessions {
        timeout(SOON, session.closed()).await.unwrap();
        assert!(is_empty(session.stats()), "{:?}", session.stats());
    }
    both.parked(0).await;
}
