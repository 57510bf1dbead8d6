//! Encoding of frames.

use bytes::{BufMut, BytesMut};

use super::{
    BoxedPayload, CallId, ErrorBody, Frame, HostedContract, MetadataPairs, Payload, Request, Rope, Streams,
    frame::kind,
    handshake::{put_hello, put_welcome},
    head::{Head, SHORT},
    put,
    status::put_status,
};
use crate::status::Code;

/// The most bytes that a number takes, its marker included.
const NUMBER: usize = 9;

/// The elements of a Request before its metadata.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead {
    /// The call's number.
    pub id: CallId,
    /// The method's number.
    pub method: u32,
    /// Milliseconds left until the deadline.
    pub deadline_ms: Option<u64>,
    /// How deep the call is nested.
    pub depth: u32,
    /// The receiver's own pending call in whose handler this one was made.
    pub parent: Option<CallId>,
}

impl RequestHead {
    /// Begins a Request with `more` elements behind the payload.
    #[inline(always)]
    fn put(&self, head: &mut Head, more: u8) {
        head.begin(8 + more, kind::REQUEST);
        head.uint(self.id);
        head.uint(u64::from(self.method));
        head.opt_uint(self.deadline_ms);
        head.uint(u64::from(self.depth));
        head.opt_uint(self.parent);
    }
}

/// Appends a Request without metadata and streams, as most are.
pub fn put_plain_request(out: &mut BytesMut, request: &RequestHead, arguments: &Rope) {
    put_plain(out, arguments, |head| {
        request.put(head, 0);
        head.nil();
    });
}

/// Appends a Notify without metadata, as most are.
pub fn put_plain_notify(out: &mut BytesMut, method: u32, depth: u32, arguments: &Rope) {
    put_plain(out, arguments, |head| {
        head.begin(5, kind::NOTIFY);
        head.uint(u64::from(method));
        head.uint(u64::from(depth));
        head.nil();
    });
}

/// Appends a Notify without metadata that says how many calls of its method were dropped before it.
pub fn put_marked_notify(out: &mut BytesMut, (method, depth): (u32, u32), arguments: &Rope, missed: u64) {
    Head::append(out, |head| {
        head.begin(6, kind::NOTIFY);
        head.uint(u64::from(method));
        head.uint(u64::from(depth));
        head.nil();
    });
    put_rope(out, arguments);
    put::uint(out, missed);
}

/// Appends a Response without streams, as most are.
pub fn put_plain_response(out: &mut BytesMut, id: CallId, result: &Rope) {
    put_plain(out, result, |head| {
        head.begin(3, kind::RESPONSE);
        head.uint(id);
    });
}

/// Appends a frame whose last element is a payload, all at once if the payload is short.
#[inline(always)]
fn put_plain(out: &mut BytesMut, payload: &Rope, write: impl FnOnce(&mut Head)) {
    match payload.as_short() {
        Some((bytes, len)) => Head::append(out, |head| {
            write(head);
            head.short_bin(bytes, len);
        }),
        None => {
            Head::append(out, write);
            put_rope(out, payload);
        }
    }
}

