//! `PacketWriter`: appends frames to a packet, and the packet's header before the first frame.

use bytes::BytesMut;

use super::{acks::AckSchedule, sequence::Sequence};
use crate::wire::{Frame, put_frame, put_header};

/// The most bytes that a Chunk or an Item takes beside its data.
pub(crate) const CHUNK_FRAME: usize = 32;

/// The memory that short packets share to begin with, in bytes.
const FIRST: usize = 256;

/// A sequenced packet that is being written.
pub(crate) struct PacketWriter<'a> {
    packet: &'a mut BytesMut,
    sequence: &'a mut Sequence,
    acks: &'a mut AckSchedule,
}

impl<'a> PacketWriter<'a> {
    pub(crate) fn new(packet: &'a mut BytesMut, sequence: &'a mut Sequence, acks: &'a mut AckSchedule) -> Self {
        Self { packet, sequence, acks }
    }

    pub(crate) fn len(&self) -> usize {
        self.packet.len()
    }

    #[inline]
    pub(crate) fn put(&mut self, frame: &Frame) {
        put_frame(self.begun(), frame);
    }

    /// The packet, which has its header.
    #[inline]
    pub(crate) fn begun(&mut self) -> &mut BytesMut {
        if self.packet.is_empty() {
            if self.packet.capacity() == 0 {
                self.packet.reserve(FIRST);
            }
            put_header(self.packet, self.sequence.next_header());
            self.acks.note_sent();
        }
        self.packet
    }
}
