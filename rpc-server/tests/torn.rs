//! Connections that end at every stage, and what they leave: nothing. Other clients are served meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "raw")]

mod raw;

use std::{
    future::{self, IntoFuture},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, extract::Request, routing::any};
use bytes::Bytes;
use futures::{StreamExt, stream};
use raw::{DeskClient, Raw, UPGRADE, builder, endless, masked};
use rpc_client::Connect;
use rpc_server::{
    AuthError, AuthRequest, Authenticator, ConnectionInfo, Credential, Identity, ListenOptions, Listener, Server,
    Verdict, async_trait,
    raw::{RawSocket, websocket},
};
use rpc_testing::{Inside, SOON, greeting, until};
use tokio::{net::TcpStream, time::timeout};

/// The most connections there may be: one of them belongs to a client that is served.
const MOST: usize = 9;

/// Knows every client, and never answers who sends `x-slow`.
struct Doorman;

#[async_trait]
impl Authenticator for Doorman {
    async fn authenticate(&self, _: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        future::pending().await
    }

    async fn at_upgrade(&self, request: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
        if request.headers().contains_key("x-slow") {
            future::pending::<()>().await;
        }
        Ok(Identity::new("ada").into())
    }
}

/// How many of the application's answers are under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

fn pages() -> Router {
    let slow = || async {
        let _inside = Inside::enter(&UNDER_WAY);
        future::pending::<()>().await;
    };
    let read = |request: Request| async {
        let _inside = Inside::enter(&UNDER_WAY);
        let mut chunks = request.into_body().into_data_stream();
        while let Some(Ok(_)) = chunks.next().await {}
    };
    let flood = || async {
        let inside = Arc::new(Inside::enter(&UNDER_WAY));
        let chunks = stream::repeat(Bytes::from_static(&[b'x'; 4096])).map(move |chunk| {
            let _inside = &inside;
            Ok::<_, std::convert::Infallible>(chunk)
        });
        Body::from_stream(chunks)
    };
    Router::new().route("/slow", any(slow)).route("/read", any(read)).route("/flood", any(flood))
}

async fn listening() -> (Server, Listener) {
    let handler = |mut socket: RawSocket| async move { while let Some(Ok(_)) = socket.recv().await {} };
    let server = builder().path("/rpc").fallback(pages()).route("/raw", websocket(handler)).authenticator(Doorman);
    let server = server.trusted_proxies(["127.0.0.1"]).config(endless());
    let server = server.max_connections(MOST).max_connections_per_address(MOST).build().unwrap();
    let listener = server.listen_with("127.0.0.1:0", ListenOptions::new().proxy_protocol(true)).await.unwrap();
    (server, listener)
}

async fn connect(listener: &Listener) -> Raw {
    Raw(TcpStream::connect(listener.local_addr()).await.unwrap())
}

const PROXY: &str = "PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n";

#[tokio::test]
async fn connections_that_are_torn_at_any_stage_leave_nothing() {
    let (server, listener) = listening().await;
    let mut healthy = connect(&listener).await;
    healthy.send(b"PROXY UNKNOWN\r\n").await;
    let desk = DeskClient::connect("ws://localhost/rpc").over(healthy.0).into_future();
    let desk = timeout(SOON, desk).await.unwrap().unwrap();

    let upgrade = |path: &str| format!("{PROXY}GET {path} HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n"));
    let page = |path: &str, more: &str| format!("{PROXY}POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let behind = |path: &str, bytes: &[u8]| [upgrade(path).as_bytes(), bytes].concat();
    let hello = masked(0x82, &greeting());
    let stages: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a part of the proxy's header", b"PROXY TCP4 203.0".to_vec()),
        ("a proxy's header alone", PROXY.into()),
        ("a wrong header of a proxy", b"PROXY TCP9 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec()),
        ("a part of a head", format!("{PROXY}GET / HTT").into()),
        ("what is no head", format!("{PROXY}\0\0\0\r\n\r\n").into()),
        ("a page that is not answered", page("/slow", "").into()),
        ("a page that is not served", page("/none", "").into()),
        ("a part of a body", page("/read", "Content-Length: 100\r\n").into()),
        ("a part of a body in chunks", (page("/read", "Transfer-Encoding: chunked\r\n") + "9\r\nabc").into()),
        ("an answer that is not read", page("/flood", "").into()),
        ("requests before the answer", (page("/slow", "") + &"GET /slow HTTP/1.1\r\n\r\n".repeat(100)).into()),
        ("an upgrade that is refused", format!("{PROXY}GET /rpc HTTP/1.1\r\nHost: localhost\r\n\r\n").into()),
        ("a slow verdict", upgrade("/rpc").replace("Host:", "X-Slow: yes\r\nHost:").into()),
        ("an upgrade", upgrade("/rpc").into()),
        ("a part of a hello", behind("/rpc", &hello[..hello.len() / 2])),
        ("a session", behind("/rpc", &hello)),
        ("a session and a part of a frame", behind("/rpc", &[&hello[..], &[0x82, 0xfe, 1]].concat())),
        ("a raw upgrade", upgrade("/raw").into()),
        ("a part of a raw message", behind("/raw", &[0x01, 0x85, 0, 0, 0, 0, b'h', b'e'])),
        ("a raw goodbye", behind("/raw", &masked(0x88, &[3, 232]))),
    ];
    for (stage, bytes) in stages {
        for resets in [true, false] {
            let mut torn = Vec::new();
            for _ in 1..MOST {
                let mut raw = connect(&listener).await;
                // A server that refuses early may close while we still write.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, &bytes).await;
                torn.push(raw);
            }
            assert!(timeout(SOON, desk.address()).await.unwrap().is_ok(), "{stage}: another client is served");
            for raw in torn {
                if resets {
                    raw.0.set_zero_linger().unwrap();
                }
            }
            all_places_are_free(&listener, stage).await;
            until(stage, || server.sessions().connections() == 1 && UNDER_WAY.load(Ordering::SeqCst) == 0).await;
        }
    }
    timeout(SOON, server.shutdown()).await.unwrap();
}

/// Takes all places at once, each with a session, and gives them back. A refused attempt is made again, because the
/// places of the connections that were torn return when the server has noticed.
async fn all_places_are_free(listener: &Listener, stage: &str) {
    let mut taken = Vec::new();
    let taking = async {
        while taken.len() < MOST - 1 {
            let mut raw = connect(listener).await;
            let request = format!("{PROXY}GET /rpc HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n"));
            let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, request.as_bytes()).await;
            if raw.head().await.starts_with("HTTP/1.1 101") {
                taken.push(raw);
            } else {
                tokio::task::yield_now().await;
            }
        }
    };
    let done = timeout(SOON, taking).await;
    assert!(done.is_ok(), "{stage}: {} of {} places are free", taken.len(), MOST - 1);
    taken.iter().for_each(|raw| raw.0.set_zero_linger().unwrap());
}
