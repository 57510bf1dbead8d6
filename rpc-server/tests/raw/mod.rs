//! A peer that reads and writes raw bytes, and a contract for its server.

#![allow(dead_code, reason = "each test program uses its part")]

use std::time::Duration;

use rpc_core::{Config, Context};
use rpc_server::{Server, ServerBuilder, ServerHandle};
use rpc_testing::{SOON, greeting, until};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[rpc_core::service]
pub(crate) trait Desk {
    async fn header(&self, cx: &Context<DeskClient>, name: &str) -> Option<String>;
    async fn address(&self, cx: &Context<DeskClient>) -> Option<String>;
}

pub(crate) struct Clerk;

impl Desk for Clerk {
    async fn header(&self, cx: &Context<DeskClient>, name: &str) -> Option<String> {
        cx.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
    async fn address(&self, cx: &Context<DeskClient>) -> Option<String> {
        cx.peer_addr().map(|addr| addr.to_string())
    }
}

pub(crate) fn builder() -> ServerBuilder {
    Server::builder().service(Clerk.serve())
}

/// A configuration whose time limits are never reached.
pub(crate) fn endless() -> Config {
    Config::builder()
        .upgrade_timeout(Duration::MAX)
        .hello_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .keepalive_timeout(Duration::MAX)
        .progress_timeout(Duration::MAX)
        .write_timeout(Duration::MAX)
        .drain_grace(Duration::MAX)
        .drain_timeout(Duration::MAX)
        .build()
        .unwrap()
}

pub(crate) async fn listen(config: Config) -> ServerHandle {
    builder().config(config).listen("127.0.0.1:0").await.unwrap()
}

pub(crate) async fn patient() -> ServerHandle {
    builder().listen("127.0.0.1:0").await.unwrap()
}

/// A raw connection.
pub(crate) struct Raw<IO = TcpStream>(pub(crate) IO);

/// The header lines of a valid upgrade request.
pub(crate) const UPGRADE: [&str; 6] = [
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: other.v2, duplex-rpc.v1",
];

impl Raw {
    pub(crate) async fn connect(server: &ServerHandle) -> Self {
        Self(TcpStream::connect(server.local_addr()).await.unwrap())
    }

    /// A connection after the upgrade, before the first frame.
    pub(crate) async fn upgraded(server: &ServerHandle) -> Self {
        Self::connect(server).await.upgrade().await
    }

    /// A connection whose client has said Hello. Its session is open once the server counts it among its sessions.
    pub(crate) async fn greeted(server: &ServerHandle) -> Self {
        let mut raw = Self::upgraded(server).await;
        raw.frame(0x82, &greeting()).await;
        raw
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Raw<IO> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        // TLS may keep bytes back.
        self.0.flush().await.unwrap();
    }

    /// Sends a GET request with these header lines, and returns the head of the answer.
    pub(crate) async fn get(&mut self, lines: &[&str]) -> String {
        self.request("GET", lines).await
    }

    pub(crate) async fn request(&mut self, method: &str, lines: &[&str]) -> String {
        let request = format!("{method} / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        // A server that refuses early may close while we still write.
        let _ = self.0.write_all(request.as_bytes()).await;
        let _ = self.0.flush().await;
        self.head().await
    }

    /// Reads the head of an answer, or the part of the head that comes before the end of the connection.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match timeout(SOON, self.0.read_u8()).await.unwrap() {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads the body that belongs to this head.
    pub(crate) async fn body(&mut self, head: &str) -> String {
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = Vec::new();
        // A server that closes the connection may cut the body short.
        let _ = timeout(SOON, (&mut self.0).take(length.parse().unwrap()).read_to_end(&mut body)).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    /// Reads all bytes until the server ends the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends the connection as well.
        let _ = timeout(SOON, self.0.read_to_end(&mut rest)).await.expect("the server ends the connection");
        rest
    }

    /// Becomes a WebSocket.
    pub(crate) async fn upgrade(self) -> Self {
        self.try_upgrade().await.unwrap_or_else(|answer| panic!("{answer}"))
    }

    /// Becomes a WebSocket. The error is the head of an answer that refuses it.
    pub(crate) async fn try_upgrade(mut self) -> Result<Self, String> {
        let answer = self.get(&UPGRADE).await;
        if answer.starts_with("HTTP/1.1 101") { Ok(self) } else { Err(answer) }
    }

    /// Sends a frame.
    pub(crate) async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&masked(first, payload)).await;
    }

    /// Reads the code of the Close frame that ends the connection.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        self.close().await.map(|(code, _)| code)
    }

    /// Reads the code and the reason of the Close frame that ends the connection.
    pub(crate) async fn close(&mut self) -> Option<(u16, String)> {
        let rest = self.rest().await;
        let (opcode, payload) = frames(&rest).pop()?;
        assert_eq!(opcode, 8, "the last frame is a Close");
        let (code, reason) = payload.split_at(2);
        Some((u16::from_be_bytes([code[0], code[1]]), std::str::from_utf8(reason).unwrap().to_owned()))
    }
}

/// Encodes a client's frame, with a mask of zeroes (RFC 6455 §5.2).
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Parses the server's frames to opcodes and payloads. Fragmented frames and frames of 64 KiB or more are not
/// supported.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert!(first & 0xf0 == 0x80 && *second < 127, "{bytes:?}");
        let (len, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            len => (usize::from(*len), rest),
        };
        frames.push((first & 0x0f, &rest[..len]));
        bytes = &rest[len..];
    }
    frames
}

/// Waits until the server has `count` open sessions.
pub(crate) async fn sessions(server: &ServerHandle, count: usize) {
    until(&format!("{count} sessions"), || server.sessions().len() == count).await;
}

/// Waits until the server has `count` connections, with those whose handshake or end is under way.
pub(crate) async fn connections(server: &ServerHandle, count: usize) {
    until(&format!("{count} connections"), || server.sessions().connections() == count).await;
}
