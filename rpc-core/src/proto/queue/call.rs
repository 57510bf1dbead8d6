//! `QueuedCall`: a one-way call with a policy, encoded once for all the sessions that it goes to.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    contract::MethodDescriptor,
    overflow::Overflow,
    wire::{MetadataPairs, Rope, metadata_size},
};

/// A one-way call whose receiver may not keep up. All queues that it waits in share it.
#[derive(Debug)]
pub struct QueuedCall {
    /// The method.
    pub method: &'static MethodDescriptor,
    /// How deep the call is nested.
    pub depth: u32,
    /// Metadata.
    pub metadata: MetadataPairs,
    /// The arguments, encoded.
    pub arguments: Rope,
    /// What happens to the call when the queue is full; not [`Overflow::Wait`].
    pub overflow: Overflow,
    /// Calls of the method with the same key replace each other, if the policy is [`Overflow::Conflate`].
    pub key: Bytes,
    /// How long the call may wait.
    pub ttl: Option<Duration>,
}

/// What a waiting call counts beside its bytes.
const ENTRY: usize = 64;

impl QueuedCall {
    /// What the call counts while it waits.
    pub(super) fn size(&self) -> usize {
        self.len() + ENTRY
    }

    fn len(&self) -> usize {
        self.arguments.len() + metadata_size(&self.metadata)
    }

    /// The bytes that it has under way.
    pub(crate) fn sent_len(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Whether the call may be dropped, so that the next one says how many were.
    pub(crate) fn may_be_dropped(&self) -> bool {
        !self.ends_session() || self.ttl.is_some()
    }

    /// Whether the session ends before this call is dropped for want of room.
    pub(super) fn ends_session(&self) -> bool {
        self.overflow == Overflow::Disconnect
    }

    /// Whether this call, which waits, is dropped so that a newer one has a place.
    pub(super) fn makes_room_for(&self, newer: &Self) -> bool {
        match newer.overflow {
            Overflow::Disconnect => !self.ends_session(),
            Overflow::DropOldest | Overflow::Conflate => self.overflow == newer.overflow,
            Overflow::DropNewest | Overflow::Wait => false,
        }
    }

    pub(super) fn conflates(&self) -> bool {
        self.overflow == Overflow::Conflate
    }

    /// Whether this call, which waits, is replaced by a newer one.
    pub(super) fn is_replaced_by(&self, newer: &Self) -> bool {
        self.conflates() && self.method == newer.method && self.key == newer.key
    }
}
