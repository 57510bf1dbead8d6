//! The frames of the protocol, as typed values.

use bytes::Bytes;

use super::{Rope, Streams};
use crate::status::Status;

/// The number of a call, chosen by its caller and never reused in a session.
pub type CallId = u64;
/// The number of a transfer or stream, chosen by the side that sends the bytes. Transfers and streams share one
/// sequence of numbers.
pub type TransferId = u64;

/// Metadata of a call: ordered pairs of text.
pub type MetadataPairs = Vec<(String, String)>;

/// The bytes that a pair of metadata counts beside its own: the memory of two `String`s.
const PAIR: usize = 48;

/// The bytes that metadata counts against its limit: the bytes of keys and values, and 48 for each pair, which takes
/// memory too.
pub fn metadata_size(pairs: &MetadataPairs) -> usize {
    pairs.iter().map(pair_size).sum()
}

pub(super) fn pair_size((key, value): &(String, String)) -> usize {
    key.len() + value.len() + PAIR
}

/// The bytes of arguments, of a result, of an item or of a fault: in the frame, or announced and following in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The MessagePack value itself.
    Inline(Bytes),
    /// Any other payload, in a box so that frames stay small.
    Boxed(Box<BoxedPayload>),
}

/// A payload that is not a single slice of bytes in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoxedPayload {
    /// The MessagePack value itself, in pieces. Only payloads to be sent are in pieces.
    Pieces(Rope),
    /// The value follows in [`Frame::Chunk`]s of this transfer.
    Announced {
        /// The transfer that carries the bytes.
        transfer: TransferId,
        /// How many bytes will come in all.
        total: u64,
    },
}

impl Payload {
    /// A payload that follows in the chunks of a transfer, `total` bytes in all.
    pub fn announced(transfer: TransferId, total: u64) -> Self {
        Self::Boxed(Box::new(BoxedPayload::Announced { transfer, total }))
    }

    /// The transfer that brings the bytes, and how many; `None` if the value is in the frame.
    pub fn announcement(&self) -> Option<(TransferId, u64)> {
        match self {
            Self::Inline(_) => None,
            Self::Boxed(boxed) => match **boxed {
                BoxedPayload::Pieces(_) => None,
                BoxedPayload::Announced { transfer, total } => Some((transfer, total)),
            },
        }
    }

    /// The value, or else the announcement, as [`Self::announcement`] gives it.
    #[inline]
    pub fn into_value(self) -> Result<Bytes, (TransferId, u64)> {
        match self {
            Self::Inline(bytes) => Ok(bytes),
            Self::Boxed(boxed) => match *boxed {
                BoxedPayload::Pieces(rope) => Ok(rope.into_bytes()),
                BoxedPayload::Announced { transfer, total } => Err((transfer, total)),
            },
        }
    }

    /// The length of the value in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Boxed(boxed) => match &**boxed {
                BoxedPayload::Pieces(rope) => rope.len() as u64,
                BoxedPayload::Announced { total, .. } => *total,
            },
        }
    }

    /// Whether the value has no bytes, as no valid MessagePack value has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Rope> for Payload {
    fn from(rope: Rope) -> Self {
        match rope.into_one() {
            Ok(bytes) => Self::Inline(bytes),
            Err(rope) => Self::Boxed(Box::new(BoxedPayload::Pieces(rope))),
        }
    }
}

