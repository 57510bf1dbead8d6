//! Peers that do no TLS, or do it slowly, each beside a client that is served throughout.

use std::{future::Future, time::Duration};

use rpc_client::ConnectError;
use rpc_core::{Config, Stub};
use rpc_server::ServerHandle;
use rpc_testing::{Authority, Lines, SOON, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tracing::Level;

use super::vault::{builder, connect, join, listen_with, of, soon, trusting};

const SHORT: Duration = Duration::from_millis(200);
/// The header of a handshake record of 16 KiB, and of a ClientHello within.
const HELLO: [u8; 9] = [22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc];

fn short() -> Config {
    Config::builder().upgrade_timeout(SHORT).build().unwrap()
}

/// Runs a peer beside a client that calls all the while, until the peer has ended and its place is free.
async fn beside_a_client<T, F: Future<Output = T>>(peer: impl FnOnce(TcpStream) -> F) -> T {
    let authority = Authority::new("test");
    let server = listen_with(of(&authority.server(&["localhost"])), short()).await;
    // A client of a slow machine may need more time than the server gives.
    let joined = async {
        loop {
            if let Ok(vault) = soon(connect(&server, trusting(&authority))).await {
                break vault;
            }
        }
    };
    let vault = timeout(SOON, joined).await.expect("a client gets in");
    until("only the client is there", || server.sessions().connections() == 1).await;
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let calls = async {
        for n in 0.. {
            assert_eq!(vault.add(n, 1).await, Ok(n + 1));
            tokio::task::yield_now().await;
        }
    };
    let said = tokio::select! {
        said = timeout(SOON, peer(stream)) => said.expect("the peer is ended"),
        () = calls => unreachable!("the calls go on"),
    };
    assert_eq!(vault.add(1, 1).await, Ok(2));
    places(&server, 1).await;
    said
}

/// Waits until this many connections have a place.
async fn places(server: &ServerHandle, count: usize) {
    until("the places are free", || server.sessions().connections() == count).await;
}

async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut said).await;
    said
}

#[tokio::test]
async fn a_peer_that_speaks_http_without_tls() {
    let said = beside_a_client(async |mut stream: TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        rest(&mut stream).await
    })
    .await;
    // An alert of TLS, and no session.
    assert!(said.starts_with(&[21, 3]), "{said:?}");
}

#[tokio::test]
async fn a_peer_that_sends_without_end_and_reads_nothing() {
    beside_a_client(async |mut stream: TcpStream| while stream.write_all(&[0; 4096]).await.is_ok() {}).await;
}

#[tokio::test]
async fn a_peer_that_ends_in_the_middle_of_its_hello() {
    let said = beside_a_client(async |mut stream: TcpStream| {
        stream.write_all(&HELLO).await.unwrap();
        stream.shutdown().await.unwrap();
        rest(&mut stream).await
    })
    .await;
    assert!(said.len() < 100, "{said:?}");
}

#[tokio::test]
async fn one_too_many_is_closed_without_an_answer() {
    let authority = Authority::new("test");
    let tls = of(&authority.server(&["localhost"]));
    let server = builder().max_connections(1).listen_tls("127.0.0.1:0", tls).await.unwrap();
    let vault = join(&server, trusting(&authority)).await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    assert_eq!(timeout(SOON, rest(&mut stream)).await.unwrap(), b"");
    let error = soon(connect(&server, trusting(&authority))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Ended { .. }), "{error:?}");
    assert_eq!(vault.add(1, 1).await, Ok(2));
}

#[tokio::test]
async fn a_handshake_under_way_does_not_hold_up_a_shutdown() {
    let authority = Authority::new("test");
    let config = Config::builder().upgrade_timeout(Duration::MAX).build().unwrap();
    let server = listen_with(of(&authority.server(&["localhost"])), config).await;
    let vault = join(&server, trusting(&authority)).await;
    let mut silent = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut begun = TcpStream::connect(server.local_addr()).await.unwrap();
    begun.write_all(&HELLO).await.unwrap();
    // Connections are accepted in their order.
    let last = join(&server, trusting(&authority)).await;
    timeout(SOON, server.shutdown()).await.unwrap();
    assert_eq!(rest(&mut silent).await, b"");
    assert_eq!(rest(&mut begun).await, b"");
    for session in [vault.session(), last.session()] {
        timeout(SOON, session.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_logged_at_debug_with_its_peer() {
    Lines::keep();
    let server = listen_with(of(&Authority::new("test").server(&["localhost"])), Config::default()).await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let peer = stream.local_addr().unwrap().to_string();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    timeout(SOON, rest(&mut stream)).await.unwrap();
    let of_peer = |level| Lines::of_all_threads(level).into_iter().filter(|line| line.field("peer") == peer);
    let failed = of_peer(Level::DEBUG).filter(|line| line.field("message").starts_with("TLS handshake failed: "));
    assert_eq!(failed.count(), 1);
    assert_eq!(of_peer(Level::INFO).count(), 0);
}
