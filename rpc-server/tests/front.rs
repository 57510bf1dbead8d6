//! What a server serves besides sessions: paths, routes of an application, health routes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Extension, Request},
    http::StatusCode,
    routing::{get, post},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use raw::{DeskClient, Raw, UPGRADE, builder, endless};
use rpc_client::Connect;
use rpc_core::Stub;
use rpc_server::{BuildError, Config, ConnectionInfo, Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};

const HOST: &str = "Host: localhost";

/// Pages of an application.
fn pages() -> Router {
    Router::new()
        .route("/page", get(|| async { "a page" }))
        .route("/upper", post(|body: String| async move { body.to_uppercase() }))
        .route("/peer", get(|Extension(peer): Extension<SocketAddr>| async move { peer.to_string() }))
}

/// Sends a request to a path by an open connection, and returns the head and the body of the answer.
async fn ask(raw: &mut Raw, path: &str) -> (String, String) {
    raw.send(format!("GET {path} HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await;
    let head = raw.head().await;
    let body = raw.body(&head).await;
    (head, body)
}

async fn with_pages() -> ServerHandle {
    builder().path("/rpc").fallback(pages()).config(endless()).listen("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn an_application_and_sessions_share_one_port() {
    let server = with_pages().await;
    let addr = server.local_addr();
    let desk = DeskClient::connect(format!("ws://{addr}/rpc")).await.unwrap();
    let mut raw = Raw::connect(&server).await;
    let (head, body) = ask(&mut raw, "/page").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "a page");
    // The same connection, kept alive: a body, the address, a page that the application does not have.
    raw.send(b"POST /upper HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello").await;
    let head = raw.head().await;
    assert_eq!(raw.body(&head).await, "HELLO");
    assert_eq!(ask(&mut raw, "/peer").await.1, raw.0.local_addr().unwrap().to_string());
    assert!(ask(&mut raw, "/absent").await.0.starts_with("HTTP/1.1 404"));
    // And it can still become a session.
    raw.send(format!("GET /rpc HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101"));
    assert!(desk.address().await.unwrap().is_some());
}

#[tokio::test]
async fn a_path_that_nothing_serves_is_answered_with_what_is_served() {
    let server = builder().path("/rpc").route("/page", pages()).health_routes().listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    let (head, body) = ask(&mut raw, "/elsewhere").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let (_, served) = body.trim_end().split_once("Served: ").unwrap();
    let expected = ["/rpc (Duplex RPC; connect with ws:// or wss://)", "/healthz", "/page", "/readyz"];
    assert_eq!(served.split(", ").collect::<Vec<_>>(), expected);
    let error = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    let desk = DeskClient::connect(format!("ws://{}/rpc?who=me", server.local_addr())).await.unwrap();
    assert!(desk.address().await.unwrap().is_some());
}

#[tokio::test]
async fn health_routes_tell_a_drain() {
    let server = builder().health_routes().listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    let (head, body) = ask(&mut raw, "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "ready\n");
    let mut post = Raw::connect(&server).await;
    post.send(b"POST /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(post.head().await.starts_with("HTTP/1.1 405"));
    timeout(SOON, server.sessions().drain()).await.unwrap();
    assert!(ask(&mut raw, "/readyz").await.0.starts_with("HTTP/1.1 503"));
    assert!(ask(&mut raw, "/healthz").await.0.starts_with("HTTP/1.1 200"));
    // Every other path still leads to the sessions.
    assert!(ask(&mut raw, "/anything").await.0.starts_with("HTTP/1.1 426"));
}

#[tokio::test]
async fn a_connection_of_the_application_has_no_time_limit_but_an_idle_one() {
    let gate = Arc::new(Semaphore::new(0));
    let entered = Arc::new(AtomicUsize::new(0));
    let (inside, open) = (Arc::clone(&entered), Arc::clone(&gate));
    let slow = move || async move {
        inside.fetch_add(1, Ordering::SeqCst);
        let _permit = open.acquire().await.unwrap();
        "at last"
    };
    let config = endless().to_builder().upgrade_timeout(Duration::from_millis(100)).build().unwrap();
    let server = builder().path("/rpc").fallback(Router::new().route("/slow", get(slow)).merge(pages()));
    let server = server.config(config).listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET /slow HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await;
    until("the request has arrived", || entered.load(Ordering::SeqCst) == 1).await;
    // A peer that says nothing is dropped at the limit, which has passed by then for the slow request as well.
    assert!(timeout(SOON, async { Raw::connect(&server).await.rest().await }).await.unwrap().is_empty());
    gate.add_permits(1);
    let head = raw.head().await;
    assert_eq!(raw.body(&head).await, "at last");
    assert_eq!(ask(&mut raw, "/page").await.1, "a page");
    // Now the connection is idle.
    assert!(timeout(SOON, raw.rest()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_shutdown_lets_answers_go_out_to_their_ends() {
    let (send, receive) = mpsc::channel::<&'static str>(4);
    let receive = Arc::new(tokio::sync::Mutex::new(Some(receive)));
    let lines = move || async move {
        let receive = receive.lock().await.take().unwrap();
        let items = stream::unfold(receive, |mut receive| async { receive.recv().await.map(|item| (item, receive)) });
        Body::from_stream(items.map(|item| Ok::<_, std::convert::Infallible>(Bytes::from(item))))
    };
    let server = builder().path("/rpc").fallback(Router::new().route("/lines", get(lines)).merge(pages()));
    let server = server.config(endless()).listen("127.0.0.1:0").await.unwrap();
    let (mut idle, mut silent) = (Raw::connect(&server).await, Raw::connect(&server).await);
    assert_eq!(ask(&mut idle, "/page").await.1, "a page");
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET /lines HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let end = async {
        send.send("first\n").await.unwrap();
        // Connections without a request end at once, so the shutdown has begun.
        assert!(timeout(SOON, idle.rest()).await.unwrap().is_empty());
        assert!(timeout(SOON, silent.rest()).await.unwrap().is_empty());
        send.send("second\n").await.unwrap();
        drop(send);
        String::from_utf8(timeout(SOON, raw.rest()).await.unwrap()).unwrap()
    };
    let (shutdown, rest) = tokio::join!(timeout(SOON, server.shutdown()), end);
    shutdown.unwrap();
    assert!(rest.contains("first\n") && rest.contains("second\n") && rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn an_answer_without_an_end_does_not_hold_the_shutdown_up() {
    let config = Config::builder().drain_grace(Duration::from_millis(20)).drain_timeout(Duration::from_millis(100));
    let endless = || async { Body::from_stream(stream::pending::<Result<Bytes, std::convert::Infallible>>()) };
    let server = builder().config(config.build().unwrap()).fallback(Router::new().route("/endless", get(endless)));
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET /endless HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200"));
    timeout(SOON, server.shutdown()).await.unwrap();
    assert!(timeout(SOON, raw.rest()).await.unwrap().is_empty());
}

#[tokio::test]
async fn dropping_the_last_handle_drops_answers_too() {
    let endless = || async { Body::from_stream(stream::pending::<Result<Bytes, std::convert::Infallible>>()) };
    let server = builder().config(raw::endless()).fallback(Router::new().route("/endless", get(endless)));
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET /endless HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200"));
    drop(server);
    assert!(timeout(SOON, raw.rest()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_does_not_keep_its_connection() {
    let sending = Arc::new(());
    let held = Arc::clone(&sending);
    let flood = move || {
        let held = Arc::clone(&held);
        async move {
            Body::from_stream(stream::repeat(Bytes::from_static(&[b'x'; 4096])).map(move |chunk| {
                let _sending = &held;
                Ok::<_, std::convert::Infallible>(chunk)
            }))
        }
    };
    let server = builder().max_connections(1).path("/rpc").fallback(Router::new().route("/flood", get(flood)));
    let server = server.build().unwrap();
    let (mut near, far) = duplex(64 * 1024);
    server.serve_stream(far, ConnectionInfo::default()).unwrap();
    near.write_all(format!("GET /flood HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await.unwrap();
    until("the answer has begun", || Arc::strong_count(&sending) == 3).await;
    until("the answer has been given up", || Arc::strong_count(&sending) == 2).await;
    // Its place is free, and each read is progress.
    let (mut near, far) = duplex(1024);
    server.serve_stream(far, ConnectionInfo::default()).unwrap();
    near.write_all(format!("GET /flood HTTP/1.1\r\n{HOST}\r\n\r\n").as_bytes()).await.unwrap();
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(6)).await;
        timeout(SOON, near.read_exact(&mut [0; 512])).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_route_that_fails_is_answered_for() {
    #[derive(Clone)]
    struct Broken;
    impl tower_service::Service<http::Request<rpc_server::RequestBody>> for Broken {
        type Response = http::Response<String>;
        type Error = std::io::Error;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: http::Request<rpc_server::RequestBody>) -> Self::Future {
            std::future::ready(Err(std::io::Error::other("broken")))
        }
    }
    let server = builder().route("/broken", Broken).listen("127.0.0.1:0").await.unwrap();
    let (head, body) = ask(&mut Raw::connect(&server).await, "/broken").await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    assert!(!body.contains("broken"), "the client learns nothing of the inside: {body}");
}

#[tokio::test]
async fn the_whole_front_mounts_into_another_http_server() {
    let server = builder().path("/rpc").route("/page", pages()).health_routes().build().unwrap();
    let app = Router::new().route("/own", get(|| async { "own" })).fallback_service(server.front());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(async move { axum::serve(listener, app).await });
    let desk = DeskClient::connect(format!("ws://{addr}/rpc")).await.unwrap();
    assert_eq!(desk.address().await.unwrap(), None);
    let mut raw = Raw(TcpStream::connect(addr).await.unwrap());
    assert_eq!(ask(&mut raw, "/own").await.1, "own");
    assert_eq!(ask(&mut raw, "/page").await.1, "a page");
    assert_eq!(ask(&mut raw, "/readyz").await.1, "ready\n");
    timeout(SOON, server.shutdown()).await.unwrap();
    assert!(timeout(SOON, desk.session().closed()).await.is_ok());
    assert!(ask(&mut raw, "/readyz").await.0.starts_with("HTTP/1.1 503"));
    served.abort();
}

#[tokio::test]
async fn within_another_http_server_the_number_of_headers_holds_for_the_websocket() {
    let builder = builder().path("/rpc").route("/page", pages()).max_headers(UPGRADE.len());
    #[cfg(feature = "raw")]
    let builder = builder.route("/echo", rpc_server::raw::websocket(|_| async {}));
    let front = builder.build().unwrap().front();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(async move { axum::serve(listener, Router::new().fallback_service(front)).await });
    for path in ["/rpc", "/page", "/echo"] {
        for more in ["", "X: x\r\n"] {
            let mut raw = Raw(TcpStream::connect(addr).await.unwrap());
            raw.send(format!("GET {path} HTTP/1.1\r\n{}\r\n{more}\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
            let head = raw.head().await;
            let status = match (path, more) {
                ("/page", _) => "200",
                (_, "") => "101",
                _ => "431",
            };
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
            if status == "431" {
                assert!(raw.body(&head).await.contains("max_headers"), "{head}");
            }
        }
    }
    served.abort();
}

#[tokio::test]
async fn an_upgrade_reaches_a_route_of_the_application() {
    let echo = |request: Request| async move {
        assert!(request.extensions().get::<hyper::upgrade::OnUpgrade>().is_some());
        StatusCode::NO_CONTENT
    };
    let server = builder().fallback(Router::new().route("/ws", get(echo))).listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET /ws HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 204"));
}

#[test]
fn a_path_that_cannot_work_is_an_error() {
    let error = Server::builder().path("rpc").build().unwrap_err();
    assert_eq!(error.to_string(), r#"ServerBuilder cannot serve the path "rpc": it must begin with a slash"#);
    let error = Server::builder().route("/a", pages()).route("/a", pages()).build().unwrap_err();
    assert!(matches!(&error, BuildError::Path { given, .. } if given == "/a"), "{error}");
}
