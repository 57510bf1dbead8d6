//! The log of a server shows the input of its clients on one line, cut to a limited length and at a limited rate.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use bytes::Bytes;
use raw::{DeskClient, Raw, UPGRADE, builder, connections};
use rpc_client::Connect;
use rpc_core::{
    __internals::wire::{HostedContract, PacketHeader},
    Stub,
};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{LIMITS, Lines, SOON, hello, packet, until};
use tokio::time::timeout;
use tracing::Level;

const NASTY: &str = "gone\r\n2026-01-01 INFO all is well \u{1b}[2J\u{202e}";

fn said(contracts: &[String]) -> Bytes {
    let contracts = contracts
        .iter()
        .map(|name| HostedContract { name: name.clone(), fingerprint: 0, windows: Vec::new() })
        .collect();
    packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, contracts)])
}

/// Asserts that every log entry has one line, and contains no control characters for a terminal.
fn assert_tame() {
    for line in Lines::read(Level::DEBUG) {
        assert!(!line.contains(|char: char| char.is_control() || char == '\u{202e}'), "{line:?}");
        assert!(line.chars().count() < 3000, "{} characters: {line}", line.len());
    }
}

async fn none_left(server: &ServerHandle) {
    timeout(SOON, connections(server, 0)).await.unwrap();
}

