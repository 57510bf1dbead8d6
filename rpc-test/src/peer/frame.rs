//! `Frame`: what a fake peer sends and receives.

use bytes::{Bytes, BytesMut};
use rpc_core::{
    __internals::wire::{self, BoxedPayload, encode},
    Status,
};
use serde::Serialize;

/// A frame of the protocol, as `docs/protocol.md` describes it. The frames that a [`FakePeer`](crate::FakePeer) handles
/// by itself are not among them: Hello and Welcome, Ping and Pong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// Calls a method.
    Request {
        /// The number of the call, which the caller chooses, and uses once.
        id: u64,
        /// The number of the method: [`MethodDescriptor::id`](rpc_core::contract::MethodDescriptor::id).
        method: u32,
        /// Milliseconds until the deadline; `None` is no deadline.
        deadline_ms: Option<u64>,
        /// How many calls the call is nested in.
        depth: u32,
        /// The receiver's own call in whose handler this one is made.
        parent: Option<u64>,
        /// Metadata.
        metadata: Vec<(String, String)>,
        /// The arguments: an array.
        payload: Payload,
        /// The numbers of the streams among the arguments, whose places hold nil.
        streams: Vec<u64>,
        /// The window of the streams of the result, in bytes; 0 leaves it to the handshake.
        window: u32,
    },
    /// Calls a one-way method.
    Notify {
        /// The number of the method.
        method: u32,
        /// How many calls the call is nested in.
        depth: u32,
        /// Metadata.
        metadata: Vec<(String, String)>,
        /// The arguments: an array.
        payload: Payload,
        /// For a call that its sender might have dropped: how many calls of the method were dropped since the last that
        /// was sent.
        missed: Option<u64>,
    },
    /// Ends a call with a result.
    Response {
        /// The call.
        id: u64,
        /// The result.
        payload: Payload,
        /// The numbers of the streams of the result, whose places hold nil.
        streams: Vec<u64>,
    },
    /// Ends a call with a fault or a status.
    Error {
        /// The call.
        id: u64,
        /// What went wrong.
        error: ErrorBody,
    },
    /// The caller wants no answer any more. The callee still ends the call.
    Cancel {
        /// The call.
        id: u64,
        /// The caller's deadline or idle timeout has passed.
        expired: bool,
    },
    /// The next bytes of a payload that was announced.
    Chunk {
        /// The transfer.
        transfer: u64,
        /// The bytes.
        data: Bytes,
    },
    /// The sender of a transfer gives it up.
    Abort {
        /// The transfer.
        transfer: u64,
    },
    /// The next item of a stream.
    Item {
        /// The stream.
        stream: u64,
        /// The item.
        payload: Payload,
    },
    /// The end of a stream.
    End {
        /// The stream.
        stream: u64,
        /// What went wrong, unless the stream has ended in good order.
        error: Option<ErrorBody>,
    },
    /// The reader of a stream lets more of it come. Stream 0 stands for all streams together.
    Credit {
        /// The stream.
        stream: u64,
        /// How many more items.
        items: u64,
        /// How many more bytes.
        bytes: u64,
        /// How many items of the stream have been read in all.
        read: u64,
    },
    /// The receiver wants no more of a stream or transfer.
    Stop {
        /// The stream or transfer.
        transfer: u64,
    },
    /// How many one-way calls of a depth have ended since the session began.
    Done {
        /// The depth.
        depth: u32,
        /// How many, in all.
        count: u64,
        /// The bytes of their arguments, in all.
        bytes: u64,
        /// How many calls with `missed` have ended, of all depths.
        marked: u64,
    },
    /// The session is over: the last counted frame of its sender.
    Bye {
        /// Why, as a close code.
        code: u16,
        /// Why, for people.
        message: String,
    },
    /// The sender is about to leave, and takes no new calls.
    GoAway {
        /// The last packet that was taken in.
        last_seq: u64,
        /// Why, for people.
        message: String,
        /// How many milliseconds after the end of the session the program should come back; 0 says nothing of it.
        after_ms: u64,
    },
}

/// The bytes of arguments, of a result, of a fault or of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A MessagePack value. A fake peer also sends bytes that are none.
    Inline(Bytes),
    /// The value follows in [`Frame::Chunk`]s.
    Announced {
        /// The number of the transfer that brings the bytes.
        transfer: u64,
        /// How many bytes.
        total: u64,
    },
}

/// What went wrong with a call or a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorBody {
    /// The error of the contract, encoded.
    Fault(Payload),
    /// A status.
    Status(Status),
}

