//! The end of a server, and the state after it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use raw::{Clerk, Desk, DeskClient, Raw, connections, endless, listen, patient, sessions};
use rpc_client::Connect;
use rpc_core::{CloseCode, Code, Config, ConnectionError, Execution, Session, Stub};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Inside, SOON, at_rest, until};
use tokio::{
    io::{copy_bidirectional, duplex},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

#[rpc_core::service]
trait Inn {
    /// Waits until the test opens the gate.
    async fn park(&self) -> u32;
}

struct House {
    gate: Semaphore,
    parked: AtomicUsize,
}

impl Inn for House {
    async fn park(&self) -> u32 {
        let _inside = Inside::enter(&self.parked);
        self.gate.acquire().await.unwrap().forget();
        7
    }
}

/// Calls in the background, and waits until the call has arrived.
async fn parked(server: &ServerHandle, house: &House) -> (Session, tokio::task::JoinHandle<Option<u32>>) {
    let inn = InnClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
    let session = inn.session().clone();
    let call = tokio::spawn(async move { inn.park().await.ok() });
    until("the call has arrived", || house.parked.load(Ordering::SeqCst) == 1).await;
    (session, call)
}

async fn inn(config: Config) -> (ServerHandle, Arc<House>) {
    let house = Arc::new(House { gate: Semaphore::new(0), parked: AtomicUsize::new(0) });
    let server = Server::builder().service(Inn::serve(Arc::clone(&house))).config(config).listen("127.0.0.1:0");
    (server.await.unwrap(), house)
}

fn is_restart(reason: &ConnectionError) -> bool {
    matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. })
}

#[tokio::test]
async fn shutdown_closes_sessions_frees_the_port_and_ends_wait() {
    let server = patient().await;
    let addr = server.local_addr();
    let desk = DeskClient::connect(format!("ws://{addr}/")).await.unwrap();
    let session = desk.session();
    timeout(SOON, async { tokio::join!(server.shutdown(), server.wait()) }).await.unwrap();
    let reason = timeout(SOON, session.closed()).await.unwrap();
    assert!(is_restart(&reason), "{reason}");
    assert!(server.sessions().connections() == 0);
    assert!(DeskClient::connect(format!("ws://{addr}/")).await.is_err());
    TcpListener::bind(addr).await.unwrap();
    // A second shutdown has no effect.
    timeout(SOON, server.shutdown()).await.unwrap();
    timeout(SOON, server.wait()).await.unwrap();
}

