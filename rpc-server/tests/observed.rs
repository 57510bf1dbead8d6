//! What a server's observers hear of clients that get no session.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use rpc_client::Connect;
use rpc_server::{
    AuthError, AuthRequest, Authenticator, Code, ConnectionError, ConnectionInfo, Credential, Identity, Server,
    ServerHandle, Verdict, async_trait,
    observe::{Metrics, Observer},
};
use rpc_testing::{SOON, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

#[rpc_server::service]
trait Desk {
    async fn sit(&self) -> u8;
}

struct Oak;

impl Desk for Oak {
    async fn sit(&self) -> u8 {
        1
    }
}

/// Refuses at the upgrade a client that sends `x-early`, and at the Hello any other without `x-name`.
struct Doorman;

#[async_trait]
impl Authenticator for Doorman {
    async fn authenticate(&self, _: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        Err(AuthError::unauthenticated("no credential is right"))
    }

    async fn at_upgrade(&self, request: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
        match request.headers() {
            headers if headers.contains_key("x-early") => Err(AuthError::permission_denied("too early")),
            headers if headers.contains_key("x-name") => Ok(Identity::new("ada").into()),
            _ => Ok(Verdict::Undecided),
        }
    }
}

/// Sends what it hears.
struct Ear(UnboundedSender<(Option<SocketAddr>, ConnectionError)>);

impl Observer for Ear {
    fn session_failed(&self, info: &ConnectionInfo, reason: &ConnectionError) {
        self.0.send((info.peer_addr, reason.clone())).unwrap();
    }
}

type Heard = UnboundedReceiver<(Option<SocketAddr>, ConnectionError)>;

async fn server(metrics: &Metrics) -> (ServerHandle, Heard) {
    let (sender, heard) = unbounded_channel();
    let server = Server::builder().service(Oak.serve()).authenticator(Doorman).observer(Ear(sender));
    (server.observer(metrics.clone()).listen("127.0.0.1:0").await.unwrap(), heard)
}

/// The code with which this side has refused the next client.
async fn refused(heard: &mut Heard) -> (Code, String) {
    match timeout(SOON, heard.recv()).await.unwrap().unwrap() {
        (Some(addr), ConnectionError::RefusedPeer(status)) if addr.ip().is_loopback() => {
            (status.code(), status.message().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// The first line of the answer to a request with these headers.
async fn ask(server: SocketAddr, headers: &str) -> String {
    let mut socket = TcpStream::connect(server).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn clients_that_are_refused_are_observed_at_each_step() {
    let metrics = Metrics::new();
    let (server, mut heard) = server(&metrics).await;
    let url = format!("ws://{}/", server.local_addr());

    DeskClient::connect(&url).header("x-early", "yes").await.unwrap_err();
    assert_eq!(refused(&mut heard).await, (Code::PermissionDenied, "too early".to_owned()));
    DeskClient::connect(&url).await.unwrap_err();
    assert_eq!(refused(&mut heard).await.0, Code::Unauthenticated);

    // A page of another origin, and a request that is none for a WebSocket.
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: duplex-rpc.v1\r\n";
    let answer = ask(server.local_addr(), &format!("{upgrade}Origin: https://elsewhere.example\r\n")).await;
    assert!(answer.contains("403"), "{answer}");
    assert_eq!(refused(&mut heard).await.0, Code::PermissionDenied);
    assert!(ask(server.local_addr(), "").await.contains("426"));

    let desk = DeskClient::connect(&url).header("x-name", "ada").await.unwrap();
    assert_eq!(desk.sit().await, Ok(1));
    drop(desk);
    until("the session has ended", || metrics.snapshot().sessions.closed == 1).await;
    let sessions = metrics.snapshot().sessions;
    assert_eq!((sessions.opened, sessions.refused, sessions.failed), (1, 3, 0));
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_turned_away_is_heard_of() {
    let (ear, mut heard) = unbounded_channel();
    let builder = Server::builder().service(Oak.serve()).observer(Ear(ear)).max_connections_per_address(1);
    let server = builder.listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let _first = DeskClient::connect(&url).await.unwrap();
    let error = DeskClient::connect(&url).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("max_connections_per_address"), "{error}");
    let (addr, reason) = timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert!(addr.is_some() && reason.is_refused(), "{reason}");
    assert!(heard.try_recv().is_err(), "it is heard of once");
}