/// One frame. A packet is a sequence of them; see [`super::read_packet`].
///
/// The compiler does not find all places that a new frame needs: decoding has an arm for unknown numbers, and the
/// strategies of `tests/wire.rs` make only the frames that they name.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "frames are moved once or twice and never stored in bulk; boxing would cost an allocation a call"
)]
pub enum Frame {
    /// Client to server, alone in the first packet.
    Hello(Box<super::Hello>),
    /// Server to client, alone in its first packet.
    Welcome(Box<super::Welcome>),
    /// Calls a method.
    Request(Request),
    /// Calls a one-way method.
    Notify(Notify),
    /// Completes a call with a result.
    Response {
        /// The call.
        id: CallId,
        /// The result, encoded; nil in the place of a stream.
        payload: Payload,
        /// The streams in it, in their order.
        streams: Streams,
    },
    /// Completes a call with the contract's own fault or with a status.
    Error {
        /// The call.
        id: CallId,
        /// What went wrong.
        error: ErrorBody,
    },
    /// The caller is no longer interested; the callee still completes the call.
    Cancel {
        /// The call.
        id: CallId,
        /// The caller's deadline or idle timeout has passed.
        expired: bool,
    },
    /// The next bytes of a transfer.
    Chunk {
        /// The transfer.
        transfer: TransferId,
        /// The next bytes of the transfer; never empty.
        data: Rope,
    },
    /// The sender aborts a transfer before its end.
    Abort {
        /// The transfer.
        transfer: TransferId,
    },
    /// The next item of a stream.
    Item {
        /// The stream.
        stream: TransferId,
        /// The item. If it is announced, its chunks have the stream's own number.
        payload: Payload,
    },
    /// A stream has ended, and all of its items have been sent before. Each stream ends with this frame, also a stopped
    /// one.
    End {
        /// The stream.
        stream: TransferId,
        /// Why the stream ended, unless its producer has finished it.
        error: Option<ErrorBody>,
    },
    /// The receiver of a stream grants credit. Stream 0 stands for the bytes of all streams together.
    Credit {
        /// The stream.
        stream: TransferId,
        /// How many more items may be sent.
        items: u64,
        /// How many more bytes of items may be sent.
        bytes: u64,
        /// How many items of the stream have been read since its beginning; 0 with stream 0.
        read: u64,
    },
    /// The receiver wants no more of a transfer or stream.
    Stop {
        /// The transfer or stream.
        transfer: TransferId,
    },
    /// How many one-way calls of a depth have been finished since the session began.
    Done {
        /// The depth.
        depth: u32,
        /// The cumulative count, refused ones included.
        count: u64,
        /// What these calls counted in [`PeerLimits::arguments`](super::PeerLimits::arguments), cumulative as well.
        bytes: u64,
        /// How many calls of all depths have been finished that came with [`Notify::missed`], since the session began;
        /// 0 is left out.
        marked: u64,
    },
    /// The session is over: the last counted frame of its sender. Only of sessions that can be resumed.
    Bye {
        /// Why, as a close code.
        code: u16,
        /// Why, for people; may be empty.
        message: String,
    },
    /// Asks for a Pong with the same token.
    Ping {
        /// Any number.
        token: u64,
    },
    /// Answers a Ping.
    Pong {
        /// The Ping's number.
        token: u64,
    },
    /// The sender is about to leave: no new calls without a live parent.
    GoAway {
        /// The last sequenced packet that was taken in.
        last_seq: u64,
        /// Why, for people.
        message: String,
        /// How many milliseconds after the end of the session the receiver should come back, if it wants to; 0 if the
        /// sender does not say.
        after_ms: u64,
    },
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The call's number.
    pub id: CallId,
    /// [`crate::contract::method_id`] of the method.
    pub method: u32,
    /// Milliseconds left until its deadline; `None` is no deadline.
    pub deadline_ms: Option<u64>,
    /// How deep it is nested: 0 outside any handler.
    pub depth: u32,
    /// The receiver's own pending call in whose handler this one was made.
    pub parent: Option<CallId>,
    /// Metadata; empty is sent as nil.
    pub metadata: MetadataPairs,
    /// The arguments: a MessagePack array, positional; nil in the place of a stream.
    pub payload: Payload,
    /// The streams among them, in their order.
    pub streams: Streams,
    /// The window with which each stream of the result begins, in bytes, if that is less than the handshake says; 0 if
    /// the handshake alone decides.
    pub window: u32,
}

#[cfg(test)]
impl Request {
    /// A call at no depth, without a deadline, metadata and streams.
    pub(crate) fn plain(id: CallId, method: u32, payload: Payload) -> Self {
        let (metadata, streams) = (MetadataPairs::new(), Streams::default());
        Self { id, method, deadline_ms: None, depth: 0, parent: None, metadata, payload, streams, window: 0 }
    }
}