#[tokio::test]
async fn what_a_client_says_is_escaped_and_cut() {
    Lines::keep();
    let server = builder().listen("127.0.0.1:0").await.unwrap();
    let mut client = Raw::upgraded(&server).await;
    let names: Vec<_> = (0..100).map(|_| NASTY.to_owned()).chain([format!("{NASTY}{}", "x".repeat(5000))]).collect();
    client.frame(0x82, &said(&names)).await;
    connections(&server, 1).await;
    client.frame(0x88, &[&1000_u16.to_be_bytes()[..], NASTY.as_bytes()].concat()).await;
    client.rest().await;
    none_left(&server).await;
    let mut stranger = Raw::connect(&server).await;
    let path = "x".repeat(5000);
    stranger
        .send(format!("GET /{path} HTTP/1.1\r\n{}\r\nOrigin: http://{NASTY}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes())
        .await;
    stranger.rest().await;
    assert_tame();
    let lines = Lines::read(Level::DEBUG);
    let shown = |what: &str| assert!(lines.iter().any(|line| line.contains(what)), "{what}: {lines:#?}");
    shown("and 93 more");
    shown(
        "session closed: the session was closed by the other side with code 1000 (normal closure): gone\\r\\n2026-01-01 INFO all is well \\u{1b}[2J\\u{202e}",
    );
}

#[tokio::test]
async fn refused_connections_are_counted_and_not_all_logged() {
    Lines::keep();
    let server = builder().max_connections(1).listen("127.0.0.1:0").await.unwrap();
    let _first = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
    for _ in 0..50 {
        Raw::connect(&server).await.rest().await;
    }
    let warnings = Lines::read(Level::WARN);
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    assert!(warnings[4].contains("counted and not written"), "{warnings:#?}");
}

#[tokio::test]
async fn sessions_are_summed_up_for_operators() {
    Lines::keep();
    let server = builder().listen("127.0.0.1:0").await.unwrap();
    let before = Lines::read(Level::INFO).len();
    for _ in 0..50 {
        let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
        desk.session().close();
    }
    none_left(&server).await;
    let lines = Lines::read(Level::INFO).split_off(before);
    assert!((1..=5).contains(&lines.len()), "{lines:#?}");
    assert!(lines[0].contains("sessions so far open=1 opened=1 closed=0"), "{lines:#?}");
    assert_eq!(Lines::read(Level::DEBUG).iter().filter(|line| line.starts_with("session opened")).count(), 50);
}

/// The contract as the server knows it.
mod served {
    #[rpc_core::service(name = "Diary")]
    pub(super) trait Diary {
        async fn open(&self) -> u64;
        #[rpc(oneway)]
        async fn note(&self, page: u32);
        #[rpc(oneway, initiating = false)]
        async fn seal(&self);
    }
}

/// The contract as an older client knows it.
mod called {
    #[rpc_core::service(name = "Diary")]
    pub(super) trait Diary {
        async fn open(&self) -> u64;
        #[rpc(oneway)]
        async fn note(&self, page: &str);
        #[rpc(oneway)]
        async fn seal(&self);
        #[rpc(oneway)]
        async fn burn(&self);
    }
}

struct Book;

impl served::Diary for Book {
    async fn open(&self) -> u64 {
        1
    }
    async fn note(&self, _: u32) {}
    async fn seal(&self) {}
}

#[tokio::test]
async fn one_way_calls_that_are_not_run_are_logged_and_counted() {
    Lines::keep();
    let server = Server::builder().service(served::Diary::serve(Book)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let diary = called::DiaryClient::connect(url).await.unwrap();
    let session = server.sessions().iter().next().unwrap();
    let refusals: [(&str, &[&str]); 3] = [
        ("note", &["contract=Diary method=note why=INVALID_ARGUMENT", "`page`", "does not fit its type"]),
        ("seal", &["contract=Diary method=seal why=FAILED_PRECONDITION", "may not be called yet", "in each later one"]),
        ("burn", &["not hosted", "why=UNIMPLEMENTED", "hosts Diary"]),
    ];
    for (count, (method, told)) in (1..).zip(refusals) {
        match method {
            "note" => diary.note("no number").await,
            "seal" => diary.seal().await,
            _ => diary.burn().await,
        }
        .unwrap();
        let said = |line: &String| told.iter().all(|part| line.contains(part));
        let logged = async {
            while session.stats().oneway_refused < count || !Lines::read(Level::WARN).iter().any(said) {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, logged).await.unwrap_or_else(|_| panic!("{method}: {:#?}", Lines::read(Level::WARN)));
        assert_eq!(session.stats().oneway_refused, count);
    }
    diary.open().await.unwrap();
    diary.seal().await.unwrap();
    diary.open().await.unwrap();
    assert_eq!(session.stats().oneway_refused, 3);
    until("nothing is left", || session.stats().is_at_rest()).await;
}

/// Ends that were built from different versions of a contract both log a warning, and calls still work.
#[tokio::test]
async fn another_version_of_a_contract_is_a_warning_at_either_end() {
    mod old {
        #[rpc_core::callback]
        pub(super) trait Guest {
            async fn name(&self) -> String;
        }
        #[rpc_core::service(callback = Guest)]
        pub(super) trait Inn {
            async fn greet(&self, cx: &rpc_core::Context<GuestClient>) -> Result<String, rpc_core::Status>;
        }
    }
    mod new {
        #[rpc_core::callback]
        pub(super) trait Guest {
            async fn name(&self) -> String;
            async fn leave(&self);
        }
        #[rpc_core::service(callback = Guest)]
        pub(super) trait Inn {
            async fn greet(&self, cx: &rpc_core::Context<GuestClient>) -> Result<String, rpc_core::Status>;
            async fn bill(&self) -> u32;
        }
    }
    struct Host;
    impl old::Inn for Host {
        async fn greet(&self, cx: &rpc_core::Context<old::GuestClient>) -> Result<String, rpc_core::Status> {
            cx.peer().name().await
        }
    }
    struct Ada;
    impl new::Guest for Ada {
        async fn name(&self) -> String {
            "Ada".to_owned()
        }
        async fn leave(&self) {}
    }
    Lines::keep();
    let server = Server::builder().service(old::Inn::serve(Host)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let inn = new::InnClient::connect(url).callback(new::Guest::serve(Ada)).await.unwrap();
    assert_eq!(inn.greet().await.as_deref(), Ok("Ada"));
    for (what, contract) in [("a client was built", "Guest"), ("the server was built", "Inn")] {
        let lines = Lines::read(Level::WARN);
        let found = lines.iter().filter(|line| line.contains(what) && line.contains(&format!("contract={contract}")));
        assert_eq!(found.count(), 1, "{what}: {lines:?}");
    }
    server.shutdown().await;
}

#[cfg(feature = "raw")]
#[tokio::test]
async fn an_http_server_that_does_not_let_go_of_its_connections_is_named() {
    use http::Request;
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower_service::Service;

    Lines::keep();
    let server = builder().build().unwrap();
    let named = || {
        let lines = Lines::read(Level::WARN);
        lines.iter().filter(|line| line.contains("does not let go of the connection; with hyper")).count()
    };
    async fn quiet(_socket: rpc_server::raw::RawSocket) {}
    for (count, is_raw) in [(1, false), (2, true)] {
        let upgrade = server.upgrade();
        let service = service_fn(move |request: Request<Incoming>| {
            let (mut upgrade, mut raw) = (upgrade.clone(), rpc_server::raw::websocket(quiet));
            async move { if is_raw { raw.call(request).await } else { upgrade.call(request).await } }
        });
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let serving =
            tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(far), service).await });
        near.write_all(format!("GET / HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(SOON, near.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        let _ = timeout(SOON, serving).await.unwrap();
        timeout(SOON, until("the line about the connection", || named() == count)).await.unwrap();
    }
}
