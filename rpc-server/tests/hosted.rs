//! The upgrade as a service of another HTTP server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use raw::{DeskClient, Raw, UPGRADE, builder, endless};
use rpc_client::Connect;
use rpc_core::{CloseCode, ConnectionError, Stub};
use rpc_server::{ServerBuilder, TlsInfo, Upgrade, UpgradeBody};
use rpc_testing::SOON;
use tokio::{
    io::BufStream,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_service::Service;

/// The kind of HTTP server around the upgrade.
#[derive(Clone, Copy, PartialEq)]
enum Around {
    /// A server that works.
    Proper,
    /// A server that does not pass on the addresses of its clients.
    NoAddress,
    /// A server that wraps its sockets, as for TLS, and says so.
    Wrapped,
    /// A server that does not support upgrades.
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
                let tls = (around == Around::Wrapped).then(TlsInfo::default);
                route(upgrade.clone(), request, peer, tls)
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
    tls: Option<TlsInfo>,
) -> Result<Response<Either<Full<Bytes>, UpgradeBody>>, Infallible> {
    if request.uri().path() != "/rpc" {
        return Ok(Response::new(Either::Left(Full::from("a page"))));
    }
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    if let Some(tls) = tls {
        request.extensions_mut().insert(tls);
    }
    Ok(upgrade.call(request).await?.map(Either::Right))
}

fn upgrade() -> Upgrade {
    builder().build().unwrap().upgrade()
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
    let session = upgrade.sessions().iter().next().unwrap();
    assert_eq!((session.peer_addr(), session.info().is_encrypted()), (Some(seen), false));

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
    assert!(upgrade.sessions().iter().next().unwrap().info().is_encrypted());
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
    let answer = upgrade().call(request()).await.unwrap();
    assert_eq!(answer.status(), 500);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(std::str::from_utf8(&body).unwrap().contains("with_upgrades()"), "{body:?}");
}

/// A valid upgrade request that no connection belongs to.
fn request() -> Request<()> {
    UPGRADE
        .into_iter()
        .fold(Request::get("/rpc"), |request, line| {
            let (name, value) = line.split_once(": ").unwrap();
            request.header(name, value)
        })
        .body(())
        .unwrap()
}

/// Requests an upgrade that must be refused, and returns the head and the body of the answer.
async fn refused(addr: SocketAddr) -> (String, String) {
    let mut raw = Raw(TcpStream::connect(addr).await.unwrap());
    raw.send(format!("GET /rpc HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
    let head = raw.head().await;
    let body = raw.body(&head).await;
    (head, body)
}

#[tokio::test]
async fn the_caps_hold_for_upgrades_and_listeners_together() {
    let caps: [fn(ServerBuilder) -> ServerBuilder; 2] =
        [|builder| builder.max_connections(2), |builder| builder.max_connections_per_address(2)];
    for cap in caps {
        let server = cap(builder().config(endless())).build().unwrap();
        let addr = host(server.upgrade(), Around::Proper).await;
        let listener = server.listen("127.0.0.1:0").await.unwrap();
        let first = desk(addr).await;
        let _second = DeskClient::connect(format!("ws://{}/", listener.local_addr())).await.unwrap();
        let (head, body) = refused(addr).await;
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert!(body.contains("too many connections"), "{body}");
        // A refused connection takes no place, and the server still serves its pages.
        let mut page = Raw(TcpStream::connect(addr).await.unwrap());
        assert!(page.get(&["Host: localhost"]).await.starts_with("HTTP/1.1 200"));
        first.session().close().await;
        let again = async {
            loop {
                match DeskClient::connect(format!("ws://{addr}/rpc")).await {
                    Ok(desk) => return desk,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(SOON, again).await.unwrap().address().await.unwrap();
    }
}

#[tokio::test]
async fn connections_of_unknown_address_count_in_all_alone() {
    let server = builder().max_connections(3).max_connections_per_address(1).build().unwrap();
    let addr = host(server.upgrade(), Around::NoAddress).await;
    let _desks = [desk(addr).await, desk(addr).await, desk(addr).await];
    assert!(refused(addr).await.0.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn the_origins_hold_for_upgrades() {
    let server = builder().allow_origin("https://app.example.com").build().unwrap();
    for (origin, status) in [("https://evil.example.com", 403), ("https://app.example.com", 500)] {
        let mut request = request();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let answer = server.upgrade().call(request).await.unwrap();
        assert_eq!(answer.status(), status, "{origin}");
    }
}

#[tokio::test]
async fn a_shutdown_of_the_server_ends_the_sessions_of_its_upgrades() {
    let server = builder().build().unwrap();
    let addr = host(server.upgrade(), Around::Proper).await;
    let desk = desk(addr).await;
    timeout(SOON, server.shutdown()).await.unwrap();
    let reason = timeout(SOON, desk.session().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
    let (head, body) = refused(addr).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(body.contains("shutting down"), "{body}");
}

#[tokio::test]
async fn an_upgrade_is_a_handle_of_its_server() {
    let server = builder().build().unwrap();
    let upgrade = server.upgrade();
    let addr = host(upgrade.clone(), Around::Proper).await;
    drop(server);
    desk(addr).await.address().await.unwrap();
    drop(upgrade);
    desk(addr).await.address().await.unwrap();
}

#[tokio::test]
async fn the_last_upgrade_ends_its_server() {
    let mut upgrade = upgrade();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let one = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let http = http1::Builder::new();
        // The service only borrows `upgrade`, so `upgrade` can be used after the connection was upgraded.
        let routes = service_fn(|request: Request<Incoming>| upgrade.clone().call(request));
        http.serve_connection(TokioIo::new(socket), routes).with_upgrades().await.unwrap();
        upgrade
    });
    let desk = desk(addr).await;
    upgrade = timeout(SOON, one).await.unwrap().unwrap();
    desk.address().await.unwrap();
    drop(upgrade);
    let reason = timeout(SOON, desk.session().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
}

#[tokio::test]
async fn an_abandoned_answer_takes_no_place() {
    fn is_send<T: Send + 'static>(future: T) -> T {
        future
    }
    let server = builder().max_connections(1).build().unwrap();
    for _ in 0..10 {
        drop(is_send(server.upgrade().call(request())));
    }
    assert_eq!(server.sessions().connections(), 0);
    desk(host(server.upgrade(), Around::Proper).await).await.address().await.unwrap();
}

#[tokio::test]
async fn draining_ends_the_sessions_and_takes_no_more() {
    let upgrade = upgrade();
    let addr = host(upgrade.clone(), Around::Proper).await;
    let desk = desk(addr).await;
    timeout(SOON, upgrade.sessions().drain()).await.unwrap();
    assert!(upgrade.sessions().is_empty());
    let reason = timeout(SOON, desk.session().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
    let (head, body) = refused(addr).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(body.contains("shutting down"), "{body}");
    // The server still serves its pages.
    let mut page = Raw(TcpStream::connect(addr).await.unwrap());
    assert!(page.get(&["Host: localhost"]).await.starts_with("HTTP/1.1 200"));
}
