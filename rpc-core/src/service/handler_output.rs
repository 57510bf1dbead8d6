//! `HandlerOutput`: a handler's answer, with the room that it needs.

use std::{fmt, sync::Arc};

use crate::{
    peer::{Reservation, SessionShared, StreamWatch, StreamWriters},
    proto::{self, Charges},
    wire::Rope,
};

/// A handler's encoded answer, with the room that it has reserved in the outbox.
pub struct HandlerOutput {
    reply: HandlerReply,
    /// The streams of the result.
    writers: StreamWriters,
    reservation: Reservation<Arc<SessionShared>>,
}

pub(crate) enum HandlerReply {
    Value(Rope),
    Fault(Rope),
    Done,
}

impl HandlerReply {
    /// Bytes of the encoded answer.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Value(bytes) | Self::Fault(bytes) => bytes.len(),
            Self::Done => 0,
        }
    }
}

impl HandlerOutput {
    /// `reservation` holds what the reply needs and nothing more.
    #[inline]
    pub(crate) fn new(
        reply: HandlerReply,
        writers: StreamWriters,
        reservation: Reservation<Arc<SessionShared>>,
    ) -> Self {
        Self { reply, writers, reservation }
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

    pub(crate) fn has_stream(&self) -> bool {
        !self.writers.is_empty()
    }

    /// With what watches the stream of the result.
    pub(crate) fn watched(mut self, watch: StreamWatch) -> Self {
        self.writers.watch(watch);
        self
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.reply.len()
    }

    /// The completion for the connection, the reserved budgets, and the streams of the result.
    #[inline]
    pub(crate) fn into_parts(self) -> (proto::Completion, Charges, StreamWriters) {
        let charges = self.reservation.into_charges();
        let completion = match self.reply {
            HandlerReply::Value(bytes) if self.writers.is_empty() => proto::Completion::Value(bytes),
            HandlerReply::Value(bytes) => proto::Completion::Streaming(bytes, self.writers.len()),
            HandlerReply::Fault(bytes) => proto::Completion::Fault(bytes),
            // The completion of a one-way call has a payload, which is never read.
            HandlerReply::Done => proto::Completion::Value(Rope::default()),
        };
        (completion, charges, self.writers)
    }
}

impl fmt::Debug for HandlerOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerOutput")
    }
}