/// Appends a frame.
pub fn put_frame(out: &mut BytesMut, frame: &Frame) {
    match frame {
        Frame::Hello(hello) => {
            begin(out, 2, kind::HELLO);
            put_hello(out, hello);
        }
        Frame::Welcome(welcome) => {
            begin(out, 2, kind::WELCOME);
            put_welcome(out, welcome);
        }
        Frame::Request(request) => {
            let &Request { id, method, deadline_ms, depth, parent, window, .. } = request;
            let Request { metadata, payload, streams, .. } = request;
            // The window stands behind the streams, and nil in their place if there are none.
            let has_window = window > 0;
            let more = if has_window { 2 } else { u8::from(!streams.is_empty()) };
            Head::append(out, |head| RequestHead { id, method, deadline_ms, depth, parent }.put(head, more));
            put_metadata(out, metadata);
            put_payload(out, payload);
            put_streams(out, streams);
            if has_window {
                if streams.is_empty() {
                    put::nil(out);
                }
                put::uint(out, u64::from(window));
            }
        }
        Frame::Notify(notify) => {
            Head::append(out, |head| {
                head.begin(5 + u8::from(notify.missed.is_some()), kind::NOTIFY);
                head.uint(u64::from(notify.method));
                head.uint(u64::from(notify.depth));
            });
            put_metadata(out, &notify.metadata);
            put_payload(out, &notify.payload);
            if let Some(missed) = notify.missed {
                put::uint(out, missed);
            }
        }
        Frame::Response { id, payload, streams } => {
            Head::append(out, |head| {
                head.begin(3 + u8::from(!streams.is_empty()), kind::RESPONSE);
                head.uint(*id);
            });
            put_payload(out, payload);
            put_streams(out, streams);
        }
        Frame::Error { id, error: ErrorBody::Status(status) } => {
            begin(out, 3, kind::ERROR);
            put::uint(out, *id);
            put_status(out, status);
        }
        Frame::Error { id, error: ErrorBody::Fault(payload) } => {
            begin(out, 4, kind::ERROR);
            put::uint(out, *id);
            put::nil(out);
            put_payload(out, payload);
        }
        Frame::Cancel { id, expired: false } => numbers(out, kind::CANCEL, &[*id]),
        Frame::Cancel { id, expired: true } => {
            numbers(out, kind::CANCEL, &[*id, Code::DeadlineExceeded.number().into()]);
        }
        Frame::Chunk { transfer, data } => {
            begin(out, 3, kind::CHUNK);
            put::uint(out, *transfer);
            put_rope(out, data);
        }
        Frame::Abort { transfer } => numbers(out, kind::ABORT, &[*transfer]),
        Frame::Item { stream, payload } => {
            begin(out, 3, kind::ITEM);
            put::uint(out, *stream);
            put_payload(out, payload);
        }
        Frame::End { stream, error: None } => numbers(out, kind::END, &[*stream]),
        Frame::End { stream, error: Some(ErrorBody::Status(status)) } => {
            begin(out, 3, kind::END);
            put::uint(out, *stream);
            put_status(out, status);
        }
        Frame::End { stream, error: Some(ErrorBody::Fault(payload)) } => {
            begin(out, 4, kind::END);
            put::uint(out, *stream);
            put::nil(out);
            put_payload(out, payload);
        }
        Frame::Credit { stream, items, bytes, read: 0 } => numbers(out, kind::CREDIT, &[*stream, *items, *bytes]),
        Frame::Credit { stream, items, bytes, read } => {
            numbers(out, kind::CREDIT, &[*stream, *items, *bytes, *read]);
        }
        Frame::Stop { transfer } => numbers(out, kind::STOP, &[*transfer]),
        Frame::Done { depth, count, bytes, marked: 0 } => {
            numbers(out, kind::DONE, &[u64::from(*depth), *count, *bytes]);
        }
        Frame::Done { depth, count, bytes, marked } => {
            numbers(out, kind::DONE, &[u64::from(*depth), *count, *bytes, *marked]);
        }
        Frame::Bye { code, message } => {
            begin(out, 3, kind::BYE);
            put::uint(out, u64::from(*code));
            put::text(out, message);
        }
        Frame::Ping { token } => numbers(out, kind::PING, &[*token]),
        Frame::Pong { token } => numbers(out, kind::PONG, &[*token]),
        Frame::GoAway { last_seq, message, after_ms } => {
            begin(out, if *after_ms == 0 { 3 } else { 4 }, kind::GO_AWAY);
            put::uint(out, *last_seq);
            put::text(out, message);
            if *after_ms > 0 {
                put::uint(out, *after_ms);
            }
        }
    }
}

