//! Servers in processes of their own, which signals end.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use child::{GONE, gone, kind, say, signal, start};
use futures::poll;
use rpc_client::Connect;
use rpc_core::{Config, Execution};
use rpc_server::{Server, ServerBuilder};
use rpc_testing::{SOON, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

const CLIENTS: usize = 200;
/// More than all clients need.
const DESCRIPTORS: usize = 1024;

#[rpc_core::service]
trait Mill {
    /// Adds, after a few turns of the scheduler.
    async fn grind(&self, a: u64, b: u64) -> u64;
    /// Never ends.
    async fn park(&self);
}

struct Wheel;

impl Mill for Wheel {
    async fn grind(&self, a: u64, b: u64) -> u64 {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        a + b
    }
    async fn park(&self) {
        std::future::pending::<()>().await;
    }
}

fn builder() -> ServerBuilder {
    Server::builder().service(Wheel.serve()).path("/rpc").health_routes()
}

/// The child's program; as a test, it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(kind) = kind() else { return };
    let patient = Config::builder().drain_grace(Duration::MAX).drain_timeout(Duration::MAX).build().unwrap();
    let builder = match kind.as_str() {
        "axum" => return mounted().await,
        "patient" => builder().config(patient),
        "delayed" => builder().drain_delay(Duration::MAX),
        _ => builder(),
    };
    let server = builder.listen("127.0.0.1:0").await.unwrap();
    // The parent may send a signal as soon as it has heard; the process waits for signals from the first poll on.
    let mut end = pin!(server.shutdown_on_signal());
    assert!(poll!(&mut end).is_pending());
    say(server.local_addr());
    end.await;
}

async fn mounted() {
    let server = builder().build().unwrap();
    let app = Router::new().route_service("/rpc", server.upgrade());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut end = Box::pin(server.shutdown_signal());
    assert!(poll!(&mut end).is_pending());
    say(listener.local_addr().unwrap());
    axum::serve(listener, app).with_graceful_shutdown(end).await.unwrap();
    server.shutdown().await;
}

async fn mill(addr: SocketAddr) -> MillClient {
    timeout(SOON, MillClient::connect(format!("ws://{addr}/rpc"))).await.unwrap().unwrap()
}

/// Calls until a call fails, and counts the calls that succeed. Returns whether the last call may have run.
async fn calls(mill: MillClient, done: Arc<AtomicUsize>) -> Execution {
    for number in 0.. {
        match mill.grind(number, 1).await {
            Ok(sum) => assert_eq!(sum, number + 1),
            Err(status) => return status.execution(),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!()
}

/// Ends a server that 200 clients call without pause.
async fn drained_under_load(kind: &str, name: &str) {
    let (child, addr) = start(kind, DESCRIPTORS).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut mills = Vec::new();
    for _ in 0..CLIENTS {
        mills.push(mill(addr).await);
    }
    let clients: JoinSet<_> = mills.into_iter().map(|mill| calls(mill, Arc::clone(&done))).collect();
    until("calls go through", || done.load(Ordering::Relaxed) > 10 * CLIENTS).await;
    signal(&child, name).await;
    let ends = timeout(GONE, clients.join_all()).await.expect("every call ends");
    assert_eq!(ends.len(), CLIENTS);
    assert!(ends.iter().all(|end| *end == Execution::NotExecuted), "{ends:?}");
    gone(child).await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_under_load() {
    drained_under_load("alone", "TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drains_under_load() {
    drained_under_load("alone", "INT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_what_is_mounted_in_axum() {
    drained_under_load("axum", "TERM").await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (child, addr) = start("patient", DESCRIPTORS).await;
    let mill = mill(addr).await;
    let mut parked = Box::pin(mill.park());
    assert!(poll!(&mut parked).is_pending());
    assert_eq!(mill.grind(1, 1).await.unwrap(), 2, "the call before has arrived too");
    signal(&child, "TERM").await;
    // The drain has begun: the session takes no more calls, and waits for the call that runs.
    timeout(SOON, async { while mill.grind(1, 1).await.is_ok() {} }).await.unwrap();
    assert!(poll!(&mut parked).is_pending());
    signal(&child, "TERM").await;
    gone(child).await;
    assert!(timeout(SOON, parked).await.unwrap().is_err());
}

/// The status of a page.
async fn status(addr: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer["HTTP/1.1 ".len()..][..3].to_owned()
}

#[tokio::test]
async fn readiness_turns_red_before_the_drain() {
    let (child, addr) = start("delayed", DESCRIPTORS).await;
    assert_eq!(status(addr, "/readyz").await, "200");
    signal(&child, "TERM").await;
    timeout(SOON, async { while status(addr, "/readyz").await != "503" {} }).await.unwrap();
    assert_eq!(status(addr, "/healthz").await, "200");
    // Clients that have not heard of it are still served.
    assert_eq!(mill(addr).await.grind(1, 2).await.unwrap(), 3);
    signal(&child, "TERM").await;
    gone(child).await;
}
