//! Which names and origins are let in, and what sessions keep of their requests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, Raw, UPGRADE, builder, endless};
use rpc_client::Connect;
use rpc_server::{BuildError, Server, ServerBuilder, ServerHandle};

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

#[test]
fn what_cannot_work_is_an_error() {
    let error = Server::builder().allow_host("http://example.com").build().unwrap_err();
    assert!(matches!(&error, BuildError::Host { given, .. } if given == "http://example.com"), "{error}");
    assert!(error.to_string().contains("which is no host: write a host, like example.com"), "{error}");
    let error = Server::builder().keep_headers(["x key"]).build().unwrap_err();
    assert!(matches!(&error, BuildError::HeaderName { given } if given == "x key"), "{error}");
}
