//! The test vectors of `docs/vectors`: every byte there means what stands beside it, in both directions.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use bytes::{Bytes, BytesMut};
use rpc_core::{
    __internals::wire::{
        ErrorBody, Frame, HostedContract, MetadataPairs, NoArguments, Payload, PeerLimits, Request, Resume, ScanLimits,
        decode, encode, put_frame, put_header, read_packet, scan_exact,
    },
    Code, Execution, Reason, Status,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn vectors(file: &str, list: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let vectors: Value = serde_json::from_str(&text).unwrap();
    vectors[list].as_array().unwrap().clone()
}

fn from_hex(value: &Value) -> Bytes {
    let digits = value.as_str().unwrap();
    assert_eq!(digits.len() % 2, 0, "{digits}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What must be written: the bytes themselves, unless the vector says otherwise.
fn canonical(vector: &Value) -> Bytes {
    from_hex(vector.get("canonical").unwrap_or(&vector["hex"]))
}

fn number(value: u64) -> Value {
    if value < 1 << 53 { json!(value) } else { json!(value.to_string()) }
}

fn payload(payload: &Payload) -> Value {
    match payload.clone().into_value() {
        Ok(bytes) => json!({"inline": hex(&bytes)}),
        Err((transfer, total)) => json!({"transfer": number(transfer), "total": number(total)}),
    }
}

fn status(status: &Status) -> Value {
    let execution = match status.execution() {
        Execution::NotExecuted => "not executed",
        Execution::Unknown => "unknown",
    };
    let (message, details) = (status.message(), hex(status.details()));
    let mut shown =
        json!({"code": status.code().number(), "message": message, "details": details, "execution": execution});
    if status.reason() == Some(Reason::WouldDeadlock) {
        shown["reason"] = json!(1);
    }
    shown
}

fn limits(limits: &PeerLimits) -> Value {
    let PeerLimits { calls, nested, notifies, depth, payload, assembly, arguments, packet, chunk, .. } = limits;
    let PeerLimits { streams, stream_items, stream_bytes, streams_bytes, .. } = limits;
    let PeerLimits { nesting, values, containers, .. } = limits;
    let mut shown = json!({
        "calls": calls, "nested": nested, "notifies": notifies, "depth": depth, "payload": payload,
        "assembly": assembly, "arguments": arguments, "packet": packet, "chunk": chunk,
        "streams": streams, "stream_items": stream_items, "stream_bytes": stream_bytes, "streams_bytes": streams_bytes,
    });
    for (name, limit) in [("nesting", nesting), ("values", values), ("containers", containers)] {
        // A limit that is not announced is not in the vectors.
        if *limit != u64::MAX {
            shown[name] = json!(limit);
        }
    }
    shown
}

fn contracts(contracts: &[HostedContract]) -> Value {
    let shown = contracts.iter().map(|one| {
        let mut shown = json!({"name": one.name, "fingerprint": number(one.fingerprint)});
        if !one.windows.is_empty() {
            shown["windows"] = json!(one.windows);
        }
        shown
    });
    shown.collect()
}

fn metadata(pairs: &MetadataPairs) -> Value {
    pairs.iter().map(|(key, value)| json!([key, value])).collect()
}

/// A frame as the vectors write it down.
fn meaning(frame: &Frame) -> Value {
    let mut value = match frame {
        Frame::Hello(hello) => {
            let mut shown = json!({
                "version": hello.version, "limits": limits(&hello.limits), "keepalive_ms": hello.keepalive_ms,
                "contracts": contracts(&hello.contracts), "credentials": hex(&hello.credentials),
            });
            if let Some(Resume { token, epoch, received }) = &hello.resume {
                shown["resume"] = json!([hex(token), number(*epoch), number(*received)]);
            }
            if hello.resume_window_ms > 0 {
                shown["resume_window_ms"] = number(hello.resume_window_ms);
            }
            shown
        }
        Frame::Welcome(welcome) => {
            let mut shown = json!({
                "version": welcome.version, "limits": limits(&welcome.limits), "keepalive_ms": welcome.keepalive_ms,
                "contracts": contracts(&welcome.contracts), "session": number(welcome.session),
                "refusal": welcome.refusal.as_ref().map(status),
            });
            if !welcome.withheld.is_empty() {
                shown["withheld"] = welcome.withheld.iter().map(|one| json!([one.name, one.callback])).collect();
            }
            if !welcome.token.is_empty() {
                shown["token"] = json!(hex(&welcome.token));
            }
            if welcome.resumed {
                shown["resumed"] = number(welcome.received);
            }
            if welcome.resume_window_ms > 0 {
                shown["resume_window_ms"] = number(welcome.resume_window_ms);
            }
            shown
        }
        Frame::Request(request) => json!({
            "id": number(request.id), "method": request.method, "deadline_ms": request.deadline_ms,
            "depth": request.depth, "parent": request.parent.map(number), "metadata": metadata(&request.metadata),
            "payload": payload(&request.payload),
        }),
        Frame::Notify(notify) => {
            let mut shown = json!({
                "method": notify.method, "depth": notify.depth, "metadata": metadata(&notify.metadata),
                "payload": payload(&notify.payload),
            });
            if let Some(missed) = notify.missed {
                shown["missed"] = number(missed);
            }
            shown
        }
        Frame::Response { id, payload: result, .. } => json!({"id": number(*id), "payload": payload(result)}),
        Frame::Error { id, error: ErrorBody::Fault(fault) } => json!({"id": number(*id), "fault": payload(fault)}),
        Frame::Error { id, error: ErrorBody::Status(why) } => json!({"id": number(*id), "status": status(why)}),
        Frame::Cancel { id, expired: false } => json!({"id": number(*id)}),
        Frame::Cancel { id, expired: true } => json!({"id": number(*id), "code": Code::DeadlineExceeded.number()}),
        Frame::Chunk { transfer, data } => {
            json!({"transfer": number(*transfer), "data": hex(&data.clone().into_bytes())})
        }
        Frame::Item { stream, payload: item } => json!({"stream": number(*stream), "payload": payload(item)}),
        Frame::End { stream, error } => match error {
            None => json!({"stream": number(*stream)}),
            Some(ErrorBody::Fault(fault)) => json!({"stream": number(*stream), "fault": payload(fault)}),
            Some(ErrorBody::Status(why)) => json!({"stream": number(*stream), "status": status(why)}),
        },
        Frame::Credit { stream, items, bytes, read } => json!({
            "stream": number(*stream), "items": number(*items), "bytes": number(*bytes), "read": number(*read),
        }),
        Frame::Abort { transfer } | Frame::Stop { transfer } => json!({"transfer": number(*transfer)}),
        Frame::Done { depth, count, bytes, marked: 0 } => {
            json!({"depth": depth, "count": number(*count), "bytes": number(*bytes)})
        }
        Frame::Done { depth, count, bytes, marked } => {
            json!({"depth": depth, "count": number(*count), "bytes": number(*bytes), "marked": number(*marked)})
        }
        Frame::Bye { code, message } => json!({"code": code, "message": message}),
        Frame::Ping { token } | Frame::Pong { token } => json!({"token": number(*token)}),
        Frame::GoAway { last_seq, message, after_ms: 0 } => json!({"last_seq": number(*last_seq), "message": message}),
        Frame::GoAway { last_seq, message, after_ms } => {
            json!({"last_seq": number(*last_seq), "message": message, "after_ms": number(*after_ms)})
        }
    };
    value["kind"] = json!(frame.kind_name());
    if let Frame::Request(Request { streams, .. }) | Frame::Response { streams, .. } = frame {
        if !streams.is_empty() {
            value["streams"] = streams.iter().copied().map(number).collect();
        }
    }
    if let Frame::Request(Request { window: window @ 1.., .. }) = frame {
        value["window"] = json!(window);
    }
    value
}

fn check_packets(file: &str) {
    for vector in vectors(file, "vectors") {
        let name = &vector["name"];
        let (header, frames) = read_packet(from_hex(&vector["hex"])).unwrap();
        let frames: Result<Vec<_>, _> = frames.collect();
        let frames = frames.unwrap_or_else(|error| panic!("{file}, {name}: {error}"));
        assert_eq!((json!(header.seq), json!(header.ack)), (vector["seq"].clone(), vector["ack"].clone()), "{name}");
        let meant: Value = frames.iter().map(meaning).collect();
        assert_eq!(meant, vector["frames"], "{file}, {name}");
        let mut written = BytesMut::new();
        put_header(&mut written, header);
        for frame in &frames {
            put_frame(&mut written, frame);
        }
        assert_eq!(hex(&written), hex(&canonical(&vector)), "{file}, {name}");
    }
}

#[test]
fn packets() {
    for file in ["handshake.json", "calls.json", "errors.json", "transfers.json", "streams.json", "control.json"] {
        check_packets(file);
    }
}

#[test]
fn what_is_invalid_is_refused() {
    for vector in vectors("invalid.json", "packets") {
        let refused = match read_packet(from_hex(&vector["hex"])) {
            Ok((_, frames)) => frames.last().is_some_and(|last| last.is_err()),
            Err(_) => true,
        };
        assert!(refused, "{}", vector["name"]);
    }
    for vector in vectors("invalid.json", "payloads") {
        assert!(scan_exact(&from_hex(&vector["hex"]), &ScanLimits::default()).is_err(), "{}", vector["name"]);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Person {
    name: String,
    age: u8,
    #[serde(rename = "e-mail")]
    mail: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point(i32, i32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(u8, u8),
    Box { w: u8, h: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Joined { who: String },
}

/// Reads a payload as a `T`, writes it again, and compares it with what the same `T` is in JSON.
fn check_value<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(vector: &Value) {
    let name = &vector["name"];
    let bytes = from_hex(&vector["hex"]);
    scan_exact(&bytes, &ScanLimits::default()).unwrap();
    let value: T = decode(&bytes, &ScanLimits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut written = BytesMut::new();
    encode(&mut written, &value).unwrap();
    assert_eq!(hex(&written), hex(&canonical(vector)), "{name}");
    if let Some(json) = vector.get("json") {
        assert_eq!(serde_json::from_value::<T>(json.clone()).unwrap(), value, "{name}");
        assert_eq!(serde_json::to_value(&value).unwrap(), *json, "{name}");
    }
}

#[test]
fn payloads() {
    for vector in vectors("payloads.json", "vectors") {
        let check = match vector["type"].as_str().unwrap() {
            "()" => check_value::<()>,
            "bool" => check_value::<bool>,
            "i64" => check_value::<i64>,
            "u64" => check_value::<u64>,
            "f32" => check_value::<f32>,
            "f64" => check_value::<f64>,
            "u128" => check_value::<u128>,
            "i128" => check_value::<i128>,
            "char" => check_value::<char>,
            "String" => check_value::<String>,
            "Option<u8>" => check_value::<Option<u8>>,
            "Vec<u8>" => check_value::<Vec<u8>>,
            "Vec<u16>" => check_value::<Vec<u16>>,
            "bytes" => check_value::<serde_bytes::ByteBuf>,
            "(u8, String, bool)" => check_value::<(u8, String, bool)>,
            "(String, Vec<u8>)" => check_value::<(String, Vec<u8>)>,
            "Person" => check_value::<Person>,
            "Meters" => check_value::<Meters>,
            "Point" => check_value::<Point>,
            "Marker" => check_value::<Marker>,
            "Shape" => check_value::<Shape>,
            "Event" => check_value::<Event>,
            "Result<u8, String>" => check_value::<Result<u8, String>>,
            "BTreeMap<String, u8>" => check_value::<BTreeMap<String, u8>>,
            "BTreeMap<i32, u8>" => check_value::<BTreeMap<i32, u8>>,
            "Status" => check_value::<Status>,
            "NoArguments" => check_no_arguments,
            other => panic!("no type {other}"),
        };
        check(&vector);
    }
}

fn check_no_arguments(vector: &Value) {
    let mut written = BytesMut::new();
    encode(&mut written, &NoArguments).unwrap();
    assert_eq!(hex(&written), hex(&from_hex(&vector["hex"])));
}

/// The page shows the examples with spaces and words; they are the vectors' bytes.
#[test]
fn the_page_shows_the_same_bytes() {
    let page = include_str!("../../docs/protocol.md");
    let blocks = page.split("```hex\n").skip(1).map(|block| block.split("```").next().unwrap());
    let shown: Vec<String> = blocks
        .map(|block| block.lines().map(|line| line.split('|').next().unwrap().replace(' ', "")).collect())
        .collect();
    let examples: Vec<_> = ["handshake.json", "calls.json"]
        .iter()
        .flat_map(|file| vectors(file, "vectors"))
        .filter(|vector| vector["name"].as_str().unwrap().starts_with("example "))
        .map(|vector| vector["hex"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(shown.len(), 6);
    assert_eq!(shown, examples);
}

/// An element of a frame, as the page's table of frames names it.
struct Element {
    /// Whether the element may be nil, and missing at the end.
    optional: bool,
    /// An element that fits.
    sample: &'static [u8],
}

impl Element {
    fn named(name: &str) -> Self {
        let sample: &[u8] = match name.trim_end_matches('?') {
            "map" | "metadata" => &[0x80],
            "payload" | "fault (a payload)" | "fault (a `bin`)" | "bytes (`bin`)" => &[0xc4, 1, 0xc0],
            "streams" => &[0x91, 5],
            "status" => &[0x91, 5],
            "message (text)" => &[0xa1, b'x'],
            _ => &[1],
        };
        Self { optional: name.ends_with('?'), sample }
    }
}

fn is_read(kind: u8, elements: &[&[u8]]) -> bool {
    let mut packet = vec![1, 0, 0x91 + u8::try_from(elements.len()).unwrap(), kind];
    elements.iter().for_each(|element| packet.extend_from_slice(element));
    let (_, mut frames) = read_packet(packet.into()).unwrap();
    matches!((frames.next(), frames.next()), (Some(Ok(_)), None))
}

#[test]
fn the_page_says_which_elements_may_be_nil_or_missing() {
    const NIL: &[u8] = &[0xc0];
    let page = include_str!("../../docs/protocol.md");
    let (_, table) =
        page.split_once("| kind | frame | elements after the kind | counted |\n|---|---|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 18);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [kind, frame, elements, _] = cells[..] else { panic!("{row}") };
        let kind = kind.parse().unwrap();
        let elements: Vec<_> = elements.split(", ").map(Element::named).collect();
        let samples: Vec<_> = elements.iter().map(|element| element.sample).collect();
        assert!(is_read(kind, &samples), "{frame}");
        for (at, element) in elements.iter().enumerate() {
            let mut samples = samples.clone();
            samples[at] = NIL;
            assert_eq!(is_read(kind, &samples), element.optional, "{frame} with nil as element {at}");
        }
        let required = elements.iter().rposition(|element| !element.optional).map_or(0, |last| last + 1);
        // An Error has one of its last two elements.
        let least = if frame == "Error" { required + 1 } else { required };
        for len in 0..elements.len() {
            assert_eq!(is_read(kind, &samples[..len]), len >= least, "{frame} with {len} elements");
        }
    }
}