impl Frame {
    /// An upper bound of the frame's encoded length, found without encoding the frame.
    pub fn encoded_len_hint(&self) -> usize {
        let status_len = |status: &crate::status::Status| status.message().len() + status.details().len() + 4 * NUMBER;
        let body = match self {
            Self::Hello(hello) => {
                let contracts: usize = hello.contracts.iter().map(contract_len).sum();
                contracts + hello.credentials.len() + hello.resume.as_ref().map_or(0, |r| r.token.len()) + 34 * NUMBER
            }
            Self::Welcome(welcome) => {
                let contracts: usize = welcome.contracts.iter().map(contract_len).sum();
                let withheld = welcome.withheld.iter();
                let withheld: usize = withheld.map(|it| it.name.len() + it.callback.len() + 2 * NUMBER).sum();
                contracts
                    + withheld
                    + welcome.token.len()
                    + welcome.refusal.as_ref().map_or(0, status_len)
                    + 34 * NUMBER
            }
            Self::Request(request) => {
                7 * NUMBER
                    + metadata_len(&request.metadata)
                    + payload_len(&request.payload)
                    + streams_len(&request.streams)
            }
            Self::Notify(notify) => 4 * NUMBER + metadata_len(&notify.metadata) + payload_len(&notify.payload),
            Self::Response { payload, streams, .. } => NUMBER + payload_len(payload) + streams_len(streams),
            Self::Item { payload, .. } => NUMBER + payload_len(payload),
            Self::End { error: None, .. } => NUMBER,
            Self::End { error: Some(ErrorBody::Fault(payload)), .. } => 2 * NUMBER + payload_len(payload),
            Self::End { error: Some(ErrorBody::Status(status)), .. } => NUMBER + status_len(status),
            Self::Error { error: ErrorBody::Fault(payload), .. } => 2 * NUMBER + payload_len(payload),
            Self::Error { error: ErrorBody::Status(status), .. } => NUMBER + status_len(status),
            Self::Chunk { data, .. } => 2 * NUMBER + data.len(),
            Self::GoAway { message, .. } | Self::Bye { message, .. } => 3 * NUMBER + message.len(),
            Self::Credit { .. } | Self::Done { .. } => 4 * NUMBER,
            Self::Cancel { .. } | Self::Abort { .. } | Self::Stop { .. } | Self::Ping { .. } | Self::Pong { .. } => {
                3 * NUMBER
            }
        };
        body + 2
    }
}

/// Begins a frame of `len` elements, its kind included.
#[inline]
fn begin(out: &mut impl BufMut, len: usize, kind: u64) {
    put::array(out, len);
    put::uint(out, kind);
}

/// A frame that consists of numbers.
#[inline]
fn numbers<const N: usize>(out: &mut BytesMut, kind: u64, numbers: &[u64; N]) {
    begin(out, N + 1, kind);
    for number in numbers {
        put::uint(out, *number);
    }
}

fn put_metadata(out: &mut BytesMut, metadata: &MetadataPairs) {
    if metadata.is_empty() {
        return put::nil(out);
    }
    put::map(out, metadata.len());
    for (key, value) in metadata {
        put::text(out, key);
        put::text(out, value);
    }
}

fn put_payload(out: &mut BytesMut, payload: &Payload) {
    match payload {
        Payload::Inline(bytes) if bytes.len() <= SHORT => Head::append(out, |head| head.bin(bytes)),
        Payload::Inline(bytes) => {
            out.reserve(bytes.len() + NUMBER);
            put::bin(out, bytes);
        }
        Payload::Boxed(boxed) => match &**boxed {
            BoxedPayload::Pieces(rope) => put_rope(out, rope),
            BoxedPayload::Announced { transfer, total } => {
                put::array(out, 2);
                put::uint(out, *transfer);
                put::uint(out, *total);
            }
        },
    }
}

fn put_rope(out: &mut BytesMut, rope: &Rope) {
    out.reserve(rope.len() + NUMBER);
    put::bin_head(out, rope.len());
    rope.each_piece(|piece| out.extend_from_slice(piece));
}

/// Writes the streams of a frame, which are left out if there are no streams.
fn put_streams(out: &mut BytesMut, streams: &Streams) {
    if streams.is_empty() {
        return;
    }
    put::array(out, streams.len());
    for stream in streams.iter() {
        put::uint(out, *stream);
    }
}

fn contract_len(contract: &HostedContract) -> usize {
    contract.name.len() + (3 + 2 * contract.windows.len()) * NUMBER
}

fn streams_len(streams: &Streams) -> usize {
    if streams.is_empty() { 0 } else { (streams.len() + 1) * NUMBER }
}

fn metadata_len(metadata: &MetadataPairs) -> usize {
    metadata.iter().map(|(key, value)| key.len() + value.len() + 10).sum::<usize>() + 5
}

fn payload_len(payload: &Payload) -> usize {
    match payload {
        Payload::Inline(bytes) => bytes.len() + 5,
        Payload::Boxed(boxed) => match &**boxed {
            BoxedPayload::Pieces(rope) => rope.len() + 5,
            BoxedPayload::Announced { .. } => 2 * NUMBER + 1,
        },
    }
}
