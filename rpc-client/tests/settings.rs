//! Settings that cannot work are refused before a connection is made. Valid settings work over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rpc_client::{Connect, ConnectError, Stub};
use rpc_core::{Config, Context, Hosting, HostingError, Status};
use rpc_server::{BuildError, Server, ServerHandle};
use rpc_testing::{Line, Lines, SOON, until};
use tokio::{sync::oneshot, time::timeout};
use tracing::Level;

#[rpc_core::service(callback = Guest)]
trait Inn {
    async fn arrive(&self, cx: &Context<GuestClient>) -> Result<u32, Status>;
}

#[rpc_core::callback]
trait Guest {
    async fn number(&self) -> u32;
}

/// Sends the stub of each arriving client to the test.
struct Host(mpsc::Sender<GuestClient>);

impl Inn for Host {
    async fn arrive(&self, cx: &Context<GuestClient>) -> Result<u32, Status> {
        let _ = self.0.send(cx.peer().clone());
        cx.peer().number().await
    }
}

struct Visitor;

impl Guest for Visitor {
    async fn number(&self) -> u32 {
        7
    }
}

/// A server that pings often, and has a long keepalive timeout itself.
async fn inn() -> (ServerHandle, mpsc::Receiver<GuestClient>) {
    Lines::keep();
    let (arrivals, arrived) = mpsc::channel();
    let config = Config::builder()
        .keepalive(Duration::from_secs(1))
        .keepalive_timeout(Duration::from_secs(120))
        .build()
        .unwrap();
    let server = Server::builder().service(Host(arrivals).serve()).config(config);
    (server.listen("127.0.0.1:0").await.unwrap(), arrived)
}

fn impatient() -> Config {
    Config::builder().keepalive_timeout(Duration::from_millis(2500)).build().unwrap()
}

async fn visit(port: u16) -> InnClient {
    let url = format!("ws://127.0.0.1:{port}/");
    InnClient::connect(url).callback(Visitor.serve()).config(impatient()).await.unwrap()
}

/// The client that arrives next.
async fn arrival(arrived: mpsc::Receiver<GuestClient>) -> GuestClient {
    let first = tokio::task::spawn_blocking(move || arrived.recv_timeout(SOON));
    first.await.unwrap().expect("the guest arrives")
}

/// Waits until the server has sent a client that is silent this number of pings more, a second apart.
async fn pings(guest: &GuestClient, count: usize) {
    let session = guest.session().id().to_string();
    let is_ping = |line: &Line| {
        line.field("session") == session && line.field("direction") == "out" && line.field("kind") == "Ping"
    };
    let sent = || Lines::of_all_threads(Level::TRACE).into_iter().filter(is_ping).count();
    let before = sent();
    until("the server has pinged", || sent() >= before + count).await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_never_made() {
    let text = "Config::keepalive is 0ns, and 1s is the least that works; raise it";
    for builder in [Config::builder(), impatient().to_builder()] {
        let error = builder.keepalive(Duration::ZERO).build().unwrap_err();
        assert_eq!((error.field(), error.to_string().as_str()), ("keepalive", text));
    }
}

#[tokio::test]
async fn services_that_cannot_be_hosted_are_still_said_to_be_so() {
    let (arrivals, _arrived) = mpsc::channel();
    let twice = Server::builder().service(Host(arrivals.clone()).serve()).service(Host(arrivals).serve());
    assert!(matches!(twice.build(), Err(BuildError::Hosting(HostingError::HostedTwice { name: "Inn" }))));
    assert!(Hosting::builder().build().is_ok());
}

#[tokio::test]
async fn what_a_client_cannot_connect_with_is_refused_before_anything_is_dialled() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let connect = || InnClient::connect(&url).callback(Visitor.serve());
    for (name, value, why) in [
        ("a b", "x", "invalid HTTP header name"),
        ("x-key", "a\nb", "may not have"),
        ("host", "example.com", "the WebSocket handshake sets it"),
        ("Sec-WebSocket-Extensions", "permessage-deflate", "the WebSocket handshake sets it"),
        ("content-length", "4", "a request for a WebSocket has no body"),
        ("Transfer-Encoding", "chunked", "a request for a WebSocket has no body"),
    ] {
        let error = connect().header("x-good", "yes").header(name, value).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Header { name: named, .. } if named.eq_ignore_ascii_case(name)));
        assert!(error.to_string().contains(why), "{error}");
    }
    let twice = connect().callback(Visitor.serve()).await.unwrap_err();
    assert!(matches!(twice, ConnectError::Hosting(HostingError::HostedTwice { name: "Guest" })), "{twice:?}");
    assert!(twice.to_string().contains("the contract `Guest` is hosted twice; remove one"), "{twice}");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// The runtime of a client is blocked for twice its keepalive timeout, while the server's pings gather in its socket.
#[tokio::test]
async fn a_blocked_runtime_does_not_end_its_sessions() {
    let (server, arrived) = inn().await;
    let port = server.local_addr().port();
    let (blocks, is_blocked) = oneshot::channel();
    let (go_on, stop) = mpsc::channel();
    let client = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let inn = visit(port).await;
            assert_eq!(inn.arrive().await, Ok(7));
            blocks.send(()).unwrap();
            stop.recv_timeout(SOON).unwrap();
            inn.arrive().await
        })
    });
    let guest = arrival(arrived).await;
    is_blocked.await.unwrap();
    pings(&guest, 5).await;
    go_on.send(()).unwrap();
    let after = tokio::task::spawn_blocking(|| client.join().unwrap());
    assert_eq!(timeout(SOON, after).await.unwrap().unwrap(), Ok(7));
}

/// The client of `a_stopped_process_does_not_end_its_sessions`, which starts this test in a process of its own. Without
/// that test this one does nothing.
#[tokio::test]
async fn guest_in_a_process() {
    let Ok(port) = std::env::var("INN_PORT") else { return };
    let inn = visit(port.parse().unwrap()).await;
    assert_eq!(inn.arrive().await, Ok(7));
    // The other test ends this process.
    std::future::pending::<()>().await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success(), "kill {signal}");
    }
}

/// The process of a client is stopped for twice its keepalive timeout.
#[cfg(unix)]
#[tokio::test]
async fn a_stopped_process_does_not_end_its_sessions() {
    let (server, arrived) = inn().await;
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["guest_in_a_process", "--exact"])
        .env("INN_PORT", server.local_addr().port().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    let guest = arrival(arrived).await;
    assert_eq!(guest.number().await, Ok(7));
    for _ in 0..2 {
        child.signal("-STOP");
        pings(&guest, 5).await;
        child.signal("-CONT");
        assert_eq!(timeout(SOON, guest.number()).await.unwrap(), Ok(7));
    }
    // A client that had missed the server's pings would have closed the session by now.
    pings(&guest, 1).await;
    assert_eq!(guest.number().await, Ok(7));
}
