//! Packets: each is one WebSocket message with a header of two numbers, and frames.

use std::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

use super::{Frame, PlainFrame, WireError, WireFault, decode::read_frame, put, read::Reader};

/// The most frames of a packet, frames of unknown kinds included, which bounds the time that a packet takes.
pub const MAX_FRAMES: usize = 1024;

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    /// The packet's number; 0 for a packet that is not sequenced.
    pub seq: u64,
    /// The last sequenced packet that the sender has received.
    pub ack: u64,
}

/// Appends the header of a packet.
pub fn put_header(out: &mut BytesMut, header: PacketHeader) {
    put::uint(out, header.seq);
    put::uint(out, header.ack);
}

/// Reads the header of a packet, whose frames are then read one by one. Payloads and chunks are slices of `packet`.
#[inline]
pub fn read_packet(packet: Bytes) -> Result<(PacketHeader, Frames), WireError> {
    let mut reader = Reader::new(packet);
    let header = PacketHeader { seq: reader.uint()?, ack: reader.uint()? };
    Ok((header, Frames { reader, left: MAX_FRAMES, max_metadata: usize::MAX, failed: false }))
}

/// The frames of a packet, in order. Frames of unknown kinds that may be passed over are left out. An error, as for
/// more than [`MAX_FRAMES`], is the last element.
#[derive(Debug)]
pub struct Frames {
    reader: Reader,
    /// Frames that the packet may still have.
    left: usize,
    max_metadata: usize,
    failed: bool,
}

impl Frames {
    /// The next frame, if it is a plain one; otherwise [`Self::next`] reads it.
    #[inline(always)]
    pub fn next_plain(&mut self) -> Option<PlainFrame> {
        if self.left == 0 || self.failed {
            return None;
        }
        let frame = self.reader.plain()?;
        self.left -= 1;
        Some(frame)
    }

    /// Keeps a call's metadata up to the first pair beyond this [size](super::metadata_size). The rest is checked and
    /// dropped, so that metadata which will be refused takes little memory.
    #[must_use]
    #[inline]
    pub fn with_max_metadata(mut self, max: usize) -> Self {
        self.max_metadata = max;
        self
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && !self.reader.is_empty() {
            let Some(left) = self.left.checked_sub(1) else {
                self.failed = true;
                return Some(Err(self.reader.error(WireFault::TooManyFrames(MAX_FRAMES))));
            };
            self.left = left;
            match read_frame(&mut self.reader, self.max_metadata) {
                Ok(None) => {}
                Ok(Some(frame)) => return Some(Ok(frame)),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl FusedIterator for Frames {}
