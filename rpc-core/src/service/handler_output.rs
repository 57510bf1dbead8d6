//! `HandlerOutput`: a handler's answer, with the room that it needs.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    peer::{Reservation, SessionShared, StreamWriters},
    proto::{self, Charges},
    wire::Rope,
};

/// A handler's encoded answer, with the room that it has reserved in the outbox.
pub struct HandlerOutput {
    reply: HandlerReply,
    /// The streams of the result.
    writers: StreamWriters,
    reservation: Reservation<Arc<SessionShared>>,
    frame: usize,
}

pub(crate) enum HandlerReply {
    Value(Rope),
    Fault(Rope),
    Done,
}

impl HandlerOutput {
    pub(crate) fn new(
        reply: HandlerReply,
        writers: StreamWriters,
        reservation: Reservation<Arc<SessionShared>>,
        frame: usize,
    ) -> Self {
        Self { reply, writers, reservation, frame }
    }

    pub(crate) fn into_fault(mut self) -> Self {
        if let HandlerReply::Value(bytes) = self.reply {
            self.reply = HandlerReply::Fault(bytes);
        }
        self
    }

    pub(crate) fn is_fault(&self) -> bool {
        matches!(self.reply, HandlerReply::Fault(_))
    }

    pub(crate) fn payload_len(&self) -> usize {
        match &self.reply {
            HandlerReply::Value(bytes) | HandlerReply::Fault(bytes) => bytes.len(),
            HandlerReply::Done => 0,
        }
    }

    /// The completion for the connection, the reserved budgets, and the streams of the result.
    pub(crate) fn into_parts(mut self) -> (proto::Completion, Charges, StreamWriters) {
        let charges = self.reservation.take(self.payload_len(), self.frame, 0);
        let completion = match self.reply {
            HandlerReply::Value(bytes) if self.writers.is_empty() => proto::Completion::Value(bytes),
            HandlerReply::Value(bytes) => proto::Completion::Streaming(bytes, self.writers.len()),
            HandlerReply::Fault(bytes) => proto::Completion::Fault(bytes),
            // The completion of a one-way call needs a payload, which is never read.
            HandlerReply::Done => proto::Completion::Value(Bytes::from_static(&[0xc0]).into()),
        };
        (completion, charges, self.writers)
    }
}

impl fmt::Debug for HandlerOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerOutput")
    }
}
