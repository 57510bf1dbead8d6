//! HTTP servers that host a WebSocket, and clients that speak raw bytes.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rpc_server::raw::WebSocketService;
use rpc_testing::SOON;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_service::Service;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
pub(crate) const FIN: u8 = 0x80;

/// The header lines of a handshake, without a sub-protocol.
pub(crate) const HANDSHAKE: [&str; 5] = [
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it comes in time")
}

/// Serves with plain hyper; ends with the runtime of the test.
pub(crate) async fn in_hyper(service: WebSocketService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, peer)) = listener.accept().await {
            let service = service.clone();
            let routes = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                service.clone().call(request)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), routes).with_upgrades());
        }
    });
    addr
}

/// Serves at `/ws` with axum, beside a page at `/`.
pub(crate) async fn in_axum(service: WebSocketService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "a page" })).route_service("/ws", service);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    addr
}

/// What a handler was called with, in order.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until a connection has been told closed, and gives all lines.
    pub(crate) async fn closed(&self) -> Vec<String> {
        rpc_testing::until("on_close has been called", || self.lines().iter().any(|line| line.starts_with("close")))
            .await;
        self.lines()
    }
}

/// A client's socket.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    /// Sends a GET request, and gives the head of the answer.
    pub(crate) async fn get(addr: SocketAddr, path: &str, lines: &[&str]) -> (Self, String) {
        let mut client = Self(TcpStream::connect(addr).await.unwrap());
        client.bytes(format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(client.0.read_u8()).await.unwrap());
        }
        (client, String::from_utf8(head).unwrap())
    }

    /// Connects a WebSocket.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let (client, head) = Self::get(addr, "/ws", &HANDSHAKE).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        client
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
    }

    /// Sends a frame.
    pub(crate) async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&masked(first, payload)).await;
    }

    /// The next frame: first byte and payload. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = soon(self.0.read_u8()).await.ok()?;
        let len = match soon(self.0.read_u8()).await.unwrap() {
            126 => u64::from(soon(self.0.read_u16()).await.unwrap()),
            127 => soon(self.0.read_u64()).await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        soon(self.0.read_exact(&mut payload)).await.unwrap();
        Some((first, payload))
    }

    /// Passes over frames up to the close frame, and gives its code and reason.
    pub(crate) async fn close_frame(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.next().await.expect("a close frame comes before the end");
            if first == FIN | CLOSE {
                let (code, reason) = payload.split_at(2);
                return (u16::from_be_bytes([code[0], code[1]]), String::from_utf8(reason.to_vec()).unwrap());
            }
        }
    }
}

/// A client's frame, with a mask of zeroes (RFC 6455 §5.2).
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
