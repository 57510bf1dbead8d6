//! Values are read as rmp-serde reads them, apart from enums, which are never read from numbers. rmp-serde also writes
//! what is sent.

use std::{collections::BTreeMap, fmt};

use bytes::BytesMut;
use proptest::prelude::*;
use rmp_serde::Deserializer;
use rpc_core::__internals::wire::{ScanLimits, decode, encode, scan_exact};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    note: Option<String>,
    lines: Vec<(i32, f64)>,
    #[serde(default)]
    tags: BTreeMap<String, Kind>,
    #[serde(with = "serde_bytes")]
    blob: Vec<u8>,
    wide: i128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Weight(u16),
    Size(u8, i8),
    Named { name: String, count: Option<u32> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Event {
    Begun { at: u64 },
    Ended,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
    Event(Event),
    List(Vec<Any>),
}

/// What rmp-serde reads.
fn reference<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut deserializer = Deserializer::from_read_ref(bytes).with_human_readable();
    deserializer.set_max_depth(2048);
    T::deserialize(&mut deserializer).map_err(|error| error.to_string())
}

/// Both read the same, or both refuse.
fn agree<T: DeserializeOwned + PartialEq + fmt::Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let own = decode::<T>(bytes, &ScanLimits::default());
    let reference = reference::<T>(bytes);
    prop_assert!(own.as_ref().ok() == reference.as_ref().ok(), "{:02x?}: {:?}, {:?}", bytes, own, reference);
    Ok(())
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = BytesMut::new();
    assert_eq!(encode(&mut out, value), Ok(()));
    out.to_vec()
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        any::<u16>().prop_map(Kind::Weight),
        any::<(u8, i8)>().prop_map(|(a, b)| Kind::Size(a, b)),
        (".{0,40}", any::<Option<u32>>()).prop_map(|(name, count)| Kind::Named { name, count }),
    ]
}

fn orders() -> impl Strategy<Value = Order> {
    let lines = prop::collection::vec((any::<i32>(), -1e300..1e300), 0..20);
    let tags = prop::collection::btree_map(".{0,8}", kinds(), 0..5);
    let parts = (any::<u64>(), any::<Option<String>>(), lines, tags, any::<Vec<u8>>(), any::<i128>());
    parts.prop_map(|(id, note, lines, tags, blob, wide)| Order { id, note, lines, tags, blob, wide })
}

fn anything() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Any::Number),
        ".{0,20}".prop_map(Any::Text),
        any::<u64>().prop_map(|at| Any::Event(Event::Begun { at })),
        Just(Any::Event(Event::Ended)),
    ];
    leaf.prop_recursive(4, 32, 8, |inner| prop::collection::vec(inner, 0..8).prop_map(Any::List))
}

proptest! {
    #[test]
    fn typed_values_are_read_as_rmp_serde_reads_them(order in orders(), any in anything()) {
        let bytes = encoded(&order);
        prop_assert_eq!(decode::<Order>(&bytes, &ScanLimits::default()).unwrap(), order.clone());
        agree::<Order>(&bytes)?;
        agree::<Value>(&encoded(&(order.id, order.note, order.lines)))?;
        let bytes = encoded(&any);
        prop_assert_eq!(decode::<Any>(&bytes, &ScanLimits::default()).unwrap(), any);
        agree::<Any>(&bytes)?;
        agree::<Value>(&bytes)?;
    }

    #[test]
    fn damaged_values_are_read_or_refused_as_rmp_serde_does(any in anything(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encoded(&any);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // What is no MessagePack value is refused before either reader sees it.
        if scan_exact(&bytes, &ScanLimits::default()).is_ok() {
            agree::<Value>(&bytes)?;
            agree::<Vec<i64>>(&bytes)?;
            agree::<(u8, Option<String>)>(&bytes)?;
            agree::<BTreeMap<String, f32>>(&bytes)?;
        }
    }

    #[test]
    fn numbers_fit_their_types_as_rmp_serde_has_it(number in any::<i64>(), large in any::<u64>(), double in any::<f64>()) {
        for bytes in [encoded(&number), encoded(&large), encoded(&double)] {
            agree::<u8>(&bytes)?;
            agree::<i16>(&bytes)?;
            agree::<u32>(&bytes)?;
            agree::<i64>(&bytes)?;
            agree::<u64>(&bytes)?;
            agree::<Option<i8>>(&bytes)?;
        }
    }
}
