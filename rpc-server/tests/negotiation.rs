//! Requests for the WebSocket that are refused, each beside a client that is served throughout.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::time::Duration;

use raw::{DeskClient, Raw, UPGRADE, builder, endless};
use rpc_client::Connect;
use rpc_server::{BuildError, Server, ServerBuilder, ServerHandle};
use rpc_testing::SOON;
use tokio::{
    io::AsyncWriteExt,
    time::{interval, timeout},
};

/// A server, and a client that is connected to it by the name localhost.
struct Served {
    server: ServerHandle,
    healthy: DeskClient,
}

impl Served {
    async fn by(builder: ServerBuilder) -> Self {
        let server = builder.config(endless()).listen("127.0.0.1:0").await.unwrap();
        let url = format!("ws://localhost:{}/", server.local_addr().port());
        let healthy =
            DeskClient::connect(url).header("x-key", "value").header("authorization", "secret").await.unwrap();
        Self { server, healthy }
    }

    /// Sends a valid request in which the lines that begin as one of these are replaced, and returns the answer.
    async fn ask(&self, lines: &[&str]) -> (String, String) {
        let replaced = |line: &&str| !lines.iter().any(|own| own.split(':').next() == line.split(':').next());
        let request: Vec<_> = UPGRADE.into_iter().filter(replaced).chain(lines.iter().copied()).collect();
        let mut raw = Raw::connect(&self.server).await;
        let head = raw.get(&request).await.to_lowercase();
        let body = if head.starts_with("http/1.1 101") { String::new() } else { raw.body(&head).await };
        assert!(self.healthy.address().await.unwrap().is_some());
        (head, body)
    }
}

#[tokio::test]
async fn another_version_is_answered_with_the_one_there_is() {
    let served = Served::by(builder()).await;
    for version in ["8", "14", "x", ""] {
        let (head, body) = served.ask(&[&format!("Sec-WebSocket-Version: {version}")]).await;
        assert!(head.starts_with("http/1.1 426"), "{head}");
        assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
        assert!(body.contains("version 13"), "{body}");
    }
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let served = Served::by(builder()).await;
    for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ"] {
        let (head, body) = served.ask(&[&format!("Sec-WebSocket-Key: {key}")]).await;
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert!(body.contains("Sec-WebSocket-Key"), "{body}");
    }
}

#[tokio::test]
async fn sub_protocols_that_are_not_served_are_answered_with_those_that_are() {
    let served = Served::by(builder()).await;
    let (head, body) = served.ask(&["Sec-WebSocket-Protocol: chat, duplex-rpc.v9"]).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(head.contains("\r\nsec-websocket-protocol: duplex-rpc.v1\r\n"), "{head}");
    assert!(body.contains("Served: duplex-rpc.v1"), "{body}");
}

#[tokio::test]
async fn a_foreign_page_is_refused_and_a_program_is_not() {
    let served = Served::by(builder()).await;
    let (head, body) = served.ask(&["Origin: https://evil.example.com"]).await;
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert!(body.contains("allow_origin"), "{body}");
    assert!(served.ask(&["Origin: http://localhost"]).await.0.starts_with("http/1.1 101"));
    assert!(served.ask(&[]).await.0.starts_with("http/1.1 101"));
}

#[tokio::test]
async fn a_name_that_is_not_the_servers_is_refused() {
    let served = Served::by(builder().allow_host("localhost").allow_host("rpc.example.com:81")).await;
    // A page of a name that leads to this server is of the same host.
    let (head, body) = served.ask(&["Host: evil.example.com", "Origin: http://evil.example.com"]).await;
    assert!(head.starts_with("http/1.1 421"), "{head}");
    assert!(body.contains("allow_host"), "{body}");
    for (host, status) in
        [("rpc.example.com:81", "101"), ("rpc.example.com", "421"), ("LOCALHOST:5", "101"), ("", "421")]
    {
        let (head, _) = served.ask(&[&format!("Host: {host}")]).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{host}: {head}");
    }
}

#[tokio::test]
async fn compression_is_declined() {
    let served = Served::by(builder()).await;
    let (head, _) = served.ask(&["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_refused() {
    let served = Served::by(builder()).await;
    let long = format!("X: {}", "x".repeat(70 * 1024));
    let mut raw = Raw::connect(&served.server).await;
    assert!(raw.get(&[&long]).await.starts_with("HTTP/1.1 431"));
    let lines: Vec<_> = (0..101).map(|number| format!("X-{number}: x")).collect();
    let mut raw = Raw::connect(&served.server).await;
    assert!(raw.get(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await.starts_with("HTTP/1.1 431"));
    assert!(served.healthy.address().await.unwrap().is_some());
}

#[tokio::test]
async fn a_session_keeps_the_headers_that_are_asked_for() {
    let served = Served::by(builder()).await;
    assert_eq!(served.healthy.header("authorization").await.unwrap().as_deref(), Some("secret"));
    let served = Served::by(builder().keep_headers(["X-Key", "x-absent"]).keep_headers(["x-key"])).await;
    assert_eq!(served.healthy.header("x-key").await.unwrap().as_deref(), Some("value"));
    for gone in ["authorization", "host", "upgrade", "x-absent"] {
        assert_eq!(served.healthy.header(gone).await.unwrap(), None, "{gone}");
    }
    let session = served.server.sessions().iter().next().unwrap();
    assert_eq!(session.info().headers.len(), 1);
    let served = Served::by(builder().keep_headers([""; 0])).await;
    assert_eq!(served.healthy.header("x-key").await.unwrap(), None);
}

#[tokio::test]
async fn who_sends_too_slowly_is_dropped_beside_a_client_that_is_served() {
    let short = endless().to_builder().upgrade_timeout(Duration::from_millis(100)).build().unwrap();
    let server = builder().config(short).listen("127.0.0.1:0").await.unwrap();
    let healthy = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
    let calls = async {
        loop {
            healthy.address().await.unwrap();
        }
    };
    let dropped = async {
        let mut silent = Raw::connect(&server).await;
        let (mut slow, mut pace) = (Raw::connect(&server).await, interval(Duration::from_millis(5)));
        assert!(silent.rest().await.is_empty());
        while slow.0.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    };
    tokio::select! {
        () = calls => {}
        dropped = timeout(SOON, dropped) => dropped.unwrap(),
    }
}

#[test]
fn what_cannot_work_is_an_error() {
    let error = Server::builder().allow_host("http://example.com").build().unwrap_err();
    assert!(matches!(&error, BuildError::Host { given, .. } if given == "http://example.com"), "{error}");
    assert!(error.to_string().contains("which is no host: write a host, like example.com"), "{error}");
    let error = Server::builder().keep_headers(["x key"]).build().unwrap_err();
    assert!(matches!(&error, BuildError::HeaderName { given } if given == "x key"), "{error}");
}
