//! `PacketWriter`: frames put into a packet, whose header comes with the first of them.

use bytes::BytesMut;

use super::sequence::Sequence;
use crate::wire::{Frame, Rope, TransferId, put_chunk, put_frame, put_header, put_item};

/// What a Chunk or an Item takes beside its bytes, at most.
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
        self.begin();
        put_frame(self.packet, frame);
    }

    /// Puts the next chunk of a payload, of `most` bytes at most. Gives its length.
    pub(crate) fn put_chunk(&mut self, transfer: TransferId, rest: &mut Rope, most: usize) -> usize {
        let len = rest.len().min(most);
        self.begin();
        put_chunk(self.packet, transfer, rest, len);
        len
    }

    pub(crate) fn put_item(&mut self, stream: TransferId, item: Rope) {
        self.begin();
        put_item(self.packet, stream, item);
    }

    fn begin(&mut self) {
        if self.packet.is_empty() {
            put_header(self.packet, self.sequence.next_header());
        }
    }
}
