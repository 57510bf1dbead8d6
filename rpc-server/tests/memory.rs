//! The memory of all sessions of a server stays within `ServerBuilder::memory`. Sessions that hold little are not
//! affected.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{future::join_all, stream};
use rpc_client::Connect;
use rpc_core::{CloseCode, Code, Config, ConnectionError, Session, SessionState, Status, Streaming, Stub};
use rpc_server::{BuildError, ListenError, Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

const MIB: usize = 1 << 20;
const MEMORY: usize = 16 * MIB;

#[rpc_core::service]
trait Depot {
    /// Ends when the test opens the gate.
    async fn park(&self, load: &str) -> usize;
    /// As `park`, as a one-way call, which cannot be refused.
    #[rpc(oneway)]
    async fn leave(&self, load: &str);
    async fn weigh(&self, load: &str) -> usize;
    /// Returns `len` bytes when the test opens the gate.
    async fn fetch(&self, len: usize) -> String;
    /// Returns a stream with one item of `len` bytes when the test opens the gate.
    async fn pour(&self, len: usize) -> Streaming<String>;
}

#[derive(Clone)]
struct Yard {
    gate: Arc<Semaphore>,
    parked: Arc<AtomicUsize>,
}

impl Yard {
    fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), parked: Arc::default() }
    }

    async fn hold(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
        let _ = self.gate.acquire().await.unwrap();
    }

    fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }
}

impl Depot for Yard {
    async fn park(&self, load: &str) -> usize {
        self.hold().await;
        load.len()
    }
    async fn leave(&self, _load: &str) {
        self.hold().await;
    }
    async fn weigh(&self, load: &str) -> usize {
        load.len()
    }
    async fn fetch(&self, len: usize) -> String {
        self.hold().await;
        load(len)
    }
    async fn pour(&self, len: usize) -> Streaming<String> {
        self.hold().await;
        Streaming::new(stream::iter([load(len)]))
    }
}

fn config(session_memory: usize) -> Config {
    Config::builder().session_memory(session_memory).build().unwrap()
}

async fn listen(yard: &Yard) -> ServerHandle {
    Server::builder()
        .service(yard.clone().serve())
        .config(config(MEMORY))
        .memory(MEMORY)
        .listen("127.0.0.1:0")
        .await
        .unwrap()
}

async fn connect(server: &ServerHandle) -> DepotClient {
    DepotClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap()
}

fn load(len: usize) -> String {
    "x".repeat(len)
}

fn held(server: &ServerHandle) -> usize {
    server.sessions().iter().map(|session| session.stats().connection.memory_held).sum()
}

fn park(client: &DepotClient, calls: usize) -> Vec<JoinHandle<Result<usize, Status>>> {
    let one = |client: DepotClient| async move { client.park(&load(MIB)).await };
    (0..calls).map(|_| tokio::spawn(one(client.clone()))).collect()
}

/// Four clients take turns until each of them has tried to park 8 MiB. Returns the number of calls that were refused.
async fn crowd(server: &ServerHandle, yard: &Yard, light: &DepotClient) -> usize {
    let before = yard.parked();
    let heavy = join_all((0..4).map(|_| connect(server))).await;
    let (mut calls, mut refused) = (Vec::new(), 0);
    for client in heavy.iter().cycle().take(32) {
        calls.extend(park(client, 1));
        let settled = async {
            while yard.parked() - before + refused < calls.len() {
                assert_eq!(light.weigh(&load(100_000)).await, Ok(100_000), "after {} calls", calls.len());
                refused = calls.iter().filter(|call| call.is_finished()).count();
            }
        };
        timeout(SOON, settled).await.unwrap();
        let held = held(server);
        assert!(held <= MEMORY + MEMORY / 16, "{held} bytes");
    }
    assert!(heavy.iter().all(|client| client.session().state() == SessionState::Open));
    yard.gate.add_permits(calls.len());
    let mut ends = Vec::new();
    for call in &mut calls {
        ends.push(timeout(SOON, call).await.unwrap().unwrap());
    }
    let statuses: Vec<_> = ends.into_iter().filter_map(Result::err).collect();
    assert_eq!(statuses.len(), refused);
    for status in statuses {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("ServerBuilder::memory"), "{status}");
    }
    yard.gate.forget_permits(usize::MAX);
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_clients_are_refused_and_a_light_one_is_served_throughout() {
    let yard = Yard::new();
    let server = listen(&yard).await;
    let light = connect(&server).await;
    for round in 0..3 {
        let refused = crowd(&server, &yard, &light).await;
        // The same amount fits in each round, because all memory of the round before was given back.
        assert!((15..=20).contains(&refused), "{refused} calls in round {round}");
        until("nothing is held", || server.sessions().iter().all(|session| session.stats().is_at_rest())).await;
    }
    server.shutdown().await;
}

