//! Clients that come through proxies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{future::IntoFuture, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Extension, routing::get};
use raw::{DeskClient, Raw, UPGRADE, builder, connections, endless};
use rpc_client::Connect;
use rpc_server::{BuildError, ListenError, ListenOptions, Listener, Server, ServerBuilder, ServerHandle};
use rpc_testing::SOON;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

/// The header of a request for this client.
fn forwarded(client: &str) -> String {
    format!("X-Forwarded-For: 1.1.1.1, {client}")
}

/// Asks for an upgrade on behalf of a client, and returns the connection and the head of the answer.
async fn ask(server: &ServerHandle, client: &str) -> (Raw, String) {
    let mut raw = Raw::connect(server).await;
    let forwarded = forwarded(client);
    let lines: Vec<_> = UPGRADE.into_iter().chain([forwarded.as_str()]).collect();
    let head = raw.get(&lines).await;
    (raw, head)
}

async fn desk(server: &ServerHandle, hops: &str) -> DeskClient {
    let url = format!("ws://{}/", server.local_addr());
    timeout(SOON, DeskClient::connect(url).header("x-forwarded-for", hops)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let server = builder().trusted_proxies(["127.0.0.0/8", "10.0.0.0/8"]).listen("127.0.0.1:0").await.unwrap();
    let one = desk(&server, "6.6.6.6, 203.0.113.9, 10.1.1.1").await;
    assert_eq!(one.address().await.unwrap().as_deref(), Some("203.0.113.9:0"));
    let seen = server.sessions().iter().next().unwrap().peer_addr();
    assert_eq!(seen, "203.0.113.9:0".parse().ok());
}

#[tokio::test]
async fn others_are_not_believed() {
    for trusted in [&[][..], &["10.0.0.0/8"]] {
        let server = builder().trusted_proxies(trusted.iter().copied()).listen("127.0.0.1:0").await.unwrap();
        let desk = desk(&server, "203.0.113.9").await;
        assert!(desk.address().await.unwrap().unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test]
async fn each_client_of_a_proxy_has_its_own_cap() {
    let server = builder().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1).config(endless());
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let (first, head) = ask(&server, "203.0.113.1").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let (mut refused, head) = ask(&server, "203.0.113.1").await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(refused.body(&head).await.contains("too many connections"));
    // The proxy uses the same connection for another client.
    let other = forwarded("203.0.113.2");
    let lines: Vec<_> = UPGRADE.into_iter().chain([other.as_str()]).collect();
    assert!(refused.get(&lines).await.starts_with("HTTP/1.1 101"));
    assert!(ask(&server, "203.0.113.2").await.1.starts_with("HTTP/1.1 503"));
    let (_network, head) = ask(&server, "2001:db8::1").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(ask(&server, "2001:db8::2").await.1.starts_with("HTTP/1.1 503"), "a network of IPv6 is one address");
    drop(first);
    connections(&server, 2).await;
    assert!(ask(&server, "203.0.113.1").await.1.starts_with("HTTP/1.1 101"));
}

#[tokio::test]
async fn what_a_client_writes_before_its_proxy_does_not_hide_it() {
    let server = builder().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1).config(endless());
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let mut kept = Vec::new();
    for (nonsense, status) in [(&b"\xff\xfe"[..], "101"), (b"\xff", "503"), (b"\xc3\xbc, \x80", "503"), (b"", "503")] {
        let mut raw = Raw::connect(&server).await;
        let request = format!("GET / HTTP/1.1\r\n{}\r\nX-Forwarded-For: ", UPGRADE.join("\r\n")).into_bytes();
        raw.send(&[&request, nonsense, b", 203.0.113.9\r\n\r\n"].concat()).await;
        let head = raw.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{nonsense:?}: {head}");
        kept.push(raw);
    }
}

#[tokio::test]
async fn the_application_sees_the_client_too() {
    let peer = |Extension(peer): Extension<SocketAddr>| async move { peer.to_string() };
    let server = Server::builder().fallback(Router::new().route("/peer", get(peer))).trusted_proxies(["127.0.0.1"]);
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET /peer HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", forwarded("203.0.113.1:5")).as_bytes()).await;
    let head = raw.head().await;
    assert_eq!(raw.body(&head).await, "203.0.113.1:5");
}

/// Asks for a path by an open connection of a proxy, on behalf of a client.
async fn ask_for(raw: &mut Raw, path: &str, client: &str, lines: &[&str]) {
    let lines = [&["Host: localhost", &forwarded(client)], lines].concat().join("\r\n");
    raw.send(format!("GET {path} HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes()).await;
}

#[tokio::test]
async fn the_cap_of_a_client_of_a_proxy_holds_for_pages_while_they_are_answered() {
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&gate);
    let slow = move || async move {
        inside.acquire().await.unwrap().forget();
        "at last"
    };
    let server = builder().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1).config(endless()).path("/rpc");
    let server = server.fallback(Router::new().route("/slow", get(slow))).listen("127.0.0.1:0").await.unwrap();
    let (mut first, mut second) = (Raw::connect(&server).await, Raw::connect(&server).await);
    ask_for(&mut first, "/slow", "203.0.113.1", &[]).await;
    // The first request may be slower than the second, so only one of them is answered now.
    ask_for(&mut second, "/slow", "203.0.113.1", &[]).await;
    let refused = async |raw: &mut Raw| {
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert!(raw.body(&head).await.contains("too many connections"));
    };
    let (mut served, mut other) = tokio::select! {
        () = refused(&mut first) => (second, first),
        () = refused(&mut second) => (first, second),
    };
    // The same connection serves another client of the proxy, and the one whose answer is done.
    gate.add_permits(1);
    let head = served.head().await;
    assert_eq!(served.body(&head).await, "at last");
    for client in ["203.0.113.2", "203.0.113.1"] {
        ask_for(&mut other, "/slow", client, &[]).await;
        gate.add_permits(1);
        let head = other.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{client}: {head}");
        other.body(&head).await;
    }
    // Nor does an upgrade that is refused leave the connection to its client.
    ask_for(&mut served, "/rpc", "203.0.113.1", &UPGRADE[1..5]).await;
    let head = served.head().await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    ask_for(&mut other, "/rpc", "203.0.113.1", &UPGRADE[1..]).await;
    assert!(other.head().await.starts_with("HTTP/1.1 101"));
    // A session keeps its place.
    connections(&server, 1).await;
    let body = served.body(&head).await;
    assert!(body.contains("duplex-rpc.v1"), "{body}");
    ask_for(&mut served, "/slow", "203.0.113.1", &[]).await;
    refused(&mut served).await;
}

#[tokio::test]
async fn a_proxy_that_does_not_know_its_client_is_not_asked_for_it_by_header() {
    let (_server, listener) = spoken(builder().trusted_proxies(["127.0.0.1"]).config(endless())).await;
    // Such a proxy passes on what its client writes, and adds nothing.
    let unix = [b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".as_slice(), &[0; 216]].concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), unix, local] {
        let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        let own = stream.local_addr().unwrap().to_string();
        stream.write_all(&header).await.unwrap();
        let desk = DeskClient::connect("ws://localhost/").header("x-forwarded-for", "203.0.113.9").over(stream);
        let desk = timeout(SOON, desk.into_future()).await.unwrap().unwrap();
        assert_eq!(desk.address().await.unwrap(), Some(own));
    }
}

#[tokio::test]
async fn proxies_are_believed_by_a_mounted_upgrade_too() {
    let server = builder().trusted_proxies(["192.0.2.0/24"]).build().unwrap();
    let upgrade = server.upgrade().peer_addr_from(|_| "192.0.2.1:80".parse().ok());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = Router::new().route_service("/rpc", upgrade);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let desk = DeskClient::connect(format!("ws://{addr}/rpc")).header("x-forwarded-for", "203.0.113.9").await.unwrap();
    assert_eq!(desk.address().await.unwrap().as_deref(), Some("203.0.113.9:0"));
}

/// A server that trusts this machine, and listens for proxies that speak the PROXY protocol.
async fn spoken(builder: ServerBuilder) -> (Server, Listener) {
    let server = builder.build().unwrap();
    let listener = server.listen_with("127.0.0.1:0", ListenOptions::new().proxy_protocol(true)).await.unwrap();
    (server, listener)
}

/// Connects as a proxy does, and asks for an upgrade behind the header of the protocol.
async fn proxied(listener: &Listener, header: &[u8]) -> (Raw, String) {
    let mut raw = Raw(TcpStream::connect(listener.local_addr()).await.unwrap());
    raw.send(header).await;
    let head = raw.get(&UPGRADE).await;
    (raw, head)
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n";

#[tokio::test]
async fn the_proxy_protocol_tells_the_client() {
    let (server, listener) = spoken(builder().trusted_proxies(["127.0.0.1"]).config(endless())).await;
    let v2 = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[203, 0, 113, 8, 10, 0, 0, 1, 0, 9, 0, 80]].concat();
    for (header, client) in [(V1, "203.0.113.9:4711"), (&v2, "203.0.113.8:9")] {
        let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        stream.write_all(header).await.unwrap();
        let desk = DeskClient::connect("ws://localhost/").over(stream).await.unwrap();
        assert_eq!(desk.address().await.unwrap().as_deref(), Some(client));
    }
    // The proxy asks for itself, to see whether the server lives.
    let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    let desk = DeskClient::connect("ws://localhost/").over(stream).await.unwrap();
    assert_eq!(desk.address().await.unwrap(), Some(own));
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn the_cap_of_an_address_is_judged_when_the_proxy_has_told() {
    let builder = builder().trusted_proxies(["127.0.0.1"]).max_connections_per_address(1).config(endless());
    let (_server, listener) = spoken(builder).await;
    let (_first, head) = proxied(&listener, V1).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(proxied(&listener, V1).await.1.starts_with("HTTP/1.1 503"));
    let (_other, head) = proxied(&listener, b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

#[tokio::test]
async fn the_proxy_protocol_needs_a_proxy_that_is_believed() {
    let server = builder().build().unwrap();
    let options = ListenOptions::new().proxy_protocol(true);
    let error = server.listen_with("127.0.0.1:0", options.clone()).await.unwrap_err();
    assert!(matches!(error, ListenError::NoTrustedProxies), "{error}");
    assert!(error.to_string().contains("ServerBuilder::trusted_proxies"), "{error}");
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = server.serve_listener_with(socket, options.clone()).unwrap_err();
    assert!(matches!(error, ListenError::NoTrustedProxies), "{error}");
    let server = builder().trusted_proxies(["127.0.0.1"]).listen_with("127.0.0.1:0", options).await.unwrap();
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(V1).await.unwrap();
    let desk = DeskClient::connect("ws://localhost/").over(stream).await.unwrap();
    assert_eq!(desk.address().await.unwrap().as_deref(), Some("203.0.113.9:4711"));
}

#[tokio::test]
async fn the_proxy_protocol_is_not_spoken_with_others() {
    let (_server, listener) = spoken(builder().trusted_proxies(["10.0.0.0/8"]).config(endless())).await;
    let (_raw, head) = proxied(&listener, V1).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let (_raw, head) = proxied(&listener, b"").await;
    assert!(head.starts_with("HTTP/1.1 101"), "a client that comes directly: {head}");
    // And a listener that does not speak it answers likewise.
    let server = builder().trusted_proxies(["127.0.0.1"]).build().unwrap();
    let listener = server.listen("127.0.0.1:0").await.unwrap();
    assert!(proxied(&listener, V1).await.1.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_proxy_that_says_nothing_or_the_wrong_thing_is_dropped() {
    let short = endless().to_builder().upgrade_timeout(Duration::from_millis(100)).build().unwrap();
    let (server, listener) = spoken(builder().trusted_proxies(["127.0.0.1"]).config(short)).await;
    for said in [&b""[..], b"PROX", V1, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut raw = Raw(TcpStream::connect(listener.local_addr()).await.unwrap());
        raw.send(said).await;
        assert!(timeout(SOON, raw.rest()).await.unwrap().is_empty(), "{said:?}");
    }
    let (patient, listener) = spoken(builder().trusted_proxies(["127.0.0.1"]).config(endless())).await;
    let mut silent = Raw(TcpStream::connect(listener.local_addr()).await.unwrap());
    silent.send(b"PROX").await;
    timeout(SOON, patient.shutdown()).await.unwrap();
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[test]
fn a_proxy_that_is_no_network_is_an_error() {
    let error = Server::builder().trusted_proxies(["10.1.2.3/8"]).build().unwrap_err();
    assert!(matches!(&error, BuildError::TrustedProxy { given, .. } if given == "10.1.2.3/8"), "{error}");
    assert!(error.to_string().ends_with(r#"write "10.0.0.0/8""#), "{error}");
}
