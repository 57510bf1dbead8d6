//! One server at several addresses: what its listeners share, and what ends with which handle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use futures::poll;
use raw::{DeskClient, Raw, UPGRADE, builder, endless};
use rpc_client::Connect;
use rpc_core::{CloseCode, ConnectionError, Session, Stub};
use rpc_server::{ListenError, Listener, Server, ServerBuilder};
use rpc_testing::SOON;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

const ANY_PORT: &str = "127.0.0.1:0";

fn server() -> Server {
    builder().config(endless()).build().unwrap()
}

async fn listen(server: &Server) -> Listener {
    server.listen(ANY_PORT).await.unwrap()
}

async fn desk(listener: &Listener) -> DeskClient {
    timeout(SOON, DeskClient::connect(format!("ws://{}/", listener.local_addr()))).await.unwrap().unwrap()
}

async fn raw(listener: &Listener) -> Raw {
    Raw(TcpStream::connect(listener.local_addr()).await.unwrap())
}

async fn ended_by_restart(session: Session) {
    let reason = timeout(SOON, session.closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
}

/// Waits until the server has `count` connections, with those whose handshake is under way.
async fn connections(server: &Server, count: usize) {
    let reached = async {
        while server.sessions().connections() != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, reached).await.unwrap();
}

#[tokio::test]
async fn two_listeners_share_the_sessions_and_shut_down_together() {
    let server = server();
    let (first, second) = (listen(&server).await, listen(&server).await);
    let (here, there) = (desk(&first).await, desk(&second).await);
    here.address().await.unwrap();
    there.address().await.unwrap();
    assert_eq!(server.sessions().len(), 2);

    let other = server.clone();
    let wait = tokio::spawn(async move { other.wait().await });
    timeout(SOON, server.shutdown()).await.unwrap();
    timeout(SOON, wait).await.unwrap().unwrap();
    ended_by_restart(here.session()).await;
    ended_by_restart(there.session()).await;
    assert_eq!(server.sessions().connections(), 0);
    for listener in [first, second] {
        TcpListener::bind(listener.local_addr()).await.unwrap();
    }
}

#[tokio::test]
async fn two_listeners_share_the_caps() {
    let caps: [fn(ServerBuilder) -> ServerBuilder; 2] =
        [|builder| builder.max_connections(2), |builder| builder.max_connections_per_address(2)];
    for cap in caps {
        let server = cap(builder().config(endless())).build().unwrap();
        let (first, second) = (listen(&server).await, listen(&server).await);
        let (here, _there) = (desk(&first).await, desk(&second).await);
        for listener in [&first, &second] {
            // Nothing is sent, so no reset can swallow the answer.
            let head = raw(listener).await.head().await;
            assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        }
        here.session().close().await;
        connections(&server, 1).await;
        desk(&second).await.address().await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_listener_leaves_the_other_one_and_its_own_sessions() {
    let server = server();
    let (first, second) = (listen(&server).await, listen(&server).await);
    let here = desk(&first).await;
    let addr = first.local_addr();
    first.close();
    // The address is free at once, and the session lives on.
    drop(TcpListener::bind(addr).await.unwrap());
    here.address().await.unwrap();
    desk(&second).await.address().await.unwrap();
    drop(second);
    here.address().await.unwrap();
    timeout(SOON, server.shutdown()).await.unwrap();
    ended_by_restart(here.session()).await;
}

#[tokio::test]
async fn a_connection_that_was_accepted_may_become_a_session_after_its_listener_has_closed() {
    let server = server();
    let listener = listen(&server).await;
    let mut accepted = raw(&listener).await;
    let head = accepted.get(&["Host: localhost"]).await;
    assert!(head.starts_with("HTTP/1.1 426"), "{head}");
    accepted.body(&head).await;
    listener.close();
    let head = accepted.get(&UPGRADE).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    connections(&server, 1).await;
}

#[tokio::test]
async fn connections_of_a_closed_listener_do_not_hold_the_shutdown() {
    let server = server();
    let listener = listen(&server).await;
    let mut halfway = raw(&listener).await;
    let head = halfway.get(&["Host: localhost"]).await;
    halfway.body(&head).await;
    listener.close();
    timeout(SOON, server.shutdown()).await.unwrap();
    assert!(halfway.rest().await.is_empty());
}

#[tokio::test]
async fn a_server_is_built_once_and_listens_again_after_a_close() {
    let server = server();
    let listener = listen(&server).await;
    let addr = listener.local_addr();
    let before = desk(&listener).await;
    listener.close();
    for _ in 0..20 {
        let again = server.listen(addr).await.unwrap();
        assert_eq!(again.local_addr(), addr);
        desk(&again).await.address().await.unwrap();
    }
    before.address().await.unwrap();
    let handed_down = server.serve_listener(TcpListener::bind(addr).await.unwrap()).unwrap();
    desk(&handed_down).await.address().await.unwrap();
}

#[tokio::test]
async fn the_last_handle_ends_the_server_and_no_other() {
    let server = server();
    let listener = listen(&server).await;
    let sessions = server.sessions().clone();
    let desk = desk(&listener).await;
    let (clone, upgrade) = (server.clone(), server.upgrade());
    drop(server);
    drop(clone);
    drop(upgrade);
    desk.address().await.unwrap();
    let addr = listener.local_addr();
    drop(listener);
    ended_by_restart(desk.session()).await;
    TcpListener::bind(addr).await.unwrap();
    timeout(SOON, sessions.drain()).await.unwrap();
    assert_eq!(sessions.connections(), 0);
}

#[tokio::test]
async fn the_last_server_ends_the_sessions_of_closed_listeners() {
    let server = server();
    let listener = listen(&server).await;
    let desk = desk(&listener).await;
    let mut halfway = raw(&listener).await;
    let head = halfway.get(&["Host: localhost"]).await;
    halfway.body(&head).await;
    drop(listener);
    desk.address().await.unwrap();
    drop(server);
    ended_by_restart(desk.session()).await;
    assert!(halfway.rest().await.is_empty());
}

#[tokio::test]
async fn a_server_that_has_been_shut_down_does_not_listen() {
    let server = server();
    let listener = listen(&server).await;
    timeout(SOON, server.shutdown()).await.unwrap();
    let error = server.listen(listener.local_addr()).await.unwrap_err();
    assert!(matches!(error, ListenError::ShutDown), "{error:?}");
    assert!(error.to_string().contains("build a new one"), "{error}");
    // The address of the refused listener is free again.
    let socket = TcpListener::bind(listener.local_addr()).await.unwrap();
    // The server is refused because it was shut down, not because the address is in use.
    assert!(matches!(server.listen(listener.local_addr()).await, Err(ListenError::ShutDown)));
    assert!(matches!(server.serve_listener(socket), Err(ListenError::ShutDown)));
    TcpListener::bind(listener.local_addr()).await.unwrap();
    // Dropping a listener that the shutdown has closed has no further effect.
    let other = server.clone();
    drop((listener, other));
}

#[tokio::test]
async fn every_address_is_free_from_the_first_poll_of_a_shutdown() {
    let server = server();
    let listeners = [listen(&server).await, listen(&server).await];
    let desk = desk(&listeners[0]).await;
    let shutdown = server.shutdown();
    tokio::pin!(shutdown);
    assert!(poll!(&mut shutdown).is_pending());
    for listener in &listeners {
        TcpListener::bind(listener.local_addr()).await.unwrap();
    }
    timeout(SOON, shutdown).await.unwrap();
    ended_by_restart(desk.session()).await;
}

#[tokio::test]
async fn the_short_way_gives_the_same_server() {
    let handle = builder().listen(ANY_PORT).await.unwrap();
    let second = listen(handle.server()).await;
    let desk = desk(&second).await;
    assert_eq!(handle.sessions().len(), 1);
    assert_ne!(handle.local_addr(), second.local_addr());
    timeout(SOON, handle.shutdown()).await.unwrap();
    ended_by_restart(desk.session()).await;
}
