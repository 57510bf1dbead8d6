//! `Row`: a server that keeps no rules, and one that serves the same program meanwhile.

use std::future::Future;

use rpc_client::{Client, ConnectError, connect, raw::ClientWebSocket};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Link, SOON};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle, time::timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::transport::Transport;

#[rpc_core::service]
trait Adder {
    async fn add(&self, a: u32, b: u32) -> u32;
}

struct Sum;

impl Adder for Sum {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }
}

/// A server that keeps no rules, and a session with another one, which has been open since before.
pub(crate) struct Row {
    transport: Transport,
    listener: TcpListener,
    healthy: Client,
    _server: ServerHandle,
}

/// What connects: a session, or a WebSocket without contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Session,
    Raw,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Session, Kind::Raw];

/// An attempt to connect that runs by itself.
pub(crate) type Attempt = JoinHandle<Result<(), ConnectError>>;

impl Row {
    pub(crate) async fn begin(transport: Transport) -> Self {
        let server = transport.listen(Server::builder().service(Sum.serve())).await;
        let connecting = connect(transport.url(server.local_addr()));
        let connecting = match transport.tls() {
            None => connecting,
            Some(tls) => connecting.tls(tls),
        };
        let healthy = timeout(SOON, connecting).await.unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { transport, listener, healthy, _server: server }
    }

    /// Begins to connect to the server that keeps no rules.
    pub(crate) fn connect(&self, kind: Kind) -> Attempt {
        let (url, tls) = (self.transport.url(self.listener.local_addr().unwrap()), self.transport.tls());
        tokio::spawn(async move {
            match (kind, tls) {
                (Kind::Session, None) => connect(url).await.map(drop),
                (Kind::Session, Some(tls)) => connect(url).tls(tls).await.map(drop),
                (Kind::Raw, None) => ClientWebSocket::connect(url).await.map(drop),
                (Kind::Raw, Some(tls)) => ClientWebSocket::connect(url).tls(tls).await.map(drop),
            }
        })
    }

    /// The connection of the attempt at the server that keeps no rules, and the header lines of a valid answer.
    pub(crate) async fn accept(&self) -> (Link, Vec<String>) {
        let mut link = timeout(SOON, self.transport.accept(&self.listener)).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(SOON, link.read_u8()).await.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = vec!["Upgrade: websocket".to_owned(), "Connection: Upgrade".to_owned()];
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            match name.to_ascii_lowercase().as_str() {
                "sec-websocket-key" => {
                    lines.push(format!("Sec-WebSocket-Accept: {}", derive_accept_key(value.as_bytes())));
                }
                "sec-websocket-protocol" => lines.push(format!("Sec-WebSocket-Protocol: {value}")),
                _ => {}
            }
        }
        (link, lines)
    }

    /// The other server answers.
    pub(crate) async fn served(&self) {
        assert_eq!(timeout(SOON, self.healthy.client::<AdderClient>().add(1, 2)).await.unwrap(), Ok(3));
    }

    /// Runs what happens at the server that keeps no rules, while the program calls the other one without a pause.
    pub(crate) async fn beside<T>(&self, run: impl Future<Output = T>) -> T {
        let calls = async {
            loop {
                self.served().await;
            }
        };
        let done = tokio::select! {
            done = timeout(SOON, run) => done.expect("it ends"),
            () = calls => unreachable!("the calls go on"),
        };
        self.served().await;
        done
    }
}
