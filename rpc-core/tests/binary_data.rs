//! Binary data within other types: it travels as bytes, not as one number a byte. Each payload here may hold few
//! values, so that a shape that encodes each byte as a value fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::ptr_arg, clippy::type_complexity, reason = "contracts may have such arguments")]

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
};

use bytes::Bytes;
use rpc_core::{CallError, Code, Config, Hosting, Session, Status, Streaming, session::connect_in_memory_with};
use serde::{Deserialize, Serialize};

type Result<T> = std::result::Result<T, String>;
type Lent<'a> = &'a [u8];

#[derive(Serialize, Deserialize)]
struct Hidden<'a> {
    data: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Marked<'a> {
    #[serde(with = "serde_bytes")]
    data: &'a [u8],
}

#[rpc_core::service]
trait Store {
    async fn maybe(&self, a: Option<&[u8]>) -> Option<Vec<u8>>;
    async fn tuple(&self, a: (&[u8], u32, Vec<u8>)) -> (u32, Bytes, Vec<u8>);
    async fn list(&self, a: Vec<&[u8]>) -> Vec<Vec<u8>>;
    async fn slice(&self, a: &[&[u8]], b: &[Vec<u8>]) -> VecDeque<Bytes>;
    async fn array(&self, a: [&[u8]; 2]) -> [Vec<u8>; 2];
    async fn map(&self, a: HashMap<String, &[u8]>) -> BTreeMap<u32, Vec<u8>>;
    async fn owned(&self, a: Box<[u8]>, b: Cow<'_, [u8]>, c: &Vec<u8>, d: &Bytes) -> Box<[u8]>;
    async fn nested(&self, a: Option<Vec<(u8, Option<&[u8]>)>>) -> Box<Option<Vec<u8>>>;
    async fn absent(&self, #[rpc(default)] a: Option<&[u8]>) -> std::result::Result<Option<Bytes>, Status>;
    async fn alias(&self, a: bool) -> Result<Vec<u8>>;
    async fn alias_within(&self) -> Result<Option<Vec<u8>>>;
    async fn items(&self, a: Streaming<(u8, Vec<u8>)>) -> Streaming<Option<Vec<u8>>>;
    async fn marked(&self, a: Marked<'_>) -> usize;
    async fn hidden(&self, a: Hidden<'_>) -> usize;
    async fn lent(&self, a: Lent<'_>) -> usize;
}

struct Object;

impl Store for Object {
    async fn maybe(&self, a: Option<&[u8]>) -> Option<Vec<u8>> {
        a.map(<[u8]>::to_vec)
    }
    async fn tuple(&self, a: (&[u8], u32, Vec<u8>)) -> (u32, Bytes, Vec<u8>) {
        (a.1, a.2.into(), a.0.to_vec())
    }
    async fn list(&self, a: Vec<&[u8]>) -> Vec<Vec<u8>> {
        a.into_iter().map(<[u8]>::to_vec).collect()
    }
    async fn slice(&self, a: &[&[u8]], b: &[Vec<u8>]) -> VecDeque<Bytes> {
        a.iter().map(|a| Bytes::copy_from_slice(a)).chain(b.iter().map(|b| b.clone().into())).collect()
    }
    async fn array(&self, a: [&[u8]; 2]) -> [Vec<u8>; 2] {
        a.map(<[u8]>::to_vec)
    }
    async fn map(&self, a: HashMap<String, &[u8]>) -> BTreeMap<u32, Vec<u8>> {
        a.into_iter().map(|(key, value)| (key.parse().unwrap(), value.to_vec())).collect()
    }
    async fn owned(&self, a: Box<[u8]>, b: Cow<'_, [u8]>, c: &Vec<u8>, d: &Bytes) -> Box<[u8]> {
        assert!(matches!(b, Cow::Borrowed(_)));
        [&*a, &*b, c, d].concat().into()
    }
    async fn nested(&self, a: Option<Vec<(u8, Option<&[u8]>)>>) -> Box<Option<Vec<u8>>> {
        Box::new(a.unwrap().pop().unwrap().1.map(<[u8]>::to_vec))
    }
    async fn absent(&self, a: Option<&[u8]>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(a.map(Bytes::copy_from_slice))
    }
    async fn alias(&self, a: bool) -> Result<Vec<u8>> {
        if a { Ok(data(1)) } else { Err("no".to_owned()) }
    }
    async fn alias_within(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(data(2)))
    }
    async fn items(&self, mut a: Streaming<(u8, Vec<u8>)>) -> Streaming<Option<Vec<u8>>> {
        let (_, data) = a.next().await.unwrap().unwrap();
        Streaming::new(futures::stream::iter([Some(data), None]))
    }
    async fn marked(&self, a: Marked<'_>) -> usize {
        a.data.len()
    }
    async fn hidden(&self, a: Hidden<'_>) -> usize {
        a.data.len()
    }
    async fn lent(&self, a: Lent<'_>) -> usize {
        a.len()
    }
}

/// More bytes than a payload may hold values here.
fn data(seed: u8) -> Vec<u8> {
    (0..100).map(|n| seed.wrapping_add(n)).collect()
}

fn store(values: usize) -> (StoreClient, Session) {
    let config = Config::builder().max_payload_values(values).build().unwrap();
    let server = Hosting::builder().service(Object.serve()).build().unwrap();
    let (server, client) = connect_in_memory_with(&server, &Hosting::default(), &config);
    (client.client(), server)
}

#[tokio::test]
async fn binary_data_travels_as_bytes_within_other_types() {
    let (store, _session) = store(20);
    let (a, b) = (data(1), data(50));
    assert_eq!(store.maybe(Some(&a)).await.unwrap(), Some(a.clone()));
    assert_eq!(store.maybe(None).await.unwrap(), None);
    assert_eq!(store.tuple((&a, 7, b.clone())).await.unwrap(), (7, b.clone().into(), a.clone()));
    assert_eq!(store.list(vec![&a, &[], &b]).await.unwrap(), [a.clone(), vec![], b.clone()]);
    assert_eq!(store.slice(&[&a], std::slice::from_ref(&b)).await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(store.array([&a, &b]).await.unwrap(), [a.clone(), b.clone()]);
    let map = HashMap::from([("3".to_owned(), &*a)]);
    assert_eq!(store.map(map).await.unwrap(), BTreeMap::from([(3, a.clone())]));
    let all = store.owned(a.clone().into(), Cow::Borrowed(&b), &a, &b.clone().into()).await.unwrap();
    assert_eq!(*all, *[&*a, &b, &a, &b].concat());
    assert_eq!(*store.nested(Some(vec![(1, None), (2, Some(&a))])).await.unwrap(), Some(a.clone()));
    assert_eq!(store.absent(Some(&a)).await.unwrap().unwrap(), a);
    assert_eq!(store.marked(Marked { data: &a }).await.unwrap(), 100);
}

#[tokio::test]
async fn binary_data_travels_as_bytes_through_an_alias_of_a_result() {
    let (store, _session) = store(20);
    assert_eq!(store.alias(true).await.unwrap(), data(1));
    assert_eq!(store.alias(false).await.unwrap_err(), CallError::Fault("no".to_owned()));
    assert_eq!(store.alias_within().await.unwrap(), Some(data(2)));
}

#[tokio::test]
async fn binary_data_travels_as_bytes_in_items() {
    let (store, _session) = store(20);
    let items = futures::stream::iter([(1, data(1))]);
    let mut items = store.items(items).await.unwrap();
    assert_eq!(items.next().await.unwrap().unwrap(), Some(data(1)));
    assert_eq!(items.next().await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_slice_that_a_type_hides_is_refused_with_a_cure() {
    let (store, _session) = store(1000);
    let data = data(1);
    for refused in [store.hidden(Hidden { data: &data }).await, store.lent(&data).await] {
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("serde_bytes"), "{status}");
    }
}
