//! Fake peers in both roles: what they say and expect, what a failed expectation says, and programs beside peers that
//! are slow or break the rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use rpc_client::Connect;
use rpc_core::{CallError, CallOptions, CloseCode, Code, ConnectionError, Context, Status, Streaming, Stub, TimeLimit};
use rpc_server::Server;
use rpc_test::{ErrorBody, FakePeer, Frame, Goodbye, Payload, TestServer, settle};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

#[rpc_core::callback]
trait Screen {
    async fn confirm(&self, question: &str) -> bool;
    #[rpc(oneway)]
    async fn show(&self, text: &str);
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn open(&self, cx: &Context<ScreenClient>, name: &str) -> Result<u32, String>;
    async fn pages(&self, name: &str) -> Streaming<u32>;
    #[rpc(oneway, id = 0x77)]
    async fn note(&self, text: &str, priority: u8);
    async fn time(&self) -> u64;
}

#[derive(Default)]
struct Office(AtomicU32);

impl Desk for Office {
    async fn open(&self, cx: &Context<ScreenClient>, name: &str) -> Result<u32, String> {
        cx.peer().show(name).await.map_err(|status| status.to_string())?;
        match cx.peer().confirm("really?").await {
            Ok(true) => Ok(7),
            Ok(false) => Err("not allowed".to_owned()),
            Err(status) => Err(status.code().to_string()),
        }
    }
    async fn pages(&self, name: &str) -> Streaming<u32> {
        Streaming::new(futures::stream::iter(0..u32::try_from(name.len()).unwrap()))
    }
    async fn note(&self, _: &str, priority: u8) {
        self.0.fetch_add(u32::from(priority), Ordering::SeqCst);
    }
    async fn time(&self) -> u64 {
        12
    }
}

struct Console;

impl Screen for Console {
    async fn confirm(&self, question: &str) -> bool {
        question == "really?"
    }
    async fn show(&self, _: &str) {}
}

/// A client, and the server that the test plays.
async fn beside_a_server() -> (DeskClient, FakePeer) {
    let (connect, peer) = FakePeer::server::<DeskClient>();
    (connect.callback(Console.serve()).await.unwrap(), peer)
}

/// A client that the test plays, and its server.
async fn beside_a_client() -> (TestServer, FakePeer) {
    let server = TestServer::start(Server::builder().service(Office::default().serve())).unwrap();
    let peer = FakePeer::client::<DeskClient>(&server).await;
    (server, peer)
}

/// Why the client's session has ended, which takes less than an hour of virtual time.
async fn end_of(desk: &DeskClient) -> ConnectionError {
    timeout(Duration::from_secs(3600), desk.session().closed()).await.expect("the session ends")
}

fn open(desk: &DeskClient) -> JoinHandle<Result<u32, CallError<String>>> {
    let desk = desk.clone();
    tokio::spawn(async move { desk.open("letter").await })
}

/// What an expectation says that fails.
async fn complaint(expectation: impl Future) -> String {
    let Err(panic) = AssertUnwindSafe(expectation).catch_unwind().await else { panic!("the expectation holds") };
    *panic.downcast::<String>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_server_replies_fails_and_calls_back() {
    let (desk, mut server) = beside_a_server().await;
    let opened = open(&desk);
    let call = server.expect_request("Desk.open").await;
    assert_eq!(call.arguments::<(String,)>().0, "letter");
    assert_eq!(call.timeout().unwrap().as_secs(), 60);
    let id = server.call("Screen.confirm", &("really?",));
    assert!(server.expect_response::<bool>(id).await);
    server.reply(&call, &8_u32);
    assert_eq!(opened.await.unwrap(), Ok(8));

    let opened = open(&desk);
    let call = server.expect_request("Desk.open").await;
    server.fault(&call, "no");
    assert_eq!(opened.await.unwrap(), Err(CallError::Fault("no".to_owned())));

    let opened = open(&desk);
    let call = server.expect_request("Desk.open").await;
    server.fail(&call, Status::unavailable("later"));
    let Err(CallError::Status(status)) = opened.await.unwrap() else { panic!() };
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "later"));

    desk.note("milk", 3).await.unwrap();
    let note = server.expect_notify("Desk.note").await;
    assert_eq!((note.id(), note.arguments::<(String, u8)>()), (None, ("milk".to_owned(), 3)));
    let asked = desk.with(CallOptions::new().metadata("trace", "9"));
    let time = tokio::spawn(async move { asked.time().await });
    let call = server.expect_request("Desk.time").await;
    assert_eq!((call.metadata("trace"), call.arguments::<[(); 0]>()), (Some("9"), []));
    server.reply(&call, &1_u64);
    assert_eq!(time.await.unwrap(), Ok(1));
    desk.session().close().await;
    let goodbye = server.expect_close().await;
    assert_eq!(goodbye.code, CloseCode::NORMAL);
    assert_eq!(server.expect_close().await, goodbye, "the end stays");
}