fn reason(session: &Session) -> impl Future<Output = ConnectionError> + use<> {
    let session = session.clone();
    async move { timeout(SOON, session.closed()).await.expect("the session is closed") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heaviest_is_closed_when_what_comes_cannot_be_refused() {
    let yard = Yard::new();
    let server = listen(&yard).await;
    let (light, idle, eager) = (connect(&server).await, connect(&server).await, connect(&server).await);
    let parked = park(&idle, 9);
    until("nine calls are there", || yard.parked() == 9).await;
    // These one-way calls hold less than the nine calls, but exceed the limit together with them.
    for _ in 0..8 {
        assert_eq!(light.weigh(&load(1000)).await, Ok(1000));
        eager.leave(&load(MIB + MIB / 10)).await.unwrap();
    }
    let ConnectionError::ClosedByPeer { code, reason } = reason(&idle.session()).await else { panic!("by the server") };
    assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
    assert!(reason.contains("more than 16777216 bytes (ServerBuilder::memory)"), "{reason}");
    for call in parked {
        assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
    until("the one-way calls are served", || yard.parked() == 17).await;
    assert_eq!(eager.weigh("x").await, Ok(1));
    assert_eq!(light.weigh("x").await, Ok(1));
    assert_eq!(server.sessions().len(), 2);
    yard.gate.add_permits(9);
    until("nothing is held", || server.sessions().iter().all(|session| session.stats().is_at_rest())).await;
    server.shutdown().await;
}

/// Results, and items that are longer than a chunk, wait when a client calls and does not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_wait_count() {
    wait_for_a_client_that_does_not_read(async |client: DepotClient| client.fetch(MIB).await.map(drop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_items_that_wait_count() {
    let call = async |client: DepotClient| {
        let mut items = client.pour(MIB).await?;
        items.next().await.transpose().map(drop).map_err(Status::from)
    };
    wait_for_a_client_that_does_not_read(call).await;
}

async fn wait_for_a_client_that_does_not_read<F>(call: impl Fn(DepotClient) -> F + Send + 'static)
where
    F: Future<Output = Result<(), Status>> + 'static,
{
    let yard = Yard::new();
    // No session ends because of a time limit.
    let config = config(MEMORY).to_builder();
    let config = config.write_timeout(Duration::MAX).progress_timeout(Duration::MAX).keepalive_timeout(Duration::MAX);
    let config = config.build().unwrap();
    let server = Server::builder().service(yard.clone().serve()).config(config).memory(MEMORY);
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let light = connect(&server).await;
    let (url, parked) = (format!("ws://{}/", server.local_addr()), yard.parked.clone());
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let heavy = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = DepotClient::connect(url).await.unwrap();
            let calls = join_all((0..40).map(|_| call(client.clone())));
            let parked = until("the calls are there", || parked.load(Ordering::Relaxed) == 40);
            tokio::select! {
                () = parked => {}
                ends = calls => panic!("{ends:?}"),
            }
        });
        // From here on the client does not read.
        let _ = finished.recv();
    });
    until("the calls are there", || yard.parked() == 40).await;
    yard.gate.add_permits(40);
    until("the heavy session is closed", || server.sessions().len() == 1).await;
    assert_eq!(light.weigh(&load(MIB)).await, Ok(MIB));
    drop(finish);
    heavy.join().unwrap();
    server.shutdown().await;
}

/// Closed sessions give all of their memory back, so that each new session can hold the same amount.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_end_give_all_back() {
    let yard = Yard::new();
    let server = listen(&yard).await;
    let light = connect(&server).await;
    for round in 1..=4 {
        let heavy = connect(&server).await;
        let calls = park(&heavy, 9);
        until("nine calls are there", || yard.parked() == 9 * round).await;
        heavy.session().close().await;
        join_all(calls).await;
        until("it is gone", || server.sessions().connections() == 1).await;
    }
    assert_eq!(light.weigh(&load(MIB)).await, Ok(MIB));
    server.shutdown().await;
}

#[tokio::test]
async fn less_than_one_session_may_hold_is_refused() {
    let listen = |builder: rpc_server::ServerBuilder| builder.listen("127.0.0.1:0");
    let error = listen(Server::builder().memory(1000)).await.unwrap_err();
    let expected = BuildError::Memory { given: 1000, least: 64 * MIB };
    assert!(matches!(&error, ListenError::Build(error) if *error == expected), "{error:?}");
    let message = error.to_string();
    for part in ["ServerBuilder::memory is 1000", "Config::session_memory of 67108864"] {
        assert!(message.contains(part), "{message}");
    }
    listen(Server::builder().config(config(8 << 30))).await.unwrap().shutdown().await;
}
