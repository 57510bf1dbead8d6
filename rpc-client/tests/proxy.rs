//! A client that reaches its server through a proxy of HTTP or of SOCKS5, and what it is told when that fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adder;
#[path = "proxy/relay.rs"]
mod relay;
#[path = "proxy/socks.rs"]
mod socks;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rpc_client::{Client, Config, ConnectError, Proxy, connect};
use rpc_server::{Server, ServerHandle};
use rpc_testing::SOON;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    adder::{Adder, Sum, adds},
    relay::Relay,
};

/// A host that no resolver knows: a client that resolves it by itself fails.
const HOST: &str = "rpc.example.invalid";
const GRANTED: &str = "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";

async fn listen() -> ServerHandle {
    Server::builder().service(Sum.serve()).listen("127.0.0.1:0").await.unwrap()
}

/// A proxy that answers each request for a tunnel with these bytes, and then leads the client to the address.
async fn http_proxy(answer: &'static str, to: Option<SocketAddr>) -> Relay<String> {
    let serve = move |mut socket: TcpStream, asked: Arc<Mutex<Vec<String>>>| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        asked.lock().unwrap().push(String::from_utf8(head).unwrap());
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket
    };
    Relay::start("http", to, serve).await
}

async fn through(proxy: Proxy) -> Result<Client, ConnectError> {
    timeout(SOON, connect(format!("ws://{HOST}/")).proxy(proxy)).await.unwrap()
}

/// What a failure says, and whether the same attempt may go better later. Panics if a secret is in it.
#[track_caller]
fn why(failed: Result<Client, ConnectError>, relay: SocketAddr) -> (String, bool) {
    let error = failed.unwrap_err();
    let named = |proxy: &str| proxy.split_once("://").is_some_and(|(_, host)| host == relay.to_string());
    assert!(matches!(&error, ConnectError::Proxy { proxy, .. } if named(proxy)), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("sesame") && !shown.contains("QWxhZGRpbj") && !shown.contains("Aladdin"), "{shown}");
    let text = error.to_string();
    assert!(text.contains("no connection through the proxy ") && text.contains(&relay.to_string()), "{error}");
    (text, error.is_retryable())
}

