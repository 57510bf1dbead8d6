//! `PacketWriter`: appends frames to a packet, and the packet's header before the first frame.

use bytes::BytesMut;

use super::sequence::Sequence;
use crate::wire::{Frame, put_frame, put_header};

/// The most bytes that a Chunk or an Item takes beside its data.
pub(crate) const CHUNK_FRAME: usize = 32;

/// A packet that is being written.
pub(crate) struct PacketWriter<'a> {
    packet: &'a mut BytesMut,
    sequence: &'a mut Sequence,
}

impl<'a> PacketWriter<'a> {
    pub(crate) fn new(packet: &'a mut BytesMut, sequence: &'a mut Sequence) -> Self {
        Self { packet, sequence }
    }

    pub(crate) fn len(&self) -> usize {
        self.packet.len()
    }

    pub(crate) fn put(&mut self, frame: &Frame) {
        if self.packet.is_empty() {
            put_header(self.packet, self.sequence.next_header());
        }
        put_frame(self.packet, frame);
    }
}
