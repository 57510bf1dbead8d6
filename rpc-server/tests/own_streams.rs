//! Sessions over streams that the application has opened by itself, at both ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, builder, endless};
use rpc_client::{Connect, ConnectError};
use rpc_core::{CloseCode, ConnectionError, Context, Stub, TlsInfo};
use rpc_server::{ConnectionInfo, ListenError, Principal, Server};
use rpc_testing::{SOON, settle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::timeout,
};

#[rpc_core::service]
trait Mirror {
    async fn who(&self, cx: &Context<MirrorClient>) -> Option<String>;
    async fn address(&self, cx: &Context<MirrorClient>) -> Option<String>;
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
}

struct Glass;

impl Mirror for Glass {
    async fn who(&self, cx: &Context<MirrorClient>) -> Option<String> {
        cx.principal().map(|principal| principal.name().to_owned())
    }
    async fn address(&self, cx: &Context<MirrorClient>) -> Option<String> {
        cx.peer_addr().map(|addr| addr.to_string())
    }
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

fn mirrors() -> Server {
    Server::builder().service(Glass.serve()).path("/rpc").config(endless()).build().unwrap()
}

#[tokio::test]
async fn a_session_goes_over_a_stream_in_memory() {
    let server = mirrors();
    // The smallest buffer there is: every byte waits for the other end.
    for size in [1, 64 * 1024] {
        let (near, far) = duplex(size);
        let mut info = ConnectionInfo::default().with_peer_addr("192.0.2.1:5".parse().unwrap());
        info.extensions.insert(Principal::from("ada"));
        server.serve_stream(far, info).unwrap();
        let mirror = timeout(SOON, MirrorClient::connect("ws://example.com/rpc").over(near)).await.unwrap().unwrap();
        assert_eq!(mirror.who().await.unwrap().as_deref(), Some("ada"));
        assert_eq!(mirror.address().await.unwrap().as_deref(), Some("192.0.2.1:5"));
        assert_eq!(mirror.session().peer_addr(), None);
        assert_eq!(mirror.echo(vec![7; 10_000]).await.unwrap(), vec![7; 10_000]);
    }
}

#[tokio::test]
async fn a_page_without_tls_is_foreign_to_a_server_that_is_reached_by_tls() {
    let server = mirrors();
    for (origin, is_taken) in [("http://example.com", false), ("https://example.com", true)] {
        let (mut near, far) = duplex(64 * 1024);
        server.serve_stream(far, ConnectionInfo::default().with_tls(TlsInfo::default())).unwrap();
        let lines: Vec<_> = raw::UPGRADE.into_iter().filter(|line| !line.starts_with("Host")).collect();
        let lines = lines.join("\r\n");
        let request = format!("GET /rpc HTTP/1.1\r\nHost: example.com\r\nOrigin: {origin}\r\n{lines}\r\n\r\n");
        near.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        timeout(SOON, near.read_exact(&mut status)).await.unwrap().unwrap();
        let expected = if is_taken { "HTTP/1.1 101" } else { "HTTP/1.1 403" };
        assert_eq!(std::str::from_utf8(&status).unwrap(), expected, "{origin}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_session_goes_over_a_pair_of_unix_sockets() {
    let server = mirrors();
    let (near, far) = tokio::net::UnixStream::pair().unwrap();
    server.serve_stream(far, ConnectionInfo::default()).unwrap();
    let mirror = MirrorClient::connect("ws://localhost/rpc").over(near).await.unwrap();
    assert_eq!(mirror.address().await.unwrap(), None);
    assert_eq!(mirror.echo(vec![7; 1_000_000]).await.unwrap(), vec![7; 1_000_000]);
    timeout(SOON, server.shutdown()).await.unwrap();
    let reason = timeout(SOON, mirror.session().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
}

#[tokio::test]
async fn paths_and_limits_hold_for_streams() {
    let server = builder().path("/rpc").max_connections(1).config(endless()).build().unwrap();
    let connect = |path: &str| {
        let (near, far) = duplex(1024);
        server.serve_stream(far, ConnectionInfo::default()).unwrap();
        DeskClient::connect(format!("ws://localhost{path}")).over(near)
    };
    let error = timeout(SOON, connect("/elsewhere")).await.unwrap().unwrap_err();
    assert!(matches!(&error, ConnectError::Http { status, .. } if *status == 404), "{error}");
    // The connection before may still hold the place.
    let desk = timeout(SOON, async {
        loop {
            match connect("/rpc").await {
                Ok(desk) => return desk,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let desk = desk.await.unwrap();
    let error = timeout(SOON, connect("/rpc")).await.unwrap().unwrap_err();
    assert!(matches!(&error, ConnectError::Http { status, .. } if *status == 503), "{error}");
    desk.address().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_cap_are_closed_unheard_if_too_many_of_them_are_told_why() {
    let server = builder().max_connections(1).build().unwrap();
    let serve = || {
        let (near, far) = duplex(1024);
        server.serve_stream(far, ConnectionInfo::default()).unwrap();
        near
    };
    let _first = serve();
    // None of these peers closes its half, so each answer takes as long as it may.
    let mut peers: Vec<_> = (0..100).map(|_| serve()).collect();
    let mut told = 0;
    for peer in &mut peers {
        let mut answer = String::new();
        timeout(SOON, peer.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
        told += usize::from(!answer.is_empty());
    }
    assert_eq!(told, 64);
    settle().await;
    drop(peers);
    settle().await;
    let mut answer = String::new();
    timeout(SOON, serve().read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn a_stream_without_a_request_ends_with_its_server() {
    let server = mirrors();
    let (mut near, far) = duplex(1024);
    server.serve_stream(far, ConnectionInfo::default()).unwrap();
    near.write_all(b"GET / HT").await.unwrap();
    timeout(SOON, server.shutdown()).await.unwrap();
    assert_eq!(timeout(SOON, near.read(&mut [0; 10])).await.unwrap().unwrap(), 0);
    let (_near, far) = duplex(1024);
    let error = server.serve_stream(far, ConnectionInfo::default()).unwrap_err();
    assert!(matches!(error, ListenError::ShutDown), "{error}");
}

#[tokio::test]
async fn a_client_whose_stream_ends_says_so() {
    let (near, far) = duplex(1024);
    drop(far);
    let error = timeout(SOON, DeskClient::connect("ws://localhost/").over(near)).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Ended { .. }), "{error}");
    let (near, _far) = duplex(1024);
    let error = DeskClient::connect("http://localhost/").over(near).await.unwrap_err();
    assert!(matches!(error, ConnectError::Url { .. }), "{error}");
}
