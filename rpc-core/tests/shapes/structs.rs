//! Structs, and what serde's attributes make of them.

use std::{
    collections::{BTreeMap, HashMap},
    marker::PhantomData,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct EmptyTuple();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NewtypeOfUnit(());

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tuple(u32, String, Option<()>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Generic<T, U = ()> {
    value: T,
    other: Option<U>,
    marker: PhantomData<U>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recursive {
    name: String,
    children: Vec<Recursive>,
    next: Option<Box<Recursive>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Renamed {
    some_field: u8,
    #[serde(rename = "0")]
    number: u8,
    r#type: u8,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Defaults {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe: Option<String>,
    #[serde(skip)]
    cache: u32,
    #[serde(alias = "old")]
    new: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    data: Vec<u8>,
    maybe: Option<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlatNumbers {
    #[serde(flatten)]
    rest: BTreeMap<u32, String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct With {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    #[serde(with = "seconds")]
    time: Duration,
    big: u128,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
struct Tagged {
    id: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    id: u8,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

fn leaf() -> Recursive {
    Recursive { name: "leaf".to_owned(), children: vec![], next: None }
}

shapes! {
    Structs, StructsClient, structs_arrive:
    unit: Unit = Unit;
    option_of_unit_struct: Option<Unit> = Some(Unit);
    empty: Empty = Empty {};
    empty_tuple: EmptyTuple = EmptyTuple();
    newtype: Newtype = Newtype(7);
    newtype_of_unit: NewtypeOfUnit = NewtypeOfUnit(());
    transparent: Transparent = Transparent { inner: vec![1, 200] };
    tuple: Tuple = Tuple(1, "two".to_owned(), None);
    generic: Generic<u32> = Generic { value: 7, other: None, marker: PhantomData };
    generic_of_generics: Generic<Generic<Unit>, Vec<u8>> = Generic {
        value: Generic { value: Unit, other: None, marker: PhantomData },
        other: Some(vec![1]),
        marker: PhantomData,
    };
    wrapper: Wrapper<Wrapper<Option<u8>>> = Wrapper(Wrapper(Some(1)));
    wrapped_bytes: Wrapper<Vec<u8>> = Wrapper(vec![1, 200]);
    recursive: Recursive =
        Recursive { name: "root".to_owned(), children: vec![leaf(), leaf()], next: Some(Box::new(leaf())) };
    renamed: Renamed = Renamed { some_field: 1, number: 2, r#type: 3 };
    defaults: Defaults = Defaults::default();
    no_defaults: Defaults = Defaults { list: vec![1], maybe: Some("a".to_owned()), cache: 0, new: 2 };
    flat: Flat = Flat {
        id: 1,
        inner: Inner { data: vec![1, 200], maybe: None },
        rest: BTreeMap::from([("more".to_owned(), json!({"a": [1, -1, 0.5, null, "b"]}))]),
    };
    flat_numbers: FlatNumbers = FlatNumbers { rest: BTreeMap::from([(7, "seven".to_owned())]) };
    with_functions: With = With { bytes: vec![1, 200], time: Duration::from_secs(7), big: u128::MAX };
    tagged: Tagged = Tagged { id: 1 };
    strict: Strict = Strict { id: 1 };
    json: serde_json::Value = json!({"a": [1, -1, 0.5, null, "b", {}], "b": u64::MAX});
    json_map: serde_json::Map<String, serde_json::Value> = serde_json::Map::new();
    map_of_json: HashMap<String, serde_json::Value> = HashMap::from([("a".to_owned(), json!(null))]);
}

#[rpc_core::service(name = "Read")]
trait Reads {
    async fn defaults(&self, value: Defaults) -> u8;
    async fn strict(&self, value: Strict) -> u8;
}

#[rpc_core::service(name = "Read")]
trait Sends {
    async fn defaults(&self, value: &Older) -> u8;
    async fn strict(&self, value: &Older) -> u8;
}

/// An older version of a struct.
#[derive(Serialize, Deserialize)]
struct Older {
    old: u8,
    id: u8,
    gone: Vec<u8>,
}

struct Reader;

impl Reads for Reader {
    async fn defaults(&self, value: Defaults) -> u8 {
        value.new
    }
    async fn strict(&self, value: Strict) -> u8 {
        value.id
    }
}

#[tokio::test]
async fn fields_that_are_not_known_are_passed_over_unless_denied() {
    let (client, _session) = crate::session::<SendsClient>(Reader.serve());
    let sent = Older { old: 3, id: 4, gone: vec![1, 2] };
    assert_eq!(client.defaults(&sent).await, Ok(3));
    assert!(client.strict(&sent).await.unwrap_err().message().contains("unknown field"));
}
