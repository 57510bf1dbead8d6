//! `Completion`: a handler's answer, with the room it needs.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    peer::{Outlets, Reservation, Shared},
    proto::{self, Charges},
    wire::Rope,
};

/// A handler's answer, encoded, holding the room that it needs in the outbox.
pub struct Completion {
    reply: Reply,
    /// The streams of the result.
    outlets: Outlets,
    reservation: Reservation<Arc<Shared>>,
    frame: usize,
}

pub(crate) enum Reply {
    Value(Rope),
    Fault(Rope),
    Done,
}

impl Completion {
    pub(crate) fn new(reply: Reply, outlets: Outlets, reservation: Reservation<Arc<Shared>>, frame: usize) -> Self {
        Self { reply, outlets, reservation, frame }
    }

    pub(crate) fn into_fault(mut self) -> Self {
        if let Reply::Value(bytes) = self.reply {
            self.reply = Reply::Fault(bytes);
        }
        self
    }

    pub(crate) fn is_fault(&self) -> bool {
        matches!(self.reply, Reply::Fault(_))
    }

    pub(crate) fn payload_len(&self) -> usize {
        match &self.reply {
            Reply::Value(bytes) | Reply::Fault(bytes) => bytes.len(),
            Reply::Done => 0,
        }
    }

    /// What the connection is told.
    pub(crate) fn into_parts(mut self) -> (proto::Completion, Charges, Outlets) {
        let charges = self.reservation.take(self.payload_len(), self.frame, 0);
        let completion = match self.reply {
            Reply::Value(bytes) if self.outlets.is_empty() => proto::Completion::Value(bytes),
            Reply::Value(bytes) => proto::Completion::Streaming(bytes, self.outlets.len()),
            Reply::Fault(bytes) => proto::Completion::Fault(bytes),
            // Nobody reads it, but a payload is a value.
            Reply::Done => proto::Completion::Value(Bytes::from_static(&[0xc0]).into()),
        };
        (completion, charges, self.outlets)
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}
