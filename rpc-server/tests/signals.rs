//! Servers in processes of their own, which signals end.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod raw;
mod transport;

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
use child::{GONE, gone, kind, say, signal, start, transport as own_transport};
use futures::poll;
use raw::{Raw, UPGRADE, masked};
use rpc_client::{Connect, Reconnect};
use rpc_core::{Config, Execution};
use rpc_server::{Server, ServerBuilder};
use rpc_testing::{Link, SOON, greeting, over_both, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use transport::Transport;

over_both!("multi_thread": a_signal_drains_under_load, ctrl_c_drains_under_load);

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
        // Peers that say nothing are ended by the drain, and by nothing else.
        _ => {
            let config = Config::builder().upgrade_timeout(Duration::MAX).hello_timeout(Duration::MAX);
            builder().config(config.keepalive_timeout(Duration::MAX).build().unwrap())
        }
    };
    let server = own_transport().listen(builder).await;
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

async fn mill(addr: SocketAddr, transport: &Transport) -> MillClient {
    let connecting = transport.trusting(MillClient::connect(transport.url(addr, "/rpc")));
    let connecting = connecting.reconnect(Reconnect::never());
    timeout(SOON, connecting).await.unwrap().unwrap()
}

/// Peers that keep no rules, and that read on: one has said nothing, one has said half a head, one is a WebSocket
/// without a Hello, and one has a session and never says goodbye.
async fn hostile(addr: SocketAddr, transport: &Transport) -> [Raw<Link>; 4] {
    let upgrade = format!("GET /rpc HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n"));
    let peer = async |bytes: &[u8]| {
        let mut peer = transport.peer(addr).await;
        peer.send(bytes).await;
        peer
    };
    let mut upgraded = peer(upgrade.as_bytes()).await;
    assert!(upgraded.head().await.starts_with("HTTP/1.1 101"));
    let mut greeted = peer(upgrade.as_bytes()).await;
    assert!(greeted.head().await.starts_with("HTTP/1.1 101"));
    greeted.send(&masked(0x82, &greeting())).await;
    // The server has said Welcome.
    let mut first = [0; 2];
    timeout(SOON, greeted.0.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(first[0], 0x82);
    let mut welcome = vec![0; usize::from(first[1])];
    timeout(SOON, greeted.0.read_exact(&mut welcome)).await.unwrap().unwrap();
    [peer(b"").await, peer(&upgrade.as_bytes()[..20]).await, upgraded, greeted]
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
async fn drained_under_load(kind: &str, name: &str, transport: &Transport) {
    let (child, addr) = start(kind, DESCRIPTORS, transport).await;
    // The graceful shutdown of axum waits for such peers.
    let hostile = if kind == "axum" { None } else { Some(hostile(addr, transport).await) };
    let done = Arc::new(AtomicUsize::new(0));
    let mut mills = Vec::new();
    for _ in 0..CLIENTS {
        mills.push(mill(addr, transport).await);
    }
    let clients: JoinSet<_> = mills.into_iter().map(|mill| calls(mill, Arc::clone(&done))).collect();
    until("calls go through", || done.load(Ordering::Relaxed) > 10 * CLIENTS).await;
    signal(&child, name).await;
    let ends = timeout(GONE, clients.join_all()).await.expect("every call ends");
    assert_eq!(ends.len(), CLIENTS);
    assert!(ends.iter().all(|end| *end == Execution::NotExecuted), "{ends:?}");
    if let Some([mut silent, mut half, mut upgraded, mut greeted]) = hostile {
        assert_eq!(silent.rest().await, b"");
        assert_eq!(half.rest().await, b"");
        assert_eq!(upgraded.close_code().await, Some(1012));
        assert_eq!(greeted.close_code().await, Some(1012));
    }
    gone(child).await;
    assert!(TcpStream::connect(addr).await.is_err());
}

async fn a_signal_drains_under_load(transport: Transport) {
    drained_under_load("alone", "TERM", &transport).await;
}

async fn ctrl_c_drains_under_load(transport: Transport) {
    drained_under_load("alone", "INT", &transport).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_what_is_mounted_in_axum() {
    drained_under_load("axum", "TERM", &Transport::ws()).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (child, addr) = start("patient", DESCRIPTORS, &Transport::ws()).await;
    let mill = mill(addr, &Transport::ws()).await;
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
    let (child, addr) = start("delayed", DESCRIPTORS, &Transport::ws()).await;
    assert_eq!(status(addr, "/readyz").await, "200");
    signal(&child, "TERM").await;
    timeout(SOON, async { while status(addr, "/readyz").await != "503" {} }).await.unwrap();
    assert_eq!(status(addr, "/healthz").await, "200");
    // Clients that have not heard of it are still served.
    assert_eq!(mill(addr, &Transport::ws()).await.grind(1, 2).await.unwrap(), 3);
    signal(&child, "TERM").await;
    gone(child).await;
}
