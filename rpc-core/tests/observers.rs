//! What observers hear of calls and sessions, and what `Metrics` counts of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::stream;
use rpc_core::{
    CallOptions, Code, ConnectionError, ConnectionInfo, Hosting, Session, SessionHooks, Status, Streaming, async_trait,
    intercept::Direction,
    observe::{
        CallOutcome, CallSummary, Metrics, MetricsSnapshot, Observer, RefusedCall, StreamOutcome, StreamSummary,
    },
    session::connect_in_memory,
};
use rpc_testing::{SOON, pass, settle, until};
use tokio::time::timeout;

#[rpc_core::service]
trait Shop {
    async fn price(&self, item: &str) -> Result<u32, String>;
    async fn wait(&self);
    async fn items(&self) -> Streaming<u32>;
    #[rpc(oneway)]
    async fn note(&self, text: &str);
    #[rpc(allow = "clerk")]
    async fn close(&self);
}

/// What is not hosted.
#[rpc_core::service]
trait Bank {
    async fn pay(&self) -> u32;
    #[rpc(oneway)]
    async fn tip(&self);
}

struct Counter;

impl Shop for Counter {
    async fn price(&self, item: &str) -> Result<u32, String> {
        pass(Duration::from_secs(2)).await;
        if item == "nothing" { Err("sold out".to_owned()) } else { Ok(7) }
    }

    async fn wait(&self) {
        std::future::pending::<()>().await;
    }

    async fn items(&self) -> Streaming<u32> {
        Streaming::new(stream::iter(0..3))
    }

    async fn note(&self, _: &str) {}