#[tokio::test]
async fn a_session_goes_through_a_proxy() {
    let server = listen().await;
    let relay = http_proxy(GRANTED, Some(server.local_addr())).await;
    let client = through(relay.proxy()).await.unwrap();
    adds(&client).await;
    assert_eq!(client.session().peer_addr(), None, "the address of the server is not known");
    assert_eq!(relay.asked(), [format!("CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}:80\r\n\r\n")]);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_goes_through_a_proxy_with_the_name_of_the_server() {
    let authority = rpc_testing::Authority::new("proxied");
    let identity = authority.server(&[HOST]);
    let tls = rpc_server::Tls::from_pem(&identity.certificates, &identity.key).unwrap();
    let server = Server::builder().service(Sum.serve()).listen_tls("127.0.0.1:0", tls).await.unwrap();
    let relay = http_proxy(GRANTED, Some(server.local_addr())).await;
    let tls = rpc_client::Tls::builder().ca(authority.pem()).build().unwrap();
    let connecting = connect(format!("wss://{HOST}/")).proxy(relay.proxy()).tls(tls);
    let client = timeout(SOON, connecting).await.unwrap().unwrap();
    adds(&client).await;
    assert!(client.session().info().is_encrypted());
    assert_eq!(relay.asked(), [format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n")]);
}

#[tokio::test]
async fn ports_and_ipv6_addresses_are_asked_for() {
    let server = listen().await;
    let relay = http_proxy("HTTP/1.0 204 Go\r\n\r\n", Some(server.local_addr())).await;
    let client = timeout(SOON, connect("ws://[::1]:9000/").proxy(relay.proxy())).await.unwrap().unwrap();
    adds(&client).await;
    assert_eq!(relay.asked(), ["CONNECT [::1]:9000 HTTP/1.1\r\nHost: [::1]:9000\r\n\r\n"]);
}

#[cfg(feature = "raw")]
#[tokio::test]
async fn a_raw_websocket_goes_through_a_proxy() {
    use rpc_client::raw::{ClientWebSocket, Message};
    use rpc_server::raw::{RawSocket, websocket};

    let echo = websocket(|mut socket: RawSocket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = http_proxy(GRANTED, Some(listener.local_addr().unwrap())).await;
    let app = axum::Router::new().route_service("/ws", echo);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let connecting = ClientWebSocket::connect(format!("ws://{HOST}/ws")).proxy(relay.proxy());
    let mut socket = timeout(SOON, connecting).await.unwrap().unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(timeout(SOON, socket.recv()).await.unwrap(), Some(Ok(Message::from("hello"))));
    assert_eq!(relay.asked().len(), 1);
}

#[tokio::test]
async fn a_proxy_is_shown_the_user_name_and_password_of_its_url() {
    let server = listen().await;
    let relay = http_proxy(GRANTED, Some(server.local_addr())).await;
    adds(&through(relay.proxy_with_password()).await.unwrap()).await;
    let asked = relay.asked();
    assert!(asked[0].contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{asked:?}");
    let builder = connect(format!("ws://{HOST}/")).proxy(relay.proxy_with_password());
    assert!(!format!("{builder:?} {:?}", relay.proxy_with_password()).contains("sesame"));
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    for (answer, words, retryable) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ["407", "http://user:password@host:port"], false),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", ["403", "does not allow tunnels"], false),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", ["502", "cannot reach the server"], true),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", ["503", "try again"], true),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ["101", "check that this is an HTTP proxy"], false),
        ("HTTP/1.1 200 OK\r\n\r\nmore", ["more than the head", ""], false),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", ["does not speak HTTP", ""], false),
        ("", ["ended the connection", ""], true),
        ("HTTP/1.1 200 OK\r\n", ["ended the connection", ""], true),
    ] {
        let relay = http_proxy(answer, None).await;
        let (text, may_go_better) = why(through(relay.proxy()).await, relay.addr);
        assert!(words.iter().all(|word| text.contains(word)), "{answer:?}: {text}");
        assert_eq!(may_go_better, retryable, "{answer:?}");
    }
    let relay = http_proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", None).await;
    let (text, _) = why(through(relay.proxy_with_password()).await, relay.addr);
    assert!(text.contains("does not accept this user name and password"), "{text}");
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let (text, _) = why(through(Proxy::http(&format!("http://{addr}")).unwrap()).await, addr);
    assert!(text.contains("65536 bytes"), "{text}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_silent_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let proxy = Proxy::http(&format!("http://Aladdin:sesame@{addr}")).unwrap();
    let config = Config::builder().upgrade_timeout(Duration::from_millis(100)).build().unwrap();
    let silent = timeout(SOON, connect(format!("ws://{HOST}/")).proxy(proxy.clone()).config(config)).await.unwrap();
    let (text, retryable) = why(silent, addr);
    assert!(text.contains("no tunnel within 100ms") && retryable, "{text}");
    drop(listener);
    let (text, retryable) = why(through(proxy).await, addr);
    assert!(text.contains("nothing listens") && retryable, "{text}");
}

#[tokio::test]
async fn what_fails_behind_the_proxy_is_the_failure_of_the_server() {
    let relay = http_proxy(GRANTED, None).await;
    let error = through(relay.proxy()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Ended { authority, .. } if authority == HOST), "{error:?}");
}

#[tokio::test]
async fn without_a_proxy_the_server_is_reached_directly() {
    let server = listen().await;
    let url = format!("ws://{}/", server.local_addr());
    let relay = http_proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n", None).await;
    for proxy in [Proxy::none(), Proxy::from_env()] {
        let client = timeout(SOON, connect(&url).proxy(relay.proxy()).proxy(proxy)).await.unwrap().unwrap();
        adds(&client).await;
        assert_eq!(client.session().peer_addr(), Some(server.local_addr()));
    }
    assert!(relay.asked().is_empty());
}