#[tokio::test(start_paused = true)]
async fn a_client_calls_and_is_called() {
    let (server, mut client) = beside_a_client().await;
    let id = client.call("Desk.open", &("letter",));
    let shown = client.expect_notify("Screen.show").await;
    assert_eq!(shown.arguments::<(String,)>().0, "letter");
    let question = client.expect_request("Screen.confirm").await;
    client.reply(&question, &true);
    assert_eq!(client.expect_response::<u32>(id).await, 7);

    let id = client.call("Desk.open", &("letter",));
    client.expect_notify("Screen.show").await;
    let question = client.expect_request("Screen.confirm").await;
    client.reply(&question, &false);
    assert_eq!(client.expect_fault::<String>(id).await, "not allowed");

    let id = client.call("Desk.time", &());
    assert_eq!(client.expect_response::<u64>(id).await, 12);
    client.notify("Desk.note", &("milk", 3));
    assert!(matches!(client.expect_frame().await, Frame::Done { count: 1, .. }));
    let id = client.call("Desk.unknown", &());
    assert_eq!(client.expect_status(id).await.code(), Code::Unimplemented);
    assert_eq!(server.sessions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn streams_frame_by_frame() {
    let (desk, mut server) = beside_a_server().await;
    let pages = tokio::spawn(async move { desk.pages("ab").await.unwrap().collect::<Vec<_>>().await });
    let call = server.expect_request("Desk.pages").await;
    let nil = Payload::of(&());
    server.send(Frame::Response { id: call.id().unwrap(), payload: nil, streams: vec![1] });
    server.send(Frame::Item { stream: 1, payload: Payload::of(&5_u32) });
    let error = ErrorBody::Status(Status::aborted("torn"));
    server.send(Frame::End { stream: 1, error: Some(error) });
    let pages = pages.await.unwrap();
    assert_eq!(pages[0], Ok(5));
    assert!(matches!(&pages[1], Err(CallError::Status(status)) if status.code() == Code::Aborted), "{pages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_and_a_cancelled_call() {
    let (desk, mut server) = beside_a_server().await;
    let hurried = desk.with(CallOptions::new().timeout(Duration::from_secs(5)));
    assert_eq!(hurried.time().await.unwrap_err().code(), Code::DeadlineExceeded);
    let call = server.expect_request("Desk.time").await;
    server.expect_cancel(&call).await;
    settle().await;
    assert_eq!(server.try_frame(), None);

    server.answer_pings(false);
    let before = Instant::now();
    let reason = end_of(&desk).await;
    assert!(matches!(&reason, ConnectionError::TimedOut(timeout) if timeout.limit == TimeLimit::Keepalive), "{reason}");
    assert!(before.elapsed() > Duration::from_secs(5));
    assert_eq!(server.expect_close().await.code, CloseCode::TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn peers_that_break_the_rules() {
    for bytes in [&b"nonsense"[..], &[0xc1]] {
        let (server, mut client) = beside_a_client().await;
        client.send_message(Bytes::copy_from_slice(bytes));
        let Goodbye { code, .. } = client.expect_close().await;
        assert_eq!(code, CloseCode::PROTOCOL);
        settle().await;
        assert!(server.sessions().is_empty());
    }
    let (desk, server) = beside_a_server().await;
    server.send(Frame::Done { depth: 0, count: 5, bytes: 0, marked: 0 });
    let reason = end_of(&desk).await;
    assert!(matches!(reason, ConnectionError::Protocol(_)), "{reason}");

    let (desk, mut server) = beside_a_server().await;
    let time = tokio::spawn(async move { desk.time().await });
    let call = server.expect_request("Desk.time").await;
    server.reply(&call, "noon");
    assert!(time.await.unwrap().unwrap_err().message().contains("u64"));
}

#[tokio::test(start_paused = true)]
async fn peers_that_leave_do_not_read_or_refuse() {
    let (desk, server) = beside_a_server().await;
    server.close(CloseCode::RESTART, "shutting down");
    assert!(end_of(&desk).await.is_shut_down());

    let (desk, server) = beside_a_server().await;
    server.send(Frame::GoAway { last_seq: 0, message: "soon".to_owned(), after_ms: 0 });
    drop(server);
    assert!(end_of(&desk).await.is_lost());

    let (desk, mut server) = beside_a_server().await;
    server.network().cut();
    assert!(end_of(&desk).await.is_lost());
    server.expect_lost().await;

    let (desk, server) = beside_a_server().await;
    server.read(false);
    assert!(!end_of(&desk).await.is_lost(), "the client gives it up");

    let refused = FakePeer::refusing::<DeskClient>(Status::unavailable("the house is full"));
    let error = refused.callback(Console.serve()).await.unwrap_err();
    assert!(error.to_string().contains("the house is full"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_test_sends_arrives_before_its_peer_is_gone() {
    // The buffers between the ends do not hold all of it.
    let (desk, mut server) = beside_a_server().await;
    let time = tokio::spawn({
        let desk = desk.clone();
        async move { desk.time().await }
    });
    let call = server.expect_request("Desk.time").await;
    for _ in 0..4 {
        server.notify("Screen.show", &("x".repeat(50_000),));
    }
    server.reply(&call, &12_u64);
    drop(server);
    assert_eq!(timeout(Duration::from_secs(60), time).await.unwrap().unwrap(), Ok(12));

    // The handshake is not done yet.
    let (connect, server) = FakePeer::server::<DeskClient>();
    server.close(CloseCode::RESTART, "shutting down");
    drop(server);
    let error = timeout(Duration::from_secs(1), connect.callback(Console.serve())).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("shutting down"), "{error}");

    // Nothing was sent: the handshake does not come either.
    let (connect, server) = FakePeer::server::<DeskClient>();
    drop(server);
    timeout(Duration::from_secs(1), connect.callback(Console.serve())).await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_a_program_sends_before_it_leaves_is_seen_by_a_peer_that_reads_later() {
    let (desk, mut server) = beside_a_server().await;
    server.read(false);
    settle().await;
    desk.note("farewell", 1).await.unwrap();
    desk.session().close().await;
    settle().await;
    server.send(Frame::Stop { transfer: 4711 });
    settle().await;
    server.read(true);
    assert_eq!(server.expect_notify("Desk.note").await.arguments::<(String, u8)>().0, "farewell");
    assert_eq!(server.expect_close().await.code, CloseCode::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn several_contracts() {
    let (connect, mut server) = FakePeer::server_of(&[DeskClient::CONTRACT, ScreenClient::CONTRACT]);
    let client = connect.await.unwrap();
    let (desk, screen) = (client.client::<DeskClient>(), client.client::<ScreenClient>());
    desk.note("a", 1).await.unwrap();
    screen.show("b").await.unwrap();
    server.expect_notify("Desk.note").await;
    server.expect_notify("Screen.show").await;
}

#[tokio::test(start_paused = true)]
async fn failures_say_what_was_expected_and_what_came() {
    let (desk, mut server) = beside_a_server().await;
    desk.note("milk", 3).await.unwrap();
    let said = complaint(server.expect_request("Desk.open")).await;
    let expected = "expected Request of Desk.open, got Notify of Desk.note with [\"milk\", 3] (rpc-test/tests/peer.rs:";
    assert!(said.starts_with(expected), "{said}");

    let said = complaint(server.expect_notify("Desk.note")).await;
    assert!(said.starts_with("expected Notify of Desk.note, got nothing within 60s"), "{said}");
    server.set_patience(Duration::from_secs(3));
    let said = complaint(server.expect_close()).await;
    assert!(said.starts_with("expected a Close frame, got nothing within 3s"), "{said}");

    let opened = open(&desk);
    let call = server.expect_request("Desk.open").await;
    let said = complaint(async { call.arguments::<(u8,)>() }).await;
    assert!(said.starts_with("the arguments of Desk.open cannot be read as `(u8,)`"), "{said}");
    assert!(said.ends_with("on the wire: [\"letter\"]"), "{said}");
    opened.abort();
    drop(opened);
    let said = complaint(server.expect_response::<u8>(3)).await;
    assert!(said.starts_with("expected Response 3, got Cancel"), "{said}");

    desk.session().close().await;
    let said = complaint(server.expect_request("Desk.open")).await;
    assert!(said.starts_with("expected Request of Desk.open, got a Close frame with 1000 (normal"), "{said}");

    let (server, mut client) = beside_a_client().await;
    server.network().cut();
    let said = complaint(client.expect_close()).await;
    assert!(said.starts_with("expected a Close frame, got the loss of the link: "), "{said}");
}

#[tokio::test]
async fn a_fake_peer_without_a_paused_clock() {
    let (desk, mut server) = beside_a_server().await;
    let opened = open(&desk);
    let call = server.expect_request("Desk.open").await;
    server.reply(&call, &8_u32);
    assert_eq!(opened.await.unwrap(), Ok(8));
    let stub = DeskClient::connect("ws://localhost/").over(tokio::io::empty());
    stub.await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_without_time_has_none() {
    let (_server, mut client) = beside_a_client().await;
    client.send(Frame::Request {
        id: 7,
        method: DeskClient::CONTRACT.methods()[0].id(),
        deadline_ms: Some(0),
        depth: 0,
        parent: None,
        metadata: Vec::new(),
        payload: Payload::arguments(&("letter",)),
        streams: Vec::new(),
        window: 0,
    });
    assert_eq!(client.expect_status(7).await.code(), Code::DeadlineExceeded);
}