    async fn close(&self) {}
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn write(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Log {
    fn call_ended(&self, call: &CallSummary) {
        let (direction, method, name) = (call.direction, call.method, call.outcome.name());
        assert!(call.session.is_some());
        self.write(format!("{direction:?} {method} {name} {:?}", call.time));
    }

    fn stream_ended(&self, call: &CallSummary, stream: &StreamSummary) {
        assert_eq!((&call.outcome, &stream.outcome), (&CallOutcome::Success, &StreamOutcome::Finished));
        self.write(format!("{:?} {}: {} items", call.direction, call.method, stream.items));
    }

    fn call_refused(&self, call: &RefusedCall<'_>) {
        let method = call.method.map_or_else(|| format!("{:#010x}", call.id), ToString::to_string);
        self.write(format!("refused {method} {}", call.status.code()));
    }

    fn session_opened(&self, session: &Session) {
        self.write(format!("opened {:?}", session.state()));
    }

    fn session_closed(&self, _: &Session, reason: &ConnectionError) {
        self.write(format!("closed {}", u16::from(reason.close_code())));
    }

    fn session_failed(&self, info: &ConnectionInfo, reason: &ConnectionError) {
        assert!(info.peer_addr.is_none());
        self.write(format!("failed {reason}"));
    }
}

fn hosting(log: &Log) -> Hosting {
    let shop = Hosting::builder().service(Counter.serve()).authorizer(|_, _| false);
    shop.observer(log.clone()).build().unwrap()
}

/// The server's handle, its client, and what each has observed.
async fn begin() -> (Session, Session, Log, Log) {
    let (at_server, at_client) = (Log::default(), Log::default());
    let client = Hosting::builder().observer(at_client.clone()).build().unwrap();
    let (server, client) = connect_in_memory(&hosting(&at_server), &client);
    timeout(SOON, client.established()).await.unwrap().unwrap();
    for log in [&at_server, &at_client] {
        until("the session has opened", || !log.0.lock().unwrap().is_empty()).await;
        assert_eq!(log.take(), ["opened Open"]);
    }
    (server, client, at_server, at_client)
}

#[tokio::test(start_paused = true)]
async fn calls_are_observed_at_both_ends_with_their_times() {
    let (_server, client, at_server, at_client) = begin().await;
    let shop: ShopClient = client.client();
    shop.price("bread").await.unwrap();
    shop.price("nothing").await.unwrap_err();
    shop.with(CallOptions::new().timeout(Duration::from_secs(5))).wait().await.unwrap_err();
    assert!(timeout(Duration::from_secs(3), shop.wait()).await.is_err());
    settle().await;
    let lines = |direction: &str, late: &str| {
        [
            format!("{direction} Shop.price OK 2s"),
            format!("{direction} Shop.price FAULT 2s"),
            format!("{direction} Shop.wait {late}"),
            format!("{direction} Shop.wait CANCELLED 3s"),
        ]
    };
    let seconds = |log: &Log| -> Vec<_> {
        // A timer of tokio is late by a millisecond at most.
        log.take()
            .iter()
            .map(|line| line.split_once(".00").map_or(line.clone(), |(line, _)| format!("{line}s")))
            .collect()
    };
    assert_eq!(seconds(&at_client), lines("Outgoing", "DEADLINE_EXCEEDED 5s"));
    assert_eq!(seconds(&at_server), lines("Incoming", "CANCELLED 5s"));
}

#[tokio::test(start_paused = true)]
async fn one_way_calls_and_streams_are_observed() {
    let (_server, client, at_server, at_client) = begin().await;
    let shop: ShopClient = client.client();
    shop.note("milk").await.unwrap();
    let mut items = shop.items().await.unwrap();
    while items.next().await.is_some() {}
    settle().await;
    let lines = |direction: &str| {
        [
            format!("{direction} Shop.note OK 0ns"),
            format!("{direction} Shop.items OK 0ns"),
            format!("{direction} Shop.items: 3 items"),
        ]
    };
    assert_eq!(at_client.take(), lines("Outgoing"));
    assert_eq!(at_server.take(), lines("Incoming"));
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_get_to_the_interceptors_are_refused() {
    let (_server, client, at_server, at_client) = begin().await;
    assert_eq!(client.client::<BankClient>().pay().await.unwrap_err().code(), Code::Unimplemented);
    client.client::<BankClient>().tip().await.unwrap();
    assert_eq!(client.client::<ShopClient>().close().await.unwrap_err().code(), Code::PermissionDenied);
    settle().await;
    let number = |name| format!("{:#010x}", rpc_core::contract::method_id("Bank", name));
    assert_eq!(
        at_server.take(),
        [
            format!("refused {} UNIMPLEMENTED", number("pay")),
            format!("refused {} UNIMPLEMENTED", number("tip")),
            "refused Shop.close PERMISSION_DENIED".to_owned(),
        ]
    );
    assert_eq!(
        at_client.take(),
        [
            "Outgoing Bank.pay UNIMPLEMENTED 0ns",
            "Outgoing Bank.tip OK 0ns",
            "Outgoing Shop.close PERMISSION_DENIED 0ns"
        ]
    );
}

struct Shut;

#[async_trait]
impl SessionHooks for Shut {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        Err(Status::permission_denied("come back tomorrow"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_sessions_are_observed_and_so_are_refusals() {
    let (server, client, at_server, at_client) = begin().await;
    client.close().await;
    server.closed().await;
    assert_eq!((at_server.take(), at_client.take()), (vec!["closed 1000".to_owned()], vec!["closed 1000".to_owned()]));

    let client = Hosting::builder().observer(at_client.clone()).build().unwrap();
    let shut = Hosting::builder().hooks(Shut).observer(at_server.clone()).build().unwrap();
    let (server, client) = connect_in_memory(&shut, &client);
    client.closed().await;
    server.closed().await;
    let lines = [at_server.take(), at_client.take()].concat();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("failed ") && line.contains("come back tomorrow")), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn metrics_count_all_of_it() {
    let metrics = Metrics::new();
    let shop = Hosting::builder().service(Counter.serve()).authorizer(|_, _| false).observer(metrics.clone());
    let hosting = shop.build().unwrap();
    let (server, client) = connect_in_memory(&hosting, &Hosting::default());
    let shop: ShopClient = client.client();
    for item in ["bread", "milk", "nothing"] {
        let _ = shop.price(item).await;
    }
    let mut items = shop.items().await.unwrap();
    while items.next().await.is_some() {}
    let _ = client.client::<BankClient>().pay().await;
    let _ = shop.close().await;
    assert_eq!(metrics.snapshot().sessions.open(), 1);
    drop(client.close());
    server.closed().await;
    let shut = Hosting::builder().hooks(Shut).observer(metrics.clone()).build().unwrap();
    connect_in_memory(&shut, &Hosting::default()).0.closed().await;

    let MetricsSnapshot { calls, streams, refused, unknown_methods, sessions, .. } = metrics.snapshot();
    let calls: Vec<_> = calls.iter().map(|(key, calls)| (key.method, key.outcome, calls.count)).collect();
    assert_eq!(calls, [("items", "OK", 1), ("price", "FAULT", 1), ("price", "OK", 2)]);
    let time = metrics.snapshot().calls.values().map(|calls| calls.time).max().unwrap();
    assert!((4..5).contains(&time.as_secs()), "{time:?}");
    let (key, read) = streams.first_key_value().unwrap();
    assert_eq!((key.direction, key.method, key.outcome, read.items), (Direction::Incoming, "items", "OK", 3));
    let refused: Vec<_> = refused.iter().map(|(key, count)| (key.method, key.outcome, *count)).collect();
    assert_eq!((refused, unknown_methods), (vec![("close", "PERMISSION_DENIED", 1)], 1));
    assert_eq!((sessions.opened, sessions.closed, sessions.lost, sessions.refused, sessions.failed), (1, 1, 0, 1, 0));
    assert_eq!(sessions.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_harms_nothing() {
    struct Bad;
    impl Observer for Bad {
        fn call_ended(&self, _: &CallSummary) {
            panic!("as the test wants");
        }
        fn call_refused(&self, _: &RefusedCall<'_>) {
            panic!("as the test wants");
        }
        fn session_opened(&self, _: &Session) {
            panic!("as the test wants");
        }
        fn session_closed(&self, _: &Session, _: &ConnectionError) {
            panic!("as the test wants");
        }
    }
    let log = Log::default();
    let shop = Hosting::builder().service(Counter.serve()).authorizer(|_, _| false).observer(Bad).observer(log.clone());
    let (server, client) = connect_in_memory(&shop.build().unwrap(), &Hosting::default());
    assert_eq!(client.client::<ShopClient>().price("bread").await, Ok(7));
    assert!(client.client::<BankClient>().pay().await.is_err());
    client.close().await;
    server.closed().await;
    assert_eq!(log.take().len(), 4);
}
