//! The upgrade as a service of somebody else's HTTP server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use raw::{DeskClient, Raw, UPGRADE, builder};
use rpc_client::Connect;
use rpc_core::{CloseCode, ConnectionError, Stub};
use rpc_server::Upgrade;
use rpc_testing::SOON;
use tokio::{
    io::BufStream,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_service::Service;

/// How the server around the upgrade is made.
#[derive(Clone, Copy, PartialEq)]
enum Around {
    /// As it should be.
    Proper,
    /// It does not say where requests come from.
    NoAddress,
    /// Its sockets are inside of something, as with TLS.
    Wrapped,
    /// It cannot upgrade.
    NoUpgrades,
}

/// A server with the upgrade at `/rpc` and a page everywhere else.
async fn host(upgrade: Upgrade, around: Around) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, peer) = listener.accept().await.unwrap();
            let upgrade = upgrade.clone();
            let routes = service_fn(move |request| {
                let peer = (around != Around::NoAddress).then_some(peer);
                route(upgrade.clone(), request, peer)
            });
            let http = http1::Builder::new();
            match around {
                Around::NoUpgrades => {
                    tokio::spawn(http.serve_connection(TokioIo::new(socket), routes));
                }
                Around::Wrapped => {
                    let io = TokioIo::new(BufStream::new(socket));
                    tokio::spawn(http.serve_connection(io, routes).with_upgrades());
                }
                Around::Proper | Around::NoAddress => {
                    tokio::spawn(http.serve_connection(TokioIo::new(socket), routes).with_upgrades());
                }
            }
        }
    });
    addr
}

async fn route(
    mut upgrade: Upgrade,
    mut request: Request<Incoming>,
    peer: Option<SocketAddr>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/rpc" {
        return Ok(Response::new(Full::from("a page")));
    }
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    upgrade.call(request).await
}

fn upgrade() -> Upgrade {
    builder().into_upgrade().unwrap()
}

async fn desk(addr: SocketAddr) -> DeskClient {
    DeskClient::connect(format!("ws://{addr}/rpc")).header("x-key", "value").await.unwrap()
}

#[tokio::test]
async fn calls_go_through_beside_other_routes() {
    let upgrade = upgrade();
    let addr = host(upgrade.clone(), Around::Proper).await;
    let desk = desk(addr).await;
    assert_eq!(desk.header("x-key").await.unwrap().as_deref(), Some("value"));
    let seen: SocketAddr = desk.address().await.unwrap().unwrap().parse().unwrap();
    assert_eq!(seen.ip(), addr.ip());
    assert_ne!(seen, addr, "it is the peer's address, not the server's");
    assert_eq!(upgrade.sessions().iter().next().unwrap().peer_addr(), Some(seen));

    let mut page = Raw(TcpStream::connect(addr).await.unwrap());
    let head = page.get(&["Host: localhost"]).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(page.body(&head).await, "a page");
    let error = DeskClient::connect(format!("ws://{addr}/")).await.unwrap_err();
    assert!(error.to_string().contains("ordinary web server"), "{error}");
    assert_eq!(upgrade.sessions().len(), 1);
}

#[tokio::test]
async fn calls_go_through_whatever_the_socket_is_inside_of() {
    let upgrade = upgrade();
    let desk = desk(host(upgrade.clone(), Around::Wrapped).await).await;
    assert_eq!(desk.header("x-key").await.unwrap().as_deref(), Some("value"));
    assert!(desk.address().await.unwrap().is_some());
}

#[tokio::test]
async fn the_address_is_unknown_if_the_server_does_not_say() {
    let desk = desk(host(upgrade(), Around::NoAddress).await).await;
    assert_eq!(desk.address().await.unwrap(), None);
}

#[tokio::test]
async fn a_server_that_cannot_upgrade_leaves_no_session_behind() {
    let upgrade = upgrade();
    let addr = host(upgrade.clone(), Around::NoUpgrades).await;
    assert!(timeout(SOON, DeskClient::connect(format!("ws://{addr}/rpc"))).await.unwrap().is_err());
    timeout(SOON, upgrade.sessions().drain()).await.unwrap();
    assert!(upgrade.sessions().is_empty());
}

#[tokio::test]
async fn a_request_that_no_upgrade_belongs_to_is_refused() {
    let mut request = Request::get("/rpc");
    for line in UPGRADE {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let answer = upgrade().call(request.body(()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 500);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(std::str::from_utf8(&body).unwrap().contains("with_upgrades()"), "{body:?}");
}

#[tokio::test]
async fn draining_ends_the_sessions_and_takes_no_more() {
    let upgrade = upgrade();
    let addr = host(upgrade.clone(), Around::Proper).await;
    let desk = desk(addr).await;
    timeout(SOON, upgrade.sessions().drain()).await.unwrap();
    assert!(upgrade.sessions().is_empty());
    let reason = timeout(SOON, desk.session().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode(1012), .. }), "{reason}");
    let mut raw = Raw(TcpStream::connect(addr).await.unwrap());
    raw.send(format!("GET /rpc HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(raw.body(&head).await.contains("shutting down"));
    // The pages go on.
    let mut page = Raw(TcpStream::connect(addr).await.unwrap());
    assert!(page.get(&["Host: localhost"]).await.starts_with("HTTP/1.1 200"));
}
