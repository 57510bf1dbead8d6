//! The shapes that do not survive, as the guide's page `shapes` lists them.

use std::{borrow::Cow, collections::BTreeMap};

use rpc_core::Stub;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

type Maybe<T> = Option<T>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code")]
enum Code {
    Zero,
    One,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Patch {
    title: Option<Option<String>>,
    done: Option<()>,
    json: Option<Json>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Marker(Marker),
    Wide(u128),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum TextFirst {
    Text(String),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Wide(u128),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum CodeOrNumbers {
    Code(Code),
    Numbers(BTreeMap<String, u32>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Alike {
    First { id: u32 },
    Second { id: u32, more: Option<u32> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Tuple(Wrapper<u32>),
    Wide { number: u128 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    wide: i128,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipped {
    kept: u8,
    #[serde(skip)]
    skipped: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Omitted(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, u8);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowed<'a> {
    text: Cow<'a, str>,
}

#[rpc_core::service]
trait Lossy {
    async fn alias(&self, value: Maybe<Maybe<u32>>) -> Maybe<Maybe<u32>>;
    async fn wrapper(&self, value: Option<Wrapper<Option<u8>>>) -> Option<Wrapper<Option<u8>>>;
    async fn wrapped_unit(&self, value: Option<Wrapper<()>>) -> Option<Wrapper<()>>;
    async fn patch(&self, value: Patch) -> Patch;
    async fn json(&self, value: Option<Json>) -> Option<Json>;
    async fn option_of_untagged(&self, value: Option<Untagged>) -> Option<Untagged>;
    async fn untagged(&self, value: Untagged) -> Untagged;
    async fn text_first(&self, value: TextFirst) -> TextFirst;
    async fn alike(&self, value: Alike) -> Alike;
    async fn code(&self, value: CodeOrNumbers) -> CodeOrNumbers;
    async fn internal(&self, value: Internal) -> Internal;
    async fn flat(&self, value: Flat) -> Flat;
    async fn skipped(&self, value: Skipped) -> Skipped;
    async fn omitted(&self, value: Omitted) -> Omitted;
    async fn borrowed(&self, value: Borrowed<'_>) -> bool;
    async fn wide(&self, value: u128) -> u128;
}

/// The same contract at an end that takes a number of 128 bits for a signed one.
#[rpc_core::service(name = "Lossy")]
trait Signed {
    async fn wide(&self, value: i128) -> i128;
}

struct Echo;

impl Lossy for Echo {
    async fn alias(&self, value: Maybe<Maybe<u32>>) -> Maybe<Maybe<u32>> {
        value
    }
    async fn wrapper(&self, value: Option<Wrapper<Option<u8>>>) -> Option<Wrapper<Option<u8>>> {
        value
    }
    async fn wrapped_unit(&self, value: Option<Wrapper<()>>) -> Option<Wrapper<()>> {
        value
    }
    async fn patch(&self, value: Patch) -> Patch {
        value
    }
    async fn json(&self, value: Option<Json>) -> Option<Json> {
        value
    }
    async fn option_of_untagged(&self, value: Option<Untagged>) -> Option<Untagged> {
        value
    }
    async fn untagged(&self, value: Untagged) -> Untagged {
        value
    }
    async fn text_first(&self, value: TextFirst) -> TextFirst {
        value
    }
    async fn code(&self, value: CodeOrNumbers) -> CodeOrNumbers {
        value
    }
    async fn alike(&self, value: Alike) -> Alike {
        value
    }
    async fn internal(&self, value: Internal) -> Internal {
        value
    }
    async fn flat(&self, value: Flat) -> Flat {
        value
    }
    async fn skipped(&self, value: Skipped) -> Skipped {
        value
    }
    async fn omitted(&self, value: Omitted) -> Omitted {
        value
    }
    async fn borrowed(&self, value: Borrowed<'_>) -> bool {
        matches!(value.text, Cow::Borrowed(_))
    }
    async fn wide(&self, value: u128) -> u128 {
        value
    }
}

fn client() -> (LossyClient, rpc_core::Session) {
    crate::session(Echo.serve())
}

#[tokio::test]
async fn some_of_nothing_arrives_as_none() {
    let (client, _session) = client();
    assert_eq!(client.alias(Some(None)).await.unwrap(), None);
    assert_eq!(client.wrapper(Some(Wrapper(None))).await.unwrap(), None);
    assert_eq!(client.wrapped_unit(Some(Wrapper(()))).await.unwrap(), None);
    assert_eq!(client.json(Some(Json::Null)).await.unwrap(), None);
    assert_eq!(client.option_of_untagged(Some(Untagged::Nothing)).await.unwrap(), None);
    let patch = Patch { title: Some(None), done: Some(()), json: Some(Json::Null) };
    assert_eq!(client.patch(patch).await.unwrap(), Patch { title: None, done: None, json: None });
}

#[tokio::test]
async fn wide_numbers_are_refused_where_serde_keeps_a_value_for_later() {
    let (client, _session) = client();
    let status = client.untagged(Untagged::Wide(7)).await.unwrap_err();
    assert!(status.message().contains("128 bits"), "{status}");
    let status = client.internal(Internal::Wide { number: 7 }).await.unwrap_err();
    assert!(status.message().contains("128 bits"), "{status}");
    let status = client.flat(Flat { inner: Inner { wide: 7 } }).await.unwrap_err();
    assert!(status.message().contains("128 bits"), "{status}");
}

#[tokio::test]
async fn bytes_that_are_text_are_taken_for_text_in_an_untagged_enum() {
    let (client, _session) = client();
    assert_eq!(client.text_first(TextFirst::Bytes(b"abc".to_vec())).await.unwrap(), TextFirst::Text("abc".to_owned()));
    assert_eq!(client.text_first(TextFirst::Bytes(vec![200])).await.unwrap(), TextFirst::Bytes(vec![200]));
    let Ok(TextFirst::Text(text)) = client.text_first(TextFirst::Wide(7)).await else {
        panic!("a number of 128 bits is 16 bytes");
    };
    assert_eq!(text.as_bytes(), 7_u128.to_be_bytes());
}

#[tokio::test]
async fn a_unit_struct_is_refused_in_an_untagged_enum() {
    let (client, _session) = client();
    assert!(client.untagged(Untagged::Marker(Marker)).await.is_err());
}

#[tokio::test]
async fn a_tag_may_be_a_number_where_serde_keeps_a_value_for_later() {
    let (client, _session) = client();
    let numbers = BTreeMap::from([("code".to_owned(), 1)]);
    assert_eq!(client.code(CodeOrNumbers::Numbers(numbers)).await.unwrap(), CodeOrNumbers::Code(Code::One));
}

#[tokio::test]
async fn wide_numbers_have_no_sign_on_the_wire() {
    let (client, _session) = client();
    let signed = client.session().client::<SignedClient>();
    assert_eq!(signed.wide(-1).await.unwrap(), -1);
    assert_eq!(client.wide(u128::MAX).await.unwrap(), u128::MAX);
}

#[tokio::test]
async fn the_first_untagged_variant_that_fits_is_taken() {
    let (client, _session) = client();
    let second = Alike::Second { id: 1, more: Some(2) };
    assert_eq!(client.alike(second).await.unwrap(), Alike::First { id: 1 });
}

#[tokio::test]
async fn a_tuple_in_an_internal_tag_does_not_serialize() {
    let (client, _session) = client();
    let refused = client.internal(Internal::Tuple(Wrapper(1))).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn what_serde_skips_is_lost() {
    let (client, _session) = client();
    let skipped = client.skipped(Skipped { kept: 1, skipped: 2 }).await.unwrap();
    assert_eq!(skipped, Skipped { kept: 1, skipped: 0 });
    assert!(client.omitted(Omitted(None, 1)).await.is_err());
}

#[tokio::test]
async fn a_cow_in_a_struct_owns_its_text_without_borrow() {
    let (client, _session) = client();
    assert_eq!(client.borrowed(Borrowed { text: "a".into() }).await, Ok(false));
}
