//! Enums in every way that serde tags them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u32),
    NewtypeOfUnit(()),
    NewtypeOfOption(Option<Box<External>>),
    Tuple(i8, String),
    EmptyTuple(),
    Struct {
        a: f64,
        b: Vec<bool>,
    },
    EmptyStruct {},
    #[serde(rename = "7")]
    Renamed,
    r#Type(Vec<u8>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Internal {
    Unit,
    Newtype(Named),
    Struct { number: i64, data: Vec<u8>, nested: Option<Box<Internal>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(Option<u64>),
    Tuple(u8, char),
    Struct { x: Option<u8> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Boolean(bool),
    Number(i64),
    Float(f64),
    Text(String),
    Pair(u8, u8),
    Named { name: String },
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Numbers {
    List(Vec<u8>),
    Map(BTreeMap<String, Vec<u8>>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Other {
    Known,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
struct Level(u8);

impl TryFrom<u8> for Level {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        if level < 10 { Ok(Self(level)) } else { Err(format!("{level} is no level")) }
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.0
    }
}

impl Clone for Level {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

fn named() -> Named {
    Named { name: "name".to_owned() }
}

shapes! {
    Enums, EnumsClient, enums_arrive:
    unit: External = External::Unit;
    newtype: External = External::Newtype(7);
    newtype_of_unit: External = External::NewtypeOfUnit(());
    newtype_of_none: External = External::NewtypeOfOption(None);
    newtype_of_itself: External = External::NewtypeOfOption(Some(Box::new(External::Unit)));
    tuple: External = External::Tuple(-1, "a".to_owned());
    empty_tuple: External = External::EmptyTuple();
    structure: External = External::Struct { a: 0.5, b: vec![true] };
    empty_structure: External = External::EmptyStruct {};
    renamed: External = External::Renamed;
    raw: External = External::Type(vec![1, 2]);
    option_of_unit_variant: Option<External> = Some(External::Unit);
    all: Vec<External> = vec![External::Unit, External::Newtype(1)];
    internal_unit: Internal = Internal::Unit;
    internal_newtype: Internal = Internal::Newtype(named());
    internal_struct: Internal =
        Internal::Struct { number: i64::MIN, data: vec![1, 200], nested: Some(Box::new(Internal::Unit)) };
    adjacent_unit: Adjacent = Adjacent::Unit;
    adjacent_newtype: Adjacent = Adjacent::Newtype(None);
    adjacent_tuple: Adjacent = Adjacent::Tuple(1, 'a');
    adjacent_struct: Adjacent = Adjacent::Struct { x: Some(1) };
    untagged_boolean: Untagged = Untagged::Boolean(true);
    untagged_number: Untagged = Untagged::Number(i64::MIN);
    untagged_float: Untagged = Untagged::Float(0.5);
    untagged_text: Untagged = Untagged::Text("a".to_owned());
    untagged_pair: Untagged = Untagged::Pair(1, 2);
    untagged_struct: Untagged = Untagged::Named { name: "a".to_owned() };
    untagged_bytes: Untagged = Untagged::Bytes(vec![1, 200]);
    untagged_list: Numbers = Numbers::List(vec![1, 200]);
    untagged_map: Numbers = Numbers::Map(BTreeMap::from([("a".to_owned(), vec![1])]));
    other: Other = Other::Known;
    converted: Level = Level(9);
}

mod newer {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) enum Other {
        New,
    }
}

/// What other ends may send for an argument that is an enum.
#[rpc_core::service(name = "Read")]
trait Reads {
    async fn external(&self, value: External) -> External;
    async fn in_a_field(&self, value: Holder) -> Holder;
    async fn other(&self, value: Other) -> Other;
    async fn internal(&self, value: Internal) -> Internal;
    async fn adjacent(&self, value: Adjacent) -> Adjacent;
    async fn level(&self, value: Level) -> Level;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    code: External,
}

#[rpc_core::service(name = "Read")]
trait Sends {
    async fn external(&self, value: u64) -> External;
    async fn in_a_field(&self, value: BTreeMap<String, u64>) -> Holder;
    async fn other(&self, value: newer::Other) -> Other;
    async fn internal(&self, value: BTreeMap<String, u64>) -> Internal;
    async fn adjacent(&self, value: BTreeMap<String, u64>) -> Adjacent;
    async fn level(&self, value: u8) -> Level;
}

struct Reader;

impl Reads for Reader {
    async fn external(&self, value: External) -> External {
        value
    }
    async fn in_a_field(&self, value: Holder) -> Holder {
        value
    }
    async fn other(&self, value: Other) -> Other {
        value
    }
    async fn internal(&self, value: Internal) -> Internal {
        value
    }
    async fn adjacent(&self, value: Adjacent) -> Adjacent {
        value
    }
    async fn level(&self, value: Level) -> Level {
        value
    }
}

#[tokio::test]
async fn an_enum_is_never_read_from_a_number() {
    let (client, _session) = crate::session::<SendsClient>(Reader.serve());
    let refused = client.external(7).await.unwrap_err();
    assert!(refused.message().contains("integer `7`, expected a variant of enum External"), "{refused}");
    let field = |name: &str| BTreeMap::from([(name.to_owned(), 0)]);
    assert!(client.in_a_field(field("code")).await.is_err());
    assert!(client.internal(field("type")).await.is_err());
    assert!(client.adjacent(field("t")).await.is_err());
}

#[tokio::test]
async fn a_variant_that_is_not_known_is_the_other_one() {
    let (client, _session) = crate::session::<SendsClient>(Reader.serve());
    assert_eq!(client.other(newer::Other::New).await, Ok(Other::Unknown));
}

#[tokio::test]
async fn a_conversion_that_fails_refuses_the_call() {
    let (client, _session) = crate::session::<SendsClient>(Reader.serve());
    assert!(client.level(10).await.unwrap_err().message().contains("10 is no level"));
}
