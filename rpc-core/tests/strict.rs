//! What a peer sends is read as the contract says it, or refused: nothing is cut off, left over or taken for something
//! else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{
        ArgumentReader, ErrorBody, Frame, PacketHeader, Payload, ScanLimits, Streams, decode, decode_bytes, read_packet,
    },
    Code, Config, ConnectionInfo, Execution, Hosting, Status,
    contract::method_id,
    session::{Handshake, Transport, connect_in_memory, memory},
    text::MAX_PEER_TEXT,
};
use rpc_testing::{greeting, packet, request};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    decode(bytes, &ScanLimits::default()).map_err(|error| error.to_string())
}

#[derive(Debug, PartialEq, Deserialize)]
struct Key([u8; 4]);

#[derive(Debug, PartialEq, Deserialize)]
enum Colour {
    Rgb(u8, u8, u8),
}

#[test]
fn binary_data_has_as_many_bytes_as_its_type() {
    assert_eq!(read::<[u8; 4]>(&[0xc4, 4, 1, 2, 3, 4]), Ok([1, 2, 3, 4]));
    assert_eq!(read::<(u8, u8)>(&[0xc4, 2, 1, 2]), Ok((1, 2)));
    for len in [3, 5] {
        let bytes = [&[0xc4, len][..], &[7; 5][..len as usize]].concat();
        assert!(read::<[u8; 4]>(&bytes).is_err(), "{len} bytes");
        assert!(read::<(u8, u8, u8, u8)>(&bytes).is_err(), "{len} bytes");
        assert!(read::<Key>(&bytes).is_err(), "{len} bytes");
    }
    let colour = |bin: &[u8]| [&[0x81, 0xa3, b'R', b'g', b'b', 0xc4][..], bin].concat();
    assert_eq!(read::<Colour>(&colour(&[3, 1, 2, 3])), Ok(Colour::Rgb(1, 2, 3)));
    assert!(read::<Colour>(&colour(&[4, 1, 2, 3, 4])).is_err());
}

#[derive(Debug, PartialEq, Deserialize)]
struct Entry {
    name: String,
    length: u64,
}

#[test]
fn what_nothing_writes_is_read_as_the_page_says() {
    let entry = Ok(Entry { name: "a".to_owned(), length: 7 });
    assert_eq!(read::<Entry>(&[0x92, 0xa1, b'a', 7]), entry, "a struct as an array of its fields");
    assert_eq!(read::<Entry>(&[0x92, 0xc4, 1, b'a', 7]), entry, "text as binary data");
    for wrong in [&[0x91, 0xa1, b'a'][..], &[0x93, 0xa1, b'a', 7, 7], &[0x92, 0xc4, 1, 0xff, 7]] {
        assert!(read::<Entry>(wrong).is_err(), "{wrong:02x?}");
    }
}