impl Payload {
    /// A value, encoded as the results and items of calls are.
    ///
    /// # Panics
    ///
    /// If the value does not serialize.
    #[track_caller]
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        let mut bytes = BytesMut::new();
        if let Err(error) = encode(&mut bytes, value) {
            panic!("the value does not serialize: {error}");
        }
        Self::Inline(bytes.freeze())
    }

    /// Arguments: a tuple with an element for each argument, such as `&("lobby",)`, and `&()` for none.
    ///
    /// # Panics
    ///
    /// If the arguments do not serialize.
    #[track_caller]
    pub fn arguments<T: Serialize + ?Sized>(arguments: &T) -> Self {
        const NIL: u8 = 0xc0;
        const EMPTY: u8 = 0x90;
        match Self::of(arguments) {
            Self::Inline(bytes) if bytes[..] == [NIL] => Self::Inline(Bytes::from_static(&[EMPTY])),
            arguments => arguments,
        }
    }
}

impl From<wire::Payload> for Payload {
    fn from(payload: wire::Payload) -> Self {
        match payload.into_value() {
            Ok(bytes) => Self::Inline(bytes),
            Err((transfer, total)) => Self::Announced { transfer, total },
        }
    }
}

impl From<Payload> for wire::Payload {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Inline(bytes) => Self::Inline(bytes),
            Payload::Announced { transfer, total } => {
                Self::Boxed(Box::new(BoxedPayload::Announced { transfer, total }))
            }
        }
    }
}

impl From<wire::ErrorBody> for ErrorBody {
    fn from(error: wire::ErrorBody) -> Self {
        match error {
            wire::ErrorBody::Fault(payload) => Self::Fault(payload.into()),
            wire::ErrorBody::Status(status) => Self::Status(status),
        }
    }
}

impl From<ErrorBody> for wire::ErrorBody {
    fn from(error: ErrorBody) -> Self {
        match error {
            ErrorBody::Fault(payload) => Self::Fault(payload.into()),
            ErrorBody::Status(status) => Self::Status(status),
        }
    }
}

impl Frame {
    /// The frame, unless it is one that a fake peer handles by itself.
    pub(super) fn read(frame: wire::Frame) -> Result<Self, wire::Frame> {
        use wire::Frame as W;
        Ok(match frame {
            W::Request(wire::Request {
                id,
                method,
                deadline_ms,
                depth,
                parent,
                metadata,
                payload,
                streams,
                window,
            }) => {
                let (payload, streams) = (payload.into(), streams.to_vec());
                Self::Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window }
            }
            W::Notify(wire::Notify { method, depth, metadata, payload, missed }) => {
                Self::Notify { method, depth, metadata, payload: payload.into(), missed }
            }
            W::Response { id, payload, streams } => {
                Self::Response { id, payload: payload.into(), streams: streams.to_vec() }
            }
            W::Error { id, error } => Self::Error { id, error: error.into() },
            W::Cancel { id, expired } => Self::Cancel { id, expired },
            W::Chunk { transfer, data } => Self::Chunk { transfer, data: data.into_bytes() },
            W::Abort { transfer } => Self::Abort { transfer },
            W::Item { stream, payload } => Self::Item { stream, payload: payload.into() },
            W::End { stream, error } => Self::End { stream, error: error.map(Into::into) },
            W::Credit { stream, items, bytes, read } => Self::Credit { stream, items, bytes, read },
            W::Stop { transfer } => Self::Stop { transfer },
            W::Done { depth, count, bytes, marked } => Self::Done { depth, count, bytes, marked },
            W::Bye { code, message } => Self::Bye { code, message },
            W::GoAway { last_seq, message, after_ms } => Self::GoAway { last_seq, message, after_ms },
            own @ (W::Hello(_) | W::Welcome(_) | W::Ping { .. } | W::Pong { .. }) => return Err(own),
        })
    }

    /// The frame as it is encoded.
    pub(super) fn into_wire(self) -> wire::Frame {
        use wire::Frame as W;
        match self {
            Self::Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window } => {
                let (payload, streams) = (payload.into(), streams.into());
                let request =
                    wire::Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window };
                W::Request(request)
            }
            Self::Notify { method, depth, metadata, payload, missed } => {
                W::Notify(wire::Notify { method, depth, metadata, payload: payload.into(), missed })
            }
            Self::Response { id, payload, streams } => {
                W::Response { id, payload: payload.into(), streams: streams.into() }
            }
            Self::Error { id, error } => W::Error { id, error: error.into() },
            Self::Cancel { id, expired } => W::Cancel { id, expired },
            Self::Chunk { transfer, data } => W::Chunk { transfer, data: data.into() },
            Self::Abort { transfer } => W::Abort { transfer },
            Self::Item { stream, payload } => W::Item { stream, payload: payload.into() },
            Self::End { stream, error } => W::End { stream, error: error.map(Into::into) },
            Self::Credit { stream, items, bytes, read } => W::Credit { stream, items, bytes, read },
            Self::Stop { transfer } => W::Stop { transfer },
            Self::Done { depth, count, bytes, marked } => W::Done { depth, count, bytes, marked },
            Self::Bye { code, message } => W::Bye { code, message },
            Self::GoAway { last_seq, message, after_ms } => W::GoAway { last_seq, message, after_ms },
        }
    }
}
