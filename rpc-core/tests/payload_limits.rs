//! Payloads that hold more than the receiver takes, although they are short enough: the error names the limit and the
//! cure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rpc_core::{Code, Execution, Hosting, Session, Status, Streaming, session::connect_in_memory};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Doc {
    body: Vec<u8>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Compact {
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Deep(Vec<Deep>);

impl Deep {
    fn of(depth: usize) -> Self {
        Self(if depth == 0 { Vec::new() } else { vec![Self::of(depth - 1)] })
    }
}

#[rpc_core::service]
trait Shelf {
    async fn put(&self, doc: Doc) -> usize;
    async fn get(&self, len: usize) -> Doc;
    async fn put_compact(&self, doc: Compact) -> usize;
    async fn get_compact(&self, len: usize) -> Compact;
    async fn put_lists(&self, lists: Vec<Vec<u16>>) -> usize;
    async fn get_lists(&self, count: usize) -> Vec<Vec<u16>>;
    async fn put_deep(&self, deep: Deep);
    async fn get_deep(&self, depth: usize) -> Deep;
    async fn fail(&self, len: usize) -> Result<(), Doc>;
    async fn pages(&self, len: usize) -> Streaming<Doc>;
}

struct Wood;

fn doc(len: usize) -> Doc {
    Doc { body: vec![7; len] }
}

impl Shelf for Wood {
    async fn put(&self, doc: Doc) -> usize {
        doc.body.len()
    }
    async fn get(&self, len: usize) -> Doc {
        doc(len)
    }
    async fn put_compact(&self, doc: Compact) -> usize {
        doc.body.len()
    }
    async fn get_compact(&self, len: usize) -> Compact {
        Compact { body: vec![7; len] }
    }
    async fn put_lists(&self, lists: Vec<Vec<u16>>) -> usize {
        lists.len()
    }
    async fn get_lists(&self, count: usize) -> Vec<Vec<u16>> {
        vec![Vec::new(); count]
    }
    async fn put_deep(&self, _: Deep) {}
    async fn get_deep(&self, depth: usize) -> Deep {
        Deep::of(depth)
    }
    async fn fail(&self, len: usize) -> Result<(), Doc> {
        Err(doc(len))
    }
    async fn pages(&self, len: usize) -> Streaming<Doc> {
        Streaming::new(futures::stream::iter([doc(len)]))
    }
}

fn open() -> (ShelfClient, Session) {
    let server = Hosting::builder().service(Shelf::serve(Wood)).build().unwrap();
    let (_, client) = connect_in_memory(&server, &Hosting::default());
    (client.client(), client)
}

const LEN: usize = 1_200_000;

fn check(status: &Status, execution: Execution, parts: &[&str]) {
    assert_eq!((status.code(), status.execution()), (Code::OutOfRange, execution), "{status}");
    for part in parts {
        assert!(status.message().contains(part), "{part}: {status}");
    }
}

#[tokio::test]
async fn too_many_values_name_the_limit_its_value_the_method_and_the_cure() {
    let (shelf, _session) = open();
    let told = ["1000000 values", "Config::max_payload_values", "serde_bytes", "split"];
    let status = shelf.put(doc(LEN)).await.unwrap_err();
    check(&status, Execution::NotExecuted, &told);
    check(&status, Execution::NotExecuted, &["the arguments of Shelf.put", "the other side"]);
    let status = shelf.get(LEN).await.err().unwrap();
    check(&status, Execution::Unknown, &told);
    check(&status, Execution::Unknown, &["the result of Shelf.get", "this side"]);
    let status = shelf.fail(LEN).await.unwrap_err().status().unwrap().clone();
    check(&status, Execution::Unknown, &told);
    check(&status, Execution::Unknown, &["the fault of Shelf.fail"]);
    let mut pages = shelf.pages(LEN).await.unwrap();
    let status = Status::from(pages.next().await.unwrap().err().unwrap());
    check(&status, Execution::Unknown, &told);
    check(&status, Execution::Unknown, &["an item of a stream of Shelf.pages"]);
    // The cure.
    assert_eq!(shelf.put_compact(Compact { body: vec![7; LEN] }).await, Ok(LEN));
    assert_eq!(shelf.get_compact(LEN).await.unwrap().body.len(), LEN);
}

#[tokio::test]
async fn so_do_too_many_containers_and_too_deep_ones() {
    let (shelf, _session) = open();
    let told = ["131072 arrays and maps", "Config::max_payload_containers", "split"];
    let status = shelf.put_lists(vec![Vec::new(); 140_000]).await.unwrap_err();
    check(&status, Execution::NotExecuted, &told);
    let status = shelf.get_lists(140_000).await.unwrap_err();
    check(&status, Execution::Unknown, &told);
    let told = ["more than 128 deep", "Config::max_payload_nesting"];
    let status = shelf.put_deep(Deep::of(140)).await.unwrap_err();
    check(&status, Execution::NotExecuted, &told);
    let status = shelf.get_deep(140).await.err().unwrap();
    check(&status, Execution::Unknown, &told);
}
