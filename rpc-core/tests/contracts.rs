//! What the macros make of a contract, in use: every kind of argument and result, both ways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::stream;
use rpc_core::{
    CallError, CallOptions, Code, Concurrency, Context, Execution, Hosting, Service, Session, Status, Streaming, Stub,
    session,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Fault {
    Odd { number: u32 },
    Other(String),
}

/// The server's side.
#[rpc_core::service(callback = Screen)]
trait Zoo {
    async fn nothing(&self);
    async fn text(&self, text: &str) -> String;
    async fn lent(&self, point: &Point) -> Point;
    async fn slice(&self, points: &[Point]) -> usize;
    async fn binary(&self, bytes: &[u8]) -> Vec<u8>;
    async fn owned(&self, bytes: Vec<u8>, more: Bytes) -> Bytes;
    async fn maybe(&self, text: Option<&str>, cow: Cow<'_, str>) -> Option<String>;
    async fn even(&self, number: u32) -> Result<u32, Fault>;
    async fn status(&self, number: u32) -> Result<u32, Status>;
    async fn ask(&self, cx: &Context<ScreenClient>, question: &str) -> Result<bool, Status>;
    #[rpc(oneway)]
    async fn note(&self, text: &str);
    #[rpc(name = "old-name", idempotent, timeout = "5s")]
    async fn r#type(&self, #[rpc(default)] r#in: u8) -> u8;
    async fn meta(&self, cx: &Context<ScreenClient>) -> Vec<(String, String)>;
}

/// The client's side.
#[rpc_core::callback]
trait Screen {
    async fn confirm(&self, question: &str) -> bool;
}

#[derive(Default)]
struct Keeper {
    notes: Mutex<Vec<String>>,
}

impl Zoo for Keeper {
    async fn nothing(&self) {}
    async fn text(&self, text: &str) -> String {
        text.to_uppercase()
    }
    async fn lent(&self, point: &Point) -> Point {
        Point { x: point.y, y: point.x }
    }
    async fn slice(&self, points: &[Point]) -> usize {
        points.len()
    }
    async fn binary(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().rev().copied().collect()
    }
    async fn owned(&self, bytes: Vec<u8>, more: Bytes) -> Bytes {
        [bytes, more.to_vec()].concat().into()
    }
    async fn maybe(&self, text: Option<&str>, cow: Cow<'_, str>) -> Option<String> {
        text.map(|text| format!("{text}{cow}"))
    }
    async fn even(&self, number: u32) -> Result<u32, Fault> {
        if number % 2 == 0 { Ok(number / 2) } else { Err(Fault::Odd { number }) }
    }
    async fn status(&self, number: u32) -> Result<u32, Status> {
        if number == 0 { Err(Status::not_found("zero").with_details([1, 2])) } else { Ok(number) }
    }
    async fn ask(&self, cx: &Context<ScreenClient>, question: &str) -> Result<bool, Status> {
        cx.peer().confirm(question).await
    }
    async fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    async fn r#type(&self, r#in: u8) -> u8 {
        r#in + 1
    }
    async fn meta(&self, cx: &Context<ScreenClient>) -> Vec<(String, String)> {
        cx.metadata_all().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

struct Yes;

impl Screen for Yes {
    async fn confirm(&self, question: &str) -> bool {
        question.ends_with('?')
    }
}

fn hosting(service: Service) -> Hosting {
    Hosting::builder().service(service).build().unwrap()
}

async fn zoo() -> (ZooClient, Arc<Keeper>, Session) {
    let keeper = Arc::new(Keeper::default());
    let (server, client) = session::connect_in_memory(&hosting(keeper.clone().serve()), &hosting(Yes.serve()));
    client.established().await.unwrap();
    (client.client(), keeper, server)
}

#[tokio::test]
async fn every_kind_of_argument_and_result_arrives() {
    let (zoo, ..) = zoo().await;
    zoo.nothing().await.unwrap();
    assert_eq!(zoo.text("abc").await.unwrap(), "ABC");
    assert_eq!(zoo.lent(&Point { x: 1, y: 2 }).await.unwrap(), Point { x: 2, y: 1 });
    assert_eq!(zoo.slice(&[Point { x: 1, y: 2 }, Point { x: 1, y: 2 }]).await.unwrap(), 2);
    assert_eq!(zoo.binary(&[1, 2, 3]).await.unwrap(), [3, 2, 1]);
    assert_eq!(zoo.owned(vec![1], Bytes::from_static(&[2])).await.unwrap(), [1, 2][..]);
    assert_eq!(zoo.maybe(Some("a"), "b".into()).await.unwrap().as_deref(), Some("ab"));
    assert_eq!(zoo.maybe(None, "b".into()).await.unwrap(), None);
    assert_eq!(zoo.r#type(1).await.unwrap(), 2);
}

#[tokio::test]
async fn faults_and_statuses_keep_their_types() {
    let (zoo, ..) = zoo().await;
    assert_eq!(zoo.even(4).await.unwrap(), 2);
    assert_eq!(zoo.even(3).await.unwrap_err(), CallError::Fault(Fault::Odd { number: 3 }));
    assert_eq!(zoo.status(1).await.unwrap(), 1);
    let status = zoo.status(0).await.unwrap_err();
    assert_eq!((status.code(), status.message(), status.details()), (Code::NotFound, "zero", &[1, 2][..]));
}

/// The same contract before and after its method and its stream could fail.
mod versions {
    pub(super) mod old {
        #[rpc_core::service(name = "Scale")]
        pub(crate) trait OldScale {
            async fn weigh(&self, fails: bool) -> u32;
            async fn weights(&self, fails: bool) -> rpc_core::Streaming<u32>;
        }
    }
    pub(super) mod new {
        #[rpc_core::service(name = "Scale")]
        pub(crate) trait NewScale {
            async fn weigh(&self, fails: bool) -> Result<u32, String>;
            async fn weights(&self, fails: bool) -> rpc_core::Streaming<u32, String>;
        }
    }
}

struct Kitchen;

impl versions::old::OldScale for Kitchen {
    async fn weigh(&self, _: bool) -> u32 {
        7
    }
    async fn weights(&self, _: bool) -> Streaming<u32> {
        Streaming::new(stream::iter([7]))
    }
}

impl versions::new::NewScale for Kitchen {
    async fn weigh(&self, fails: bool) -> Result<u32, String> {
        if fails { Err("broken".to_owned()) } else { Ok(7) }
    }
    async fn weights(&self, fails: bool) -> Streaming<u32, String> {
        Streaming::from_results(stream::iter([if fails { Err("broken".to_owned()) } else { Ok(7) }]))
    }
}

/// What `guide/evolving.md` says of a method, and of a stream, that gets a fault.
#[tokio::test]
async fn a_new_fault_is_for_callers_who_know_of_it() {
    let serve = |service: Service| {
        let server = Hosting::builder().service(service).build().unwrap();
        session::connect_in_memory(&server, &Hosting::default())
    };
    let (_server, client) = serve(versions::new::NewScale::serve(Kitchen));
    let old: versions::old::OldScaleClient = client.client();
    assert_eq!(old.weigh(false).await.unwrap(), 7);
    assert_eq!(old.weigh(true).await.unwrap_err().code(), Code::Internal);
    assert_eq!(old.weights(false).await.unwrap().next().await, Some(Ok(7)));
    let fault = old.weights(true).await.unwrap().next().await;
    assert!(matches!(&fault, Some(Err(CallError::Status(status))) if status.code() == Code::Internal), "{fault:?}");

    let (_server, client) = serve(versions::old::OldScale::serve(Kitchen));
    let new: versions::new::NewScaleClient = client.client();
    assert_eq!(new.weigh(true).await.unwrap(), 7);
    assert_eq!(new.weights(true).await.unwrap().next().await, Some(Ok(7)));
}

/// A fault at the end of a stream goes in one frame.
#[tokio::test]
async fn a_fault_of_a_stream_that_is_longer_than_a_chunk_is_a_status() {
    struct Verbose;
    impl versions::new::NewScale for Verbose {
        async fn weigh(&self, _: bool) -> Result<u32, String> {
            Err("x".repeat(70_000))
        }
        async fn weights(&self, _: bool) -> Streaming<u32, String> {
            Streaming::from_results(stream::iter([Ok(7), Err("x".repeat(70_000))]))
        }
    }
    let server = Hosting::builder().service(versions::new::NewScale::serve(Verbose)).build().unwrap();
    let (_server, client) = session::connect_in_memory(&server, &Hosting::default());
    let scale: versions::new::NewScaleClient = client.client();
    let fault = scale.weigh(true).await.unwrap_err();
    assert_eq!(fault.fault().map(String::len), Some(70_000), "a call's own fault goes in chunks");
    let mut weights = scale.weights(true).await.unwrap();
    assert_eq!(weights.next().await, Some(Ok(7)));
    let end = weights.next().await;
    assert!(matches!(&end, Some(Err(CallError::Status(status))) if status.code() == Code::OutOfRange), "{end:?}");
}

#[tokio::test]
async fn handlers_call_back_and_get_metadata() {
    let (zoo, ..) = zoo().await;
    assert!(zoo.ask("Sure?").await.unwrap());
    assert!(!zoo.ask("Sure.").await.unwrap());
    let with = zoo.with(CallOptions::new().metadata("k", "v"));
    assert_eq!(with.meta().await.unwrap(), [("k".to_owned(), "v".to_owned())]);
}

#[tokio::test]
async fn one_way_calls_run_in_order_before_later_calls() {
    let (zoo, keeper, _) = zoo().await;
    for n in 0..100 {
        zoo.note(&n.to_string()).await.unwrap();
    }
    zoo.nothing().await.unwrap();
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(*keeper.notes.lock().unwrap(), expected);
}

#[test]
fn descriptors_say_what_the_contract_says() {
    let methods = ZooClient::CONTRACT.methods();
    let renamed = methods.iter().find(|method| method.name() == "old-name").unwrap();
    assert_eq!(renamed.timeout(), Some(std::time::Duration::from_secs(5)));
    assert!(renamed.is_idempotent());
    assert_eq!(ZooClient::CONTRACT.callback().unwrap().name(), "Screen");
}

/// The descriptor names a method that the object's function does not start. Nothing has run, so the status says so.
#[tokio::test]
async fn a_method_without_a_handler_has_certainly_not_run() {
    for concurrency in [Concurrency::Multiple, Concurrency::Single] {
        let empty = Service::host(ScreenClient::CONTRACT, (), |_, _, _, _| ()).concurrency(concurrency);
        let server = Hosting::builder().service(empty).build().unwrap();
        let (_server, client) = session::connect_in_memory(&server, &Hosting::default());
        let status = client.client::<ScreenClient>().confirm("Sure?").await.unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::Unimplemented, Execution::NotExecuted), "{status}");
        assert!(status.message().contains("Screen.confirm has no handler"), "{status}");
    }
}
