//! Routes, proxies and WebSockets by hand at a listener that does TLS.

use std::net::SocketAddr;

use axum::{Router, extract::Extension, routing::get};
use rpc_client::{Connect, ConnectError, raw::ClientWebSocket};
use rpc_core::TlsInfo;
use rpc_server::{
    ConnectionInfo, ListenOptions, Listener, Server, ServerBuilder,
    raw::{Message, RawSocket, websocket},
};
use rpc_testing::{Authority, SOON};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{client::TlsStream, rustls::version::TLS13};

use super::{
    traffic::raw,
    vault::{Guest, Parrot, VaultClient, builder, join, of, soon, trusting},
};

/// A page that is there by TLS alone, and tells the client its address.
fn pages() -> Router {
    let peer = |_: Extension<TlsInfo>, Extension(peer): Extension<SocketAddr>| async move { peer.to_string() };
    Router::new().route("/peer", get(peer))
}

/// Asks for a page, and returns the head and the body of the answer.
async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> (String, String) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    timeout(SOON, stream.read_exact(&mut body)).await.unwrap().unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn pages_and_a_contract_share_a_port() {
    let authority = Authority::new("test");
    let tls = of(&authority.server(&["localhost"]));
    let server = builder().fallback(pages()).health_routes().listen_tls("127.0.0.1:0", tls).await.unwrap();
    let vault = join(&server, trusting(&authority)).await;
    let mut stream = raw(server.local_addr(), &authority, &TLS13, &["http/1.1"]).await.unwrap();
    let own = stream.get_ref().0.local_addr().unwrap().to_string();
    for (path, text) in [("/peer", own.as_str()), ("/readyz", "ready\n"), ("/peer", &own)] {
        let (head, body) = ask(&mut stream, path).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, text);
    }
    assert_eq!(vault.who().await, Ok((true, vec![])));
    timeout(SOON, server.shutdown()).await.unwrap();
    assert_eq!(timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap_or(0), 0, "the page's connection ends too");
}

/// A server at which proxies speak the PROXY protocol, and clients TLS behind it.
async fn behind_proxies(authority: &Authority, builder: ServerBuilder) -> (Server, Listener) {
    let server = builder.trusted_proxies(["127.0.0.1"]).build().unwrap();
    let options = ListenOptions::new().proxy_protocol(true).tls(of(&authority.server(&["localhost"])));
    let listener = server.listen_with("127.0.0.1:0", options).await.unwrap();
    (server, listener)
}

/// Connects as a proxy does, for a client that then does TLS.
async fn proxied(listener: &Listener, authority: &Authority) -> Result<VaultClient, ConnectError> {
    let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n").await.unwrap();
    let vault = VaultClient::connect("wss://localhost/").callback(Parrot.serve());
    soon(vault.over(stream).tls(trusting(authority))).await
}

#[tokio::test]
async fn the_header_of_a_proxy_comes_before_tls() {
    let authority = Authority::new("test");
    let (server, listener) = behind_proxies(&authority, builder().max_connections_per_address(1)).await;
    let vault = proxied(&listener, &authority).await.unwrap();
    assert_eq!(vault.who().await, Ok((true, vec![])));
    assert_eq!(server.sessions().iter().next().unwrap().peer_addr(), "203.0.113.9:4711".parse().ok());
    // One too many for this client: closed without an answer, as always by TLS.
    let error = proxied(&listener, &authority).await.unwrap_err();
    assert!(matches!(error, ConnectError::Ended { .. }), "{error:?}");
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_proxy_and_its_client_have_the_time_of_one_upgrade_together() {
    let authority = Authority::new("test");
    let config = rpc_core::Config::builder().upgrade_timeout(std::time::Duration::from_millis(100)).build().unwrap();
    let (_server, listener) = behind_proxies(&authority, builder().config(config)).await;
    for said in [&b""[..], b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN\r\n\x16\x03\x01"] {
        let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn tls_goes_over_a_stream_of_the_application() {
    let authority = Authority::new("test");
    let tls = of(&authority.server(&["localhost"]));
    let server = builder().listen_tls("127.0.0.1:0", tls).await.unwrap();
    let (near, mut tunnel) = duplex(64 * 1024);
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tunnel, &mut socket).await });
    let vault = VaultClient::connect("wss://localhost/").callback(Parrot.serve()).over(near).tls(trusting(&authority));
    let vault = soon(vault).await.unwrap();
    assert_eq!(vault.who().await, Ok((true, vec![])));
}

#[tokio::test]
async fn a_stream_is_encrypted_if_the_application_says_so() {
    let server = builder().build().unwrap();
    for (info, is_encrypted) in
        [(ConnectionInfo::default(), false), (ConnectionInfo::default().with_tls(TlsInfo::default()), true)]
    {
        let (near, far) = duplex(64 * 1024);
        server.serve_stream(far, info).unwrap();
        let vault = VaultClient::connect("ws://localhost/").callback(Parrot.serve()).over(near);
        assert_eq!(soon(vault).await.unwrap().who().await, Ok((is_encrypted, vec![])));
    }
}

#[tokio::test]
async fn a_websocket_by_hand_has_a_route_beside_a_contract() {
    let authority = Authority::new("test");
    let echo = |mut socket: RawSocket| async move {
        let is_encrypted = socket.connection().info().connection.is_encrypted();
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            socket.send(format!("{text}, encrypted: {is_encrypted}")).await.unwrap();
        }
    };
    let builder = builder().route("/echo", websocket(echo));
    let server = builder.listen_tls("127.0.0.1:0", of(&authority.server(&["localhost"]))).await.unwrap();
    let vault = join(&server, trusting(&authority)).await;
    let url = format!("wss://localhost:{}/echo", server.local_addr().port());
    let connecting = ClientWebSocket::connect(url).tls(trusting(&authority));
    let mut socket = timeout(SOON, connecting).await.unwrap().unwrap();
    socket.send("hello").await.unwrap();
    let answer = timeout(SOON, socket.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.as_text(), Some("hello, encrypted: true"));
    assert_eq!(vault.add(1, 2).await, Ok(3));
    assert_eq!(server.sessions().connections(), 2);
    timeout(SOON, server.shutdown()).await.unwrap();
    assert_eq!(timeout(SOON, socket.closed()).await.unwrap().unwrap().code.0, 1012);
}