/// A one-way call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// [`crate::contract::method_id`] of the method.
    pub method: u32,
    /// How deep it is nested.
    pub depth: u32,
    /// Metadata; empty is sent as nil.
    pub metadata: MetadataPairs,
    /// The arguments: a MessagePack array, positional.
    pub payload: Payload,
    /// For a call that its sender might have dropped while it waited: how many calls of the method were dropped since
    /// the last that was sent. Such calls are counted in [`Frame::Done`] once more.
    pub missed: Option<u64>,
}

impl Notify {
    /// A call at no depth, without metadata, that is not dropped.
    #[cfg(test)]
    pub(crate) fn plain(method: u32, payload: Payload) -> Self {
        Self { method, depth: 0, metadata: MetadataPairs::new(), payload, missed: None }
    }
}

/// The body of [`Frame::Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorBody {
    /// The contract's own error type, encoded.
    Fault(Payload),
    /// A status.
    Status(Status),
}

impl Frame {
    /// Takes the numbers of the streams that come with a call's arguments or its result.
    pub fn take_streams(&mut self) -> Streams {
        match self {
            Self::Request(request) => std::mem::take(&mut request.streams),
            Self::Response { streams, .. } => std::mem::take(streams),
            _ => Streams::default(),
        }
    }

    /// Whether a packet with the frame has a number and is acknowledged; `docs/protocol.md` calls such frames counted.
    pub fn is_sequenced(&self) -> bool {
        match self {
            Self::Hello(_) | Self::Welcome(_) | Self::Ping { .. } | Self::Pong { .. } | Self::GoAway { .. } => false,
            Self::Request(_)
            | Self::Notify(_)
            | Self::Response { .. }
            | Self::Error { .. }
            | Self::Cancel { .. }
            | Self::Chunk { .. }
            | Self::Abort { .. }
            | Self::Item { .. }
            | Self::End { .. }
            | Self::Credit { .. }
            | Self::Stop { .. }
            | Self::Done { .. }
            | Self::Bye { .. } => true,
        }
    }
}

/// The kind numbers of the wire.
///
/// A peer that does not know a number from [`FIRST_IGNORABLE`](kind::FIRST_IGNORABLE) up passes the frame over; it
/// closes with 1002 at any other unknown number. So a new frame that older peers may get has a number from there up.
pub mod kind {
    /// [`super::Frame::Hello`]
    pub const HELLO: u64 = 1;
    /// [`super::Frame::Welcome`]
    pub const WELCOME: u64 = 2;
    /// [`super::Frame::Request`]
    pub const REQUEST: u64 = 3;
    /// [`super::Frame::Notify`]
    pub const NOTIFY: u64 = 4;
    /// [`super::Frame::Response`]
    pub const RESPONSE: u64 = 5;
    /// [`super::Frame::Error`]
    pub const ERROR: u64 = 6;
    /// [`super::Frame::Cancel`]
    pub const CANCEL: u64 = 7;
    /// [`super::Frame::Chunk`]
    pub const CHUNK: u64 = 8;
    /// [`super::Frame::Abort`]
    pub const ABORT: u64 = 9;
    /// [`super::Frame::Item`]
    pub const ITEM: u64 = 10;
    /// [`super::Frame::End`]
    pub const END: u64 = 11;
    /// [`super::Frame::Credit`]
    pub const CREDIT: u64 = 12;
    /// [`super::Frame::Stop`]
    pub const STOP: u64 = 13;
    /// [`super::Frame::Done`]
    pub const DONE: u64 = 14;
    /// [`super::Frame::Bye`]
    pub const BYE: u64 = 15;
    /// [`super::Frame::Ping`]
    pub const PING: u64 = 16;
    /// [`super::Frame::Pong`]
    pub const PONG: u64 = 17;
    /// [`super::Frame::GoAway`]
    pub const GO_AWAY: u64 = 18;
    /// From here up, unknown kinds are skipped; below, they are a protocol error.
    pub const FIRST_IGNORABLE: u64 = 64;
}
