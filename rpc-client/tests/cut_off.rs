//! A socket that is cut off under calls, and what their handlers hear of it, at both ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use rpc_client::Connect;
use rpc_core::{CancelReason, Context, Stub};
use rpc_server::Server;
use rpc_testing::SOON;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

#[rpc_core::callback]
trait Screen {
    #[rpc(no_cancel)]
    async fn show(&self, cx: &Context<DeskClient>);
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    #[rpc(no_cancel)]
    async fn sit(&self, cx: &Context<ScreenClient>);
}

/// Reports what it has seen of its end, and which end that is.
#[derive(Clone)]
struct Seat(UnboundedSender<(&'static str, CancelReason)>);

impl Screen for Seat {
    async fn show(&self, cx: &Context<DeskClient>) {
        self.0.send(("client", cx.cancelled().await)).unwrap();
    }
}

impl Desk for Seat {
    async fn sit(&self, cx: &Context<ScreenClient>) {
        let screen = cx.peer().clone();
        tokio::spawn(async move { screen.show().await });
        self.0.send(("server", cx.cancelled().await)).unwrap();
    }
}

/// Carries one connection to `server` until it is aborted.
async fn relay(server: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let relay = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(server).await.unwrap();
        let _ = copy_bidirectional(&mut near, &mut far).await;
    });
    (addr, relay)
}

#[tokio::test]
async fn handlers_hear_that_the_link_was_lost() {
    let (sender, mut seen) = unbounded_channel();
    let seat = Seat(sender);
    let server = Server::builder().service(Desk::serve(seat.clone())).listen("127.0.0.1:0").await.unwrap();
    let (addr, relay) = relay(server.local_addr()).await;
    let desk = DeskClient::connect(format!("ws://{addr}/")).callback(Screen::serve(seat)).await.unwrap();
    let session = desk.session();
    let call = tokio::spawn(async move { desk.sit().await });
    rpc_testing::until("both handlers run", || {
        session.stats().handlers == 1 && server.sessions().iter().all(|session| session.stats().handlers == 1)
    })
    .await;
    relay.abort();
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (end, why) = timeout(SOON, seen.recv()).await.unwrap().unwrap();
        assert!(why.is_lost() && !why.is_shut_down(), "{end}: {why}");
        assert!(matches!(why, CancelReason::SessionEnded(_)), "{end}: {why}");
        ends.push(end);
    }
    ends.sort_unstable();
    assert_eq!(ends, ["client", "server"]);
    assert!(call.await.unwrap().is_err());
    timeout(SOON, server.shutdown()).await.unwrap();
}