#[test]
fn a_result_that_is_bytes_is_read_from_all_that_stands_for_bytes() {
    let limits = ScanLimits { values: 4, ..ScanLimits::default() };
    let read = |payload: &'static [u8]| decode_bytes(&Bytes::from_static(payload), &limits);
    for payload in [&[0xc4, 3, b'a', b'b', b'c'][..], &[0xa3, b'a', b'b', b'c'], &[0x93, b'a', b'b', 0xcc, b'c']] {
        assert_eq!(read(payload).unwrap(), "abc", "{payload:x?}");
    }
    for payload in [&[][..], &[5], &[0xc4, 3, 1, 2], &[0xc4, 1, 1, 2], &[0x92, 1, 0xcd, 1, 0], &[0x94, 1, 2, 3, 4]] {
        assert!(read(payload).is_err(), "{payload:x?}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Point {
    x: i32,
    #[serde(default)]
    y: i32,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    #[serde(flatten)]
    by_number: std::collections::BTreeMap<u32, i32>,
}

#[test]
fn fields_are_chosen_by_their_names_alone() {
    assert_eq!(read::<Point>(&[0x81, 0xa1, b'x', 5]), Ok(Point { x: 5, y: 0 }));
    // The places of the fields, and their names as binary data.
    for bytes in [&[0x82, 0, 5, 1, 6][..], &[0x82, 0xa1, b'x', 5, 1, 6], &[0x81, 0xc4, 1, b'x', 5]] {
        let error = read::<Point>(bytes).unwrap_err();
        assert!(error.contains("field"), "{error}");
    }
    // A number may be the key of a map that is flattened.
    assert_eq!(read::<Flat>(&[0x81, 7, 5]).unwrap().by_number, [(7, 5)].into());
}

/// Reads nothing of its value.
#[derive(Debug)]
struct Idle;

impl<'de> Deserialize<'de> for Idle {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// Reads the keys of a map.
#[derive(Debug)]
struct Keys;

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                map.next_key::<u32>()?;
                Ok(Keys)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[test]
fn a_value_is_read_whole() {
    assert!(read::<Idle>(&[5]).is_err());
    assert!(read::<Keys>(&[0x81, 1, 2]).is_err());
    assert!(read::<(Keys, u32)>(&[0x92, 0x81, 1, 2, 3]).is_err());
    let payload = Bytes::from_static(&[0x92, 5, 6]);
    let mut arguments = ArgumentReader::new(&payload, &ScanLimits::default()).unwrap();
    arguments.next_value::<Idle>().unwrap();
    assert_eq!(arguments.next_value::<u32>().unwrap(), Some(5), "it is what the first argument has left");
    assert!(arguments.end().is_err(), "6 is left over");
}

#[rpc_core::service]
trait Till {
    async fn open(&self);
    async fn add(&self, number: u32) -> u32;
}

/// Counts how often it was opened.
#[derive(Clone, Default)]
struct Drawer(Arc<AtomicUsize>);

impl Till for Drawer {
    async fn open(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    async fn add(&self, number: u32) -> u32 {
        number
    }
}

/// The status of a call with this payload, if the call fails.
async fn call(payload: Vec<u8>, opened: &Drawer) -> Option<Status> {
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    let hosting = Hosting::builder().service(opened.clone().serve()).build().unwrap();
    let handshake = Handshake::read(near, &Config::default()).await.unwrap();
    let (_session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
    tokio::spawn(driver);
    let call = request(1, method_id("Till", "open"), Payload::Inline(payload.into()), Streams::default());
    far.start_send(packet(PacketHeader { seq: 1, ack: 0 }, &[call])).unwrap();
    loop {
        let (_, frames) = read_packet(poll_fn(|cx| far.poll_receive(cx)).await.unwrap()).unwrap();
        for frame in frames {
            match frame.unwrap() {
                Frame::Response { .. } => return None,
                Frame::Error { error: ErrorBody::Status(status), .. } => return Some(status),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_without_arguments_takes_an_array_and_nothing_else() {
    let opened = Drawer::default();
    let deep = [vec![0x91; 200], vec![0x90]].concat();
    let refused =
        [(vec![], Code::InvalidArgument), (vec![0xc1], Code::InvalidArgument), (vec![0xc0], Code::InvalidArgument)];
    for (payload, code) in refused.into_iter().chain([(deep, Code::OutOfRange)]) {
        let status = call(payload.clone(), &opened).await.unwrap();
        assert_eq!((status.code(), status.execution()), (code, Execution::NotExecuted), "{payload:x?}: {status}");
    }
    assert_eq!(opened.0.load(SeqCst), 0);
    // A newer contract may have arguments that this one does not know.
    for payload in [vec![0x90], vec![0xdc, 0, 0], vec![0x91, 5]] {
        assert_eq!(call(payload, &opened).await, None);
    }
    assert_eq!(opened.0.load(SeqCst), 3);
}

/// The same contract, with another type.
mod other {
    #[rpc_core::service]
    pub(super) trait Till {
        async fn add(&self, number: u32) -> String;
    }

    pub(super) struct Talker;

    impl Till for Talker {
        async fn add(&self, _: u32) -> String {
            "\u{1}".repeat(1 << 20)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_repeats_a_little_of_what_the_other_side_has_said() {
    let hosting = Hosting::builder().service(other::Till::serve(other::Talker)).build().unwrap();
    let (_server, client) = connect_in_memory(&hosting, &Hosting::default());
    let status = client.client::<TillClient>().add(5).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().len() <= MAX_PEER_TEXT + 200, "{} bytes", status.message().len());
    assert!(status.message().contains("expected u32"), "{}", &status.message()[status.message().len() - 100..]);
}

#[test]
fn what_a_peer_says_brings_no_advice_on() {
    for said in
        ["expected a borrowed byte array", "i128 is not supported", "did not match any variant of untagged enum"]
    {
        let mut bytes = vec![0xd9, u8::try_from(said.len()).unwrap()];
        bytes.extend(said.bytes());
        let error = read::<u32>(&bytes).unwrap_err();
        assert!(error.ends_with("expected u32"), "{error}");
    }
}
