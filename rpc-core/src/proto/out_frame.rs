//! `OutFrame`: a frame that waits to be sent, the transfer that it announces, and what follows from sending them.

use std::sync::Arc;

use bytes::BytesMut;

use super::{QueuedCall, slots::CallKey};
use crate::wire::{
    CallId, Frame, RequestHead, Rope, Streams, TransferId, put_frame, put_marked_notify, put_plain_notify,
    put_plain_request, put_plain_response,
};

/// The most bytes that a plain frame takes beside its payload.
const HEAD: u32 = 64;

/// A frame that waits to be sent.
#[derive(Debug)]
pub(crate) struct OutFrame {
    pub(super) body: OutBody,
    /// An upper bound of the frame's encoded length.
    pub(super) len: u32,
    /// Bytes of room that the sender holds for the frame.
    pub(super) room: u32,
    pub(super) on_sent: OnSent,
}

/// A plain frame lies here in parts, which are small to move. Any other frame is in a box.
#[derive(Debug)]
pub(crate) enum OutBody {
    /// A call without metadata and streams, whose arguments are in the frame. [`OutFrame::on_sent`] has its key.
    Request {
        method: u32,
        depth: u32,
        parent: Option<CallId>,
        arguments: Rope,
    },
    /// A one-way call without metadata, whose arguments are in the frame.
    Notify {
        method: u32,
        depth: u32,
        arguments: Rope,
    },
    /// A one-way call from the queue, which other sessions may share.
    Queued {
        call: Arc<QueuedCall>,
        missed: Option<u64>,
    },
    /// A result without streams, which is in the frame.
    Response {
        id: CallId,
        result: Rope,
    },
    Other(Box<OtherFrame>),
}

#[derive(Debug)]
pub(crate) struct OtherFrame {
    pub(super) frame: Frame,
    /// The transfer that the frame announces.
    pub(super) transfer: Option<Box<OutTransfer>>,
}

/// What to do when a frame, or the last chunk of what it announces, is handed to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnSent {
    Nothing,
    /// The frame was a request: its call counts as sent.
    Request(CallKey),
    /// The frame was a completion: the call's permit returns.
    Completion(CallId),
    /// The frame was a one-way call from the queue, with this many bytes: they are under way until they are
    /// acknowledged.
    Queued(u32),
}

/// A payload that is sent in chunks.
#[derive(Debug)]
pub(crate) struct OutTransfer {
    pub(crate) id: TransferId,
    pub(crate) rest: Rope,
    /// The bytes that the sender holds of the budget of transfers.
    pub(crate) charge: u32,
    pub(crate) on_sent: OnSent,
}

/// What is left of a frame that has been sent or skipped.
#[derive(Debug, Default)]
pub(crate) struct LeftOver {
    /// Bytes of room that the frame's sender holds.
    pub(crate) room: usize,
    /// The streams that came with the frame.
    pub(crate) streams: Streams,
    /// The transfer that the frame announces.
    pub(crate) transfer: Option<Box<OutTransfer>>,
}

impl OutFrame {
    /// A frame of any kind, with the transfer that it announces.
    pub(super) fn other(frame: Frame, room: u32, on_sent: OnSent, transfer: Option<Box<OutTransfer>>) -> Self {
        let len = u32::try_from(frame.encoded_len_hint()).unwrap_or(u32::MAX);
        Self { body: OutBody::Other(Box::new(OtherFrame { frame, transfer })), len, room, on_sent }
    }

    /// Appends the frame to a packet. A Request carries `deadline_ms`, the time that is left until its deadline.
    #[inline]
    pub(crate) fn put(&mut self, out: &mut BytesMut, deadline_ms: Option<u64>) {
        match &mut self.body {
            OutBody::Request { method, depth, parent, arguments } => {
                let OnSent::Request(key) = self.on_sent else { return };
                let (id, method, depth, parent) = (key.id(), *method, *depth, *parent);
                put_plain_request(out, &RequestHead { id, method, deadline_ms, depth, parent }, arguments);
            }
            OutBody::Notify { method, depth, arguments } => put_plain_notify(out, *method, *depth, arguments),
            OutBody::Queued { call, missed } => {
                let (method, depth, arguments) = (call.method.id(), call.depth, &call.arguments);
                match missed {
                    Some(missed) => put_marked_notify(out, (method, depth), arguments, *missed),
                    None => put_plain_notify(out, method, depth, arguments),
                }
            }
            OutBody::Response { id, result } => put_plain_response(out, *id, result),
            OutBody::Other(other) => {
                if let Frame::Request(request) = &mut other.frame {
                    request.deadline_ms = deadline_ms;
                }
                put_frame(out, &other.frame);
            }
        }
    }

    /// Whether nothing follows from sending the frame but what [`Self::on_sent`] says.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        !matches!(self.body, OutBody::Other(_))
    }

    pub(super) fn transfer(&self) -> Option<&OutTransfer> {
        match &self.body {
            OutBody::Other(other) => other.transfer.as_deref(),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn into_left_over(self) -> LeftOver {
        let room = self.room as usize;
        match self.body {
            OutBody::Other(mut other) => {
                LeftOver { room, streams: other.frame.take_streams(), transfer: other.transfer.take() }
            }
            _ => LeftOver { room, ..LeftOver::default() },
        }
    }
}

impl OutBody {
    /// An upper bound of the encoded length of a plain frame.
    #[inline]
    pub(super) fn len(payload: &Rope) -> u32 {
        u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(HEAD)
    }
}
