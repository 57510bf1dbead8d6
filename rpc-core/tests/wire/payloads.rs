//! Payloads: what round-trips through serde_json round-trips here.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use rpc_core::__internals::wire::{ArgumentReader, ScanLimits, WireError, decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn payload<T: Serialize>(value: &T) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out, value).unwrap();
    out.freeze()
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, WireError> {
    decode(payload, &ScanLimits::default())
}

/// There and back, as JSON and as a payload, alone and in the places where serde buffers what it reads.
#[track_caller]
fn as_json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "body")]
    enum Adjacent<T> {
        One(T),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Internal<T> {
        One { body: T },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged<T> {
        One { body: T },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: Body<T>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body<T> {
        body: T,
        optional: Option<T>,
    }
    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let json = serde_json::to_string(value).unwrap();
        if serde_json::from_str::<T>(&json).is_ok_and(|back| back == *value) {
            assert_eq!(read::<T>(&payload(value)).as_ref(), Ok(value), "as JSON it is {json}");
        }
    }
    let again = || read::<T>(&payload(&value)).unwrap();
    assert_eq!(serde_json::from_str::<T>(&serde_json::to_string(&value).unwrap()).unwrap(), value);
    assert_eq!(read::<T>(&payload(&value)).as_ref(), Ok(&value));
    check(&vec![again(), again()]);
    check(&(again(), 7_u8));
    check(&HashMap::from([("key".to_owned(), again())]));
    check(&Adjacent::One(again()));
    check(&Internal::One { body: again() });
    check(&Untagged::One { body: again() });
    check(&Flat { inner: Body { body: again(), optional: None } });
    check(&Body { body: again(), optional: Some(again()) });
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Plain {
    FirstOne,
    #[serde(rename = "2")]
    Second,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u32),
    Nested(Option<Box<External>>),
    Tuple(i8, String),
    Struct { a: f64, b: Vec<bool> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Internal {
    Unit,
    Newtype(Named),
    Struct { some_field: i64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(u64),
    Tuple(u8, char),
    Struct { x: Option<u8> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    Text(String),
    Pair(u8, u8),
    Named { name: String },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    #[serde(rename = "Name")]
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip)]
    cache: u32,
    #[serde(default = "seven")]
    level: u8,
    alias: Option<String>,
}

fn seven() -> u8 {
    7
}

fn named() -> Named {
    Named { name: "Ada".into(), tags: Vec::new(), cache: 0, level: 9, alias: None }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Rest {
    id: u32,
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Vec<u8>);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tuple(u8, String, Option<()>);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: i32,
}

#[test]
fn primitives_go_as_in_json() {
    as_json(true);
    for number in [0, 1, -1, 127, 128, -32, -33, -129, 70_000, -70_000, i64::MAX, i64::MIN] {
        as_json(number);
    }
    as_json(u64::MAX);
    for number in [0.0, -0.0, 1.0, 0.1, f64::MAX, f64::MIN_POSITIVE] {
        as_json(number);
    }
    as_json(0.1_f32);
    for letter in ['a', 'ß', '🦀', '\0'] {
        as_json(letter);
    }
    as_json(String::new());
    as_json("ß".repeat(40_000));
    as_json(());
    as_json(u128::from(u64::MAX));
    as_json(-5_i128);
}

#[test]
fn structs_go_as_in_json() {
    as_json(Newtype(vec![1, 2, 255]));
    as_json(Tuple(1, "two".into(), None));
    as_json(Empty {});
    as_json(Transparent { inner: -1 });
    as_json(named());
    as_json(Named { tags: vec!["x".into()], alias: Some("y".into()), ..named() });
    let rest = json!({"deep": {"list": [1, -2, 2.5, null, true, "text"]}, "none": null});
    as_json(Rest { id: 1, named: named(), rest: serde_json::from_value(rest).unwrap() });
}

#[test]
fn enums_go_as_in_json() {
    as_json(vec![Plain::FirstOne, Plain::Second]);
    as_json(External::Unit);
    as_json(External::Newtype(1));
    as_json(External::Nested(None));
    as_json(External::Nested(Some(Box::new(External::Unit))));
    as_json(External::Tuple(-1, "x".into()));
    as_json(External::Struct { a: 1.5, b: vec![true] });
    as_json(Internal::Unit);
    as_json(Internal::Newtype(named()));
    as_json(Internal::Struct { some_field: -5 });
    as_json(Adjacent::Unit);
    as_json(Adjacent::Newtype(u64::MAX));
    as_json(Adjacent::Tuple(1, 'x'));
    as_json(Adjacent::Struct { x: None });
    as_json(Untagged::Number(-5));
    as_json(Untagged::Float(1.5));
    as_json(Untagged::Text("x".into()));
    as_json(Untagged::Pair(1, 2));
    as_json(Untagged::Named { name: "x".into() });
    as_json(Some(External::Unit));
    as_json(Ok::<u8, String>(1));
    as_json(Err::<u8, _>("why".to_owned()));
}

#[test]
fn containers_go_as_in_json() {
    as_json(Some(Some(1)));
    as_json(None::<Option<u8>>);
    as_json(vec![Some(1), None]);
    as_json((1_u8, -1_i8, 'c', (1.5_f32, "x".to_owned())));
    as_json([[1, 2], [3, 4]]);
    as_json(HashSet::from([1, 2, 3]));
    as_json(BTreeMap::from([(-1, "a".to_owned()), (300, "b".to_owned())]));
    as_json(BTreeMap::from([(Plain::FirstOne, 1), (Plain::Second, 2)]));
    as_json(BTreeMap::from([('a', vec![(1, 2)])]));
    as_json(BTreeMap::from([(true, ()), (false, ())]));
    as_json(std::time::Duration::from_millis(1500));
    as_json("127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap());
    as_json(1..5);
    as_json(serde_bytes::ByteBuf::from(vec![0, 200]));
    as_json(json!([{"a": 1}, [], {}, null, -1, 1.5, u64::MAX, "text"]));
}

#[test]
fn where_it_differs_from_json() {
    assert_eq!(read::<f64>(&payload(&f64::INFINITY)), Ok(f64::INFINITY));
    assert!(read::<f64>(&payload(&f64::NAN)).unwrap().is_nan());
    assert_eq!(read(&payload(&u128::MAX)), Ok(u128::MAX));
    assert_eq!(read(&payload(&i128::MIN)), Ok(i128::MIN));
    // The one type that JSON has and a payload has otherwise: null there, an empty array here.
    assert_eq!((&payload(&Unit)[..], read(&payload(&Unit))), (&[0x90][..], Ok(Unit)));
    assert_eq!(read(&payload(&vec![Some(Unit), None])), Ok(vec![Some(Unit), None]), "more than JSON can do");
    let by_pair = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(read(&payload(&by_pair)), Ok(by_pair));
    let bytes = payload(&serde_bytes::Bytes::new(b"abc"));
    assert_eq!(bytes[..], [0xc4, 3, b'a', b'b', b'c']);
    let borrowed: &[u8] = decode(&bytes, &ScanLimits::default()).unwrap();
    assert_eq!(borrowed, b"abc");
}

#[test]
fn fields_may_come_and_go() {
    #[derive(Serialize)]
    struct Newer {
        #[serde(rename = "Name")]
        name: &'static str,
        added: Vec<BTreeMap<u8, &'static str>>,
        alias: &'static str,
    }
    let newer = Newer { name: "Ada", added: vec![BTreeMap::from([(1, "x")])], alias: "a" };
    let read_by_older: Named = read(&payload(&newer)).unwrap();
    assert_eq!(read_by_older, Named { alias: Some("a".into()), level: 7, ..named() });
    let removed = payload(&json!({"Name": "Ada"}));
    assert_eq!(read::<Named>(&removed), Ok(Named { level: 7, ..named() }), "defaults and options may be missing");
    assert!(read::<Named>(&payload(&json!({"level": 1}))).is_err(), "what has no default may not");
}

#[test]
fn arguments_may_come_and_go() {
    let payload = payload(&(1_u8, "two", Unit, vec![3]));
    let mut arguments = ArgumentReader::new(&payload, &ScanLimits::default()).unwrap();
    assert_eq!(arguments.next_value(), Ok(Some(1_u8)));
    assert_eq!(arguments.next_value(), Ok(Some("two")));
    assert_eq!(arguments.next_value(), Ok(Some(Unit)));
    assert_eq!(arguments.next_value(), Ok(Some(vec![3_i64])));
    assert_eq!(arguments.next_value::<u8>(), Ok(None), "the caller is older");
    // And one that reads fewer than there are is content with that.
    let mut arguments = ArgumentReader::new(&payload, &ScanLimits::default()).unwrap();
    assert_eq!(arguments.next_value(), Ok(Some(1_u8)));
}

#[test]
fn text_is_taken_where_an_argument_is_bytes() {
    let payload = payload(&("text", "more"));
    let mut arguments = ArgumentReader::new(&payload, &ScanLimits::default()).unwrap();
    assert_eq!(arguments.next_binary(), Ok(Some(&b"text"[..])));
    assert_eq!(arguments.next_bytes(), Ok(Some(Bytes::from_static(b"more"))));
    assert!(arguments.is_at_end());
}

#[test]
fn a_mebibyte_of_small_elements_is_refused_by_the_budget() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Large {
        _words: [u64; 16],
    }
    let elements = 1 << 20;
    // One byte each: 0 as a value, an empty array and an empty map as structs of 128 bytes.
    for (element, why) in [(0x00, "1000000 values"), (0x90, "131072 arrays and maps"), (0x80, "131072 arrays and maps")]
    {
        let mut payload = vec![0xdd, 0, 0x10, 0, 0];
        payload.resize(5 + elements, element);
        let error = read::<Vec<Large>>(&payload).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}