#[tokio::test]
async fn running_calls_end_before_the_server_does() {
    let (server, house) = inn(endless()).await;
    let (session, call) = parked(&server, &house).await;
    let addr = server.local_addr();
    let server = Arc::new(server);
    let [shutdown, wait] = [true, false].map(|shutdown| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { if shutdown { server.shutdown().await } else { server.wait().await } })
    });
    // The port is free although the session is still open.
    let rebound = async {
        loop {
            match TcpListener::bind(addr).await {
                Ok(listener) => return listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    drop(timeout(SOON, rebound).await.unwrap());
    assert_eq!(server.sessions().connections(), 1);
    assert!(!shutdown.is_finished() && !wait.is_finished() && !call.is_finished());
    house.gate.add_permits(1);
    assert_eq!(timeout(SOON, call).await.unwrap().unwrap(), Some(7));
    timeout(SOON, shutdown).await.unwrap().unwrap();
    timeout(SOON, wait).await.unwrap().unwrap();
    assert!(is_restart(&timeout(SOON, session.closed()).await.unwrap()));
    assert!(server.sessions().connections() == 0);
}

#[tokio::test]
async fn calls_that_do_not_end_are_cancelled() {
    let config = endless().to_builder().drain_grace(Duration::from_millis(50)).build().unwrap();
    let (server, house) = inn(config).await;
    let (session, call) = parked(&server, &house).await;
    timeout(SOON, server.shutdown()).await.unwrap();
    assert_eq!(timeout(SOON, call).await.unwrap().unwrap(), None);
    assert!(is_restart(&timeout(SOON, session.closed()).await.unwrap()));
    until("the handler has gone", || house.parked.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_shutdown_goes_on_after_its_future_is_dropped() {
    let (server, house) = inn(endless()).await;
    let (session, call) = parked(&server, &house).await;
    assert!(timeout(Duration::from_millis(20), server.shutdown()).await.is_err());
    house.gate.add_permits(1);
    assert_eq!(timeout(SOON, call).await.unwrap().unwrap(), Some(7));
    assert!(is_restart(&timeout(SOON, session.closed()).await.unwrap()));
    timeout(SOON, server.wait()).await.unwrap();
}

#[tokio::test]
async fn connections_that_are_no_sessions_yet_do_not_delay_the_end() {
    let server = listen(endless()).await;
    let mut silent = Raw::connect(&server).await;
    let mut halfway = Raw::connect(&server).await;
    halfway.send(b"GET / HT").await;
    let mut upgraded = Raw::upgraded(&server).await;
    connections(&server, 1).await;
    let (shutdown, close) = tokio::join!(timeout(SOON, server.shutdown()), async {
        let close = upgraded.close_code().await;
        drop(upgraded);
        close
    });
    shutdown.unwrap();
    assert_eq!(close, Some(1012));
    assert!(silent.rest().await.is_empty());
    assert!(halfway.rest().await.is_empty());
}

#[tokio::test]
async fn a_peer_that_ignores_the_close_does_not_hold_the_server() {
    let config = endless().to_builder().close_timeout(Duration::from_millis(50)).build().unwrap();
    let server = listen(config).await;
    // One is a session, and one has not said Hello.
    let _deaf = [Raw::greeted(&server).await, Raw::upgraded(&server).await];
    connections(&server, 2).await;
    sessions(&server, 1).await;
    timeout(SOON, server.shutdown()).await.unwrap();
    assert!(server.sessions().connections() == 0);
}

#[tokio::test]
async fn dropping_the_handle_closes_every_session() {
    let (server, house) = inn(endless()).await;
    let addr = server.local_addr();
    let (session, call) = parked(&server, &house).await;
    let mut silent = Raw::connect(&server).await;
    let left = server.sessions().clone();
    drop(server);
    match timeout(SOON, session.closed()).await.unwrap() {
        ConnectionError::ClosedByPeer { code, reason } => {
            assert_eq!((code, &*reason), (CloseCode::RESTART, "shutting down"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(timeout(SOON, call).await.unwrap().unwrap(), None);
    silent.rest().await;
    until("all have left", || left.is_empty() && house.parked.load(Ordering::SeqCst) == 0).await;
    TcpListener::bind(addr).await.unwrap();
}

/// The address is free also while a session is still being closed.
#[tokio::test]
async fn a_dropped_server_leaves_its_address_at_once() {
    let mut server = patient().await;
    let addr = server.local_addr();
    for _ in 0..20 {
        let _desk = DeskClient::connect(format!("ws://{addr}/")).await.unwrap();
        drop(server);
        server = Server::builder().service(Clerk.serve()).listen(addr).await.unwrap();
    }
    drop(server.shutdown());
    let shutdown = server.shutdown();
    tokio::pin!(shutdown);
    assert!(futures::poll!(&mut shutdown).is_pending() || server.sessions().connections() == 0);
    TcpListener::bind(addr).await.unwrap();
    timeout(SOON, shutdown).await.unwrap();
}

#[tokio::test]
async fn connections_that_are_torn_leave_nothing() {
    let server = listen(endless()).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Raw::connect(&server).await);
        clients.push(Raw::upgraded(&server).await);
        clients.push(Raw::greeted(&server).await);
    }
    connections(&server, 100).await;
    sessions(&server, 50).await;
    for raw in clients {
        // The connection is reset without a close frame.
        raw.0.set_zero_linger().unwrap();
    }
    connections(&server, 0).await;
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn clients_that_are_torn_in_a_call_leave_nothing() {
    let (server, house) = inn(endless()).await;
    let addr = server.local_addr();
    for _ in 0..20 {
        let (near, mut far) = duplex(64 * 1024);
        let line = tokio::spawn(async move {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            // The connection is reset without a close frame.
            socket.set_zero_linger().unwrap();
            copy_bidirectional(&mut socket, &mut far).await
        });
        let inn = timeout(SOON, InnClient::connect("ws://localhost/").over(near).into_future()).await.unwrap().unwrap();
        let call = tokio::spawn(async move { inn.park().await });
        until("the call has arrived", || house.parked.load(Ordering::SeqCst) == 1).await;
        let session = server.sessions().iter().next().unwrap();
        line.abort();
        let ended = timeout(SOON, session.closed()).await.unwrap();
        assert!(matches!(ended, ConnectionError::Lost(_)), "{ended}");
        let status = timeout(SOON, call).await.unwrap().unwrap().unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
        until("the handler has gone", || house.parked.load(Ordering::SeqCst) == 0).await;
        at_rest(&session).await;
    }
    connections(&server, 0).await;
    timeout(SOON, server.shutdown()).await.unwrap();
}
