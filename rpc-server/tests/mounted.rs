//! The upgrade mounted into axum, which is built with the feature `axum` of this crate.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{future::IntoFuture, net::SocketAddr};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{StatusCode, request::Parts},
    response::Response,
    routing::{any, get},
};
use rpc_client::Connect;
use rpc_core::Context;
use rpc_server::{Principal, Server};
use rpc_testing::SOON;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

#[rpc_core::service]
trait Inn {
    async fn who(&self, cx: &Context<InnClient>) -> (Option<String>, Option<String>);
    async fn address(&self, cx: &Context<InnClient>) -> Option<String>;
}

struct House;

impl Inn for House {
    async fn who(&self, cx: &Context<InnClient>) -> (Option<String>, Option<String>) {
        let tenant = cx.info().extensions.get::<Tenant>().map(|tenant| tenant.0.clone());
        (cx.principal().map(|principal| principal.name().to_owned()), tenant)
    }
    async fn address(&self, cx: &Context<InnClient>) -> Option<String> {
        cx.peer_addr().map(|addr| addr.to_string())
    }
}

/// Found by the path.
#[derive(Clone)]
struct Tenant(String);

/// Found by a login.
struct User(String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = StatusCode;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let token = parts.headers.get("authorization").and_then(|token| token.to_str().ok());
        let user = token.and_then(|token| token.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(Self(user.to_owned()))
    }
}

fn server() -> Server {
    Server::builder().service(House.serve()).build().unwrap()
}

/// Serves the application, with or without telling it the addresses of its clients.
async fn serve(app: Router, tells: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    if tells {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, app).into_future());
    } else {
        tokio::spawn(axum::serve(listener, app).into_future());
    }
    addr
}

async fn connect(addr: SocketAddr, path: &str) -> InnClient {
    timeout(SOON, InnClient::connect(format!("ws://{addr}{path}"))).await.unwrap().unwrap()
}

async fn page(addr: SocketAddr) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(SOON, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn every_way_of_mounting_serves_sessions_beside_pages() {
    let server = server();
    let pages = || Router::new().route("/page", get(|| async { "a page" }));
    let merged = Router::new().route_service("/rpc", server.upgrade());
    let apps = [
        (pages().route_service("/rpc", server.upgrade()), "/rpc"),
        (pages().nest_service("/api", server.upgrade()), "/api/rpc"),
        (pages().nest("/api", Router::new().route_service("/rpc", server.upgrade())), "/api/rpc"),
        (pages().merge(merged), "/rpc"),
        (pages().fallback_service(server.upgrade()), "/anything"),
    ];
    for (app, path) in apps {
        let addr = serve(app, false).await;
        let inn = connect(addr, path).await;
        assert_eq!(inn.who().await.unwrap(), (None, None));
        assert!(page(addr).await.ends_with("a page"));
    }
}

#[tokio::test]
async fn what_a_login_has_found_reaches_handlers() {
    async fn rpc(
        State(server): State<Server>,
        User(user): User,
        Path(tenant): Path<String>,
        request: Request,
    ) -> Response {
        let upgrade = server.upgrade().identity(Principal::from(user)).extension(Tenant(tenant));
        upgrade.respond(request).await.map(axum::body::Body::new)
    }
    let server = server();
    let addr = serve(Router::new().route("/{tenant}/rpc", any(rpc)).with_state(server.clone()), false).await;
    let url = format!("ws://{addr}/acme/rpc");
    let inn = InnClient::connect(&url).header("authorization", "Bearer ada").await.unwrap();
    assert_eq!(inn.who().await.unwrap(), (Some("ada".into()), Some("acme".into())));
    assert_eq!(server.sessions().iter().next().unwrap().principal(), Some(Principal::from("ada")));
    let other =
        InnClient::connect(format!("ws://{addr}/beta/rpc")).header("authorization", "Bearer bob").await.unwrap();
    assert_eq!(other.who().await.unwrap(), (Some("bob".into()), Some("beta".into())), "each session has its own");
    let error = InnClient::connect(&url).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axums_address_is_the_sessions() {
    let server = server();
    let addr = serve(Router::new().route_service("/rpc", server.upgrade()), true).await;
    let inn = connect(addr, "/rpc").await;
    let seen: SocketAddr = inn.address().await.unwrap().unwrap().parse().unwrap();
    assert_eq!(server.sessions().iter().next().unwrap().peer_addr(), Some(seen));
    assert_eq!(seen.ip(), addr.ip());
    assert_ne!(seen, addr);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axums_extractor_works_behind_a_listener_of_this_crate() {
    use axum::extract::ConnectInfo;
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let server = Server::builder().fallback(Router::new().route("/page", get(peer)));
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let answer = page(server.local_addr()).await;
    assert!(answer.contains("\r\n\r\n127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn an_address_is_found_where_the_application_says() {
    #[derive(Clone, Copy)]
    struct Remote(SocketAddr);
    let server = server();
    let upgrade = server.upgrade().peer_addr_from(|extensions| extensions.get::<Remote>().map(|remote| remote.0));
    let app = Router::new().route_service("/rpc", upgrade);
    let remote: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    let told = app.clone().layer(axum::Extension(Remote(remote)));
    let inn = connect(serve(told, false).await, "/rpc").await;
    assert_eq!(inn.address().await.unwrap(), Some(remote.to_string()));
    assert_eq!(connect(serve(app, false).await, "/rpc").await.address().await.unwrap(), None);
}
