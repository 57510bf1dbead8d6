//! WebSockets by hand at a route of a server, beside a contract.

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::Router;
use rpc_client::{
    Connect, ConnectError,
    raw::{ClientWebSocket, ClientWebSocketBuilder},
};
use rpc_server::{
    CloseCode, Config, ConnectionInfo, Server, ServerBuilder, async_trait,
    raw::{CloseFrame, Connection, RawSocket, Text, WebSocketHandler, websocket},
};
use rpc_testing::{Lines, until};
use tokio::time::Instant;
use tracing::Level;

use super::host::soon;

#[rpc_core::service]
trait Adder {
    async fn add(&self, a: u32, b: u32) -> u32;
}

struct Calculator;

impl Adder for Calculator {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }
}

/// Echoes, and notes its last end.
#[derive(Default)]
struct Echo {
    is_over: Arc<AtomicBool>,
}

#[async_trait]
impl WebSocketHandler for Echo {
    async fn on_text(&self, connection: &Connection, text: Text) {
        connection.send(text).await.unwrap();
    }

    async fn on_close(&self, _: &Connection, _: Option<&CloseFrame>) {
        tokio::task::yield_now().await;
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn builder() -> ServerBuilder {
    Server::builder().service(Calculator.serve()).route("/echo", websocket(Echo::default()))
}

async fn open(connecting: ClientWebSocketBuilder) -> ClientWebSocket {
    let mut socket = soon(connecting.into_future()).await.unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap().unwrap().as_text(), Some("hello"));
    socket
}

/// Asserts that a connection is refused with this status.
async fn refused(connecting: ClientWebSocketBuilder, expected: u16) {
    match soon(connecting.into_future()).await {
        Err(ConnectError::Http { status, .. }) => assert_eq!(status, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_counts_under_the_caps_as_long_as_it_lives() {
    let server = builder().max_connections(2).listen("127.0.0.1:0").await.unwrap();
    let url = |path: &str| format!("ws://{}{path}", server.local_addr());
    let adder = soon(AdderClient::connect(url("/")).into_future()).await.unwrap();
    let socket = open(ClientWebSocket::connect(url("/echo"))).await;
    assert_eq!(adder.add(1, 2).await, Ok(3));
    assert_eq!((server.sessions().len(), server.sessions().connections()), (1, 2));
    refused(ClientWebSocket::connect(url("/echo")), 503).await;
    socket.close(CloseCode::NORMAL, "");
    soon(socket.closed()).await.unwrap();
    until("the place is free", || server.sessions().connections() == 1).await;
    // The answer to a request gives no place back early, and takes none.
    let again = ClientWebSocket::connect(url("/echo"));
    drop(open(again).await);
}

#[tokio::test]
async fn a_shutdown_closes_it_and_waits_for_its_handler() {
    let echo = Echo::default();
    let is_over = Arc::clone(&echo.is_over);
    let server = Server::builder().route("/rpc", websocket(echo)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/rpc", server.local_addr());
    let socket = open(ClientWebSocket::connect(&url)).await;
    soon(server.shutdown()).await;
    assert!(is_over.load(Ordering::Relaxed), "the shutdown has waited");
    assert_eq!(server.sessions().connections(), 0);
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::RESTART);
}

#[tokio::test]
async fn the_end_of_the_last_handle_closes_it() {
    let server = builder().listen("127.0.0.1:0").await.unwrap();
    let socket = open(ClientWebSocket::connect(format!("ws://{}/echo", server.local_addr()))).await;
    drop(server);
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::RESTART);
}

/// A server whose WebSockets have a handler that never ends, and a WebSocket of it. The counter says whether the
/// handler is still there.
async fn stubborn(config: Config) -> (Server, ClientWebSocket, Arc<()>) {
    Lines::keep();
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let handler = move |_: RawSocket| {
        let inside = Arc::clone(&inside);
        async move {
            std::future::pending::<()>().await;
            drop(inside);
        }
    };
    let server = Server::builder().route("/stubborn", websocket(handler)).config(config).build().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let info = ConnectionInfo::default().with_peer_addr("192.0.2.7:5".parse().unwrap());
    server.serve_stream(far, info).unwrap();
    let socket = soon(ClientWebSocket::connect("ws://localhost/stubborn").over(near).into_future()).await.unwrap();
    until("the handler runs", || Arc::strong_count(&held) == 3).await;
    (server, socket, held)
}

fn given_up() -> Vec<String> {
    Lines::read(Level::WARN).into_iter().filter(|line| line.contains("handler of a WebSocket")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_end_is_given_up_when_the_time_of_the_shutdown_is_over() {
    let (server, socket, held) = stubborn(Config::default()).await;
    let begun = Instant::now();
    let shutdown = tokio::spawn(async move {
        server.shutdown().await;
        server
    });
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::RESTART);
    assert_eq!(Arc::strong_count(&held), 3, "the handler has its time");
    let server = soon(shutdown).await.unwrap();
    assert!(begun.elapsed() > Config::default().drain_grace() * 2, "{:?}", begun.elapsed());
    assert_eq!((Arc::strong_count(&held), server.sessions().connections()), (2, 0));
    let lines = given_up();
    assert!(lines.len() == 1 && lines[0].contains("192.0.2.7:5") && lines[0].contains("drain_timeout"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_end_is_given_up_when_the_server_ends_at_once() {
    let (server, socket, held) = stubborn(Config::default()).await;
    let sessions = server.sessions().clone();
    drop(server);
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::RESTART);
    until("the handler is gone", || Arc::strong_count(&held) == 1).await;
    until("its place is free", || sessions.connections() == 0).await;
    assert_eq!(given_up().len(), 1, "{:?}", given_up());
}

#[tokio::test]
async fn it_has_the_names_of_its_server() {
    let server = builder().allow_host("example.com").listen("127.0.0.1:0").await.unwrap();
    refused(ClientWebSocket::connect(format!("ws://{}/echo", server.local_addr())), 421).await;
}

#[tokio::test]
async fn it_counts_in_another_http_server_too() {
    let server = builder().max_connections(1).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/echo", listener.local_addr().unwrap());
    let app = Router::new().fallback_service(server.front());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let socket = open(ClientWebSocket::connect(&url)).await;
    refused(ClientWebSocket::connect(&url), 503).await;
    soon(server.shutdown()).await;
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::RESTART);
    refused(ClientWebSocket::connect(&url), 503).await;
}

#[tokio::test]
async fn it_goes_over_a_stream_of_the_application() {
    let server = builder().build().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    server.serve_stream(far, ConnectionInfo::default()).unwrap();
    let socket = open(ClientWebSocket::connect("ws://localhost/echo").over(near)).await;
    assert_eq!(socket.connection().peer_addr(), None);
}
