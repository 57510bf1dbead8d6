//! Which values survive the wire, and what is said of those that do not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fmt::Debug};

use rpc_test::{TravelErrorKind, assert_travels, travel};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct File {
    name: Option<String>,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    sizes: (u128, i128),
    marks: BTreeMap<u8, Mark>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Mark {
    None,
    One(u8),
    Two(u8, String),
    Named { name: String },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Patch {
    number: u8,
    titles: Vec<Option<Option<String>>>,
    done: Option<()>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Text(String),
    Number(u128),
    Data(#[serde(with = "serde_bytes")] Vec<u8>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Pair((u8, u8)),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    #[serde(skip)]
    count: u8,
}

/// Why a value does not survive.
fn complaint<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, kind: TravelErrorKind) -> String {
    let error = travel(value).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

#[test]
fn usual_values_survive() {
    let marks = [Mark::None, Mark::One(1), Mark::Two(2, "b".to_owned()), Mark::Named { name: "c".to_owned() }];
    let marks = (7..).zip(marks).collect();
    assert_travels(&File { name: None, data: vec![1, 255], sizes: (u128::MAX, i128::MIN), marks });
    assert_travels(&vec![1_u8, 2, 3]);
    assert_travels(&Some("text".to_owned()));
    assert_eq!(travel(&(1, 'a', 0.5)).unwrap(), (1, 'a', 0.5));
}

#[test]
fn options_that_are_nil_inside() {
    let titles = vec![Some(Some("a".to_owned())), Some(None)];
    let said = complaint(&Patch { number: 3, titles, done: None }, TravelErrorKind::Changed);
    assert!(said.contains("`travel::Patch` arrives changed"), "{said}");
    assert!(said.contains("  -         Some(\n  -             None,\n  -         ),\n  +         None,"), "{said}");
    assert!(said.contains(r#"on the wire: {"number": 3, "titles": ["a", nil], "done": nil}"#), "{said}");
    assert!(said.contains("look at .titles[1]: `Some` of a value that is nil, which arrives as `None`"), "{said}");
    assert!(said.contains("write instead: an enum with a variant for each case"), "{said}");
    assert!(said.ends_with("rpc_core::guide::shapes"), "{said}");

    let said = complaint(&Some(()), TravelErrorKind::Changed);
    assert!(said.contains("look at the value itself: `Some`") && said.contains("a `bool`"), "{said}");
}

#[test]
fn enums_that_serde_keeps_for_later() {
    let said = complaint(&Loose::Number(1), TravelErrorKind::Changed);
    assert!(said.contains("a number of 128 bits") && said.contains("two numbers of 64 bits"), "{said}");
    let said = complaint(&Loose::Data(b"abc".to_vec()), TravelErrorKind::Changed);
    assert!(said.contains(r#"+ Text("#) && said.contains("binary data, which an `untagged` enum"), "{said}");
    let said = complaint(&Tagged::Pair((1, 2)), TravelErrorKind::NotSent);
    assert!(said.contains("cannot be sent") && said.contains("content"), "{said}");
}

#[test]
fn bytes_as_numbers_where_the_reader_wants_binary_data() {
    #[derive(Debug, PartialEq, Serialize)]
    struct Uneven {
        data: Vec<u8>,
    }
    impl<'de> Deserialize<'de> for Uneven {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            struct Even {
                data: Strict,
            }
            #[derive(Deserialize)]
            #[serde(untagged)]
            enum Strict {
                Text(String),
            }
            let Strict::Text(text) = Even::deserialize(deserializer)?.data;
            Ok(Self { data: text.into_bytes() })
        }
    }
    let said = complaint(&Uneven { data: vec![1, 2] }, TravelErrorKind::NotRead);
    assert!(said.contains("cannot be read at the other end"), "{said}");
    assert!(said.contains("look at .data: bytes, each sent as a number"), "{said}");
    assert!(said.contains(r#"#[serde(with = "serde_bytes")]"#), "{said}");
}

#[test]
fn what_no_shape_explains() {
    let said = complaint(&Skipping { count: 1 }, TravelErrorKind::Changed);
    assert!(said.contains("#[serde(skip)]"), "{said}");
    let said = complaint(&vec![0.5, f64::NAN], TravelErrorKind::Changed);
    assert!(said.contains("look at [1]: NaN"), "{said}");
}

#[test]
#[should_panic(expected = "arrives changed")]
fn the_assertion_panics() {
    assert_travels(&Some(None::<u8>));
}
