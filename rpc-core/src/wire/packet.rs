//! Packets: one WebSocket message, two numbers and frames back to back.

use std::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

use super::{Frame, WireError, decode::read_frame, put, read::Reader};

/// A packet has no more frames than this, those of unknown kinds included: taking a packet in must not take long.
pub const MAX_FRAMES: usize = 1024;

/// What a packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    /// The packet's number; 0 for one that is not counted.
    pub seq: u64,
    /// The last counted packet that its sender has taken in.
    pub ack: u64,
}

/// Appends the beginning of a packet.
pub fn put_header(out: &mut BytesMut, header: PacketHeader) {
    put::uint(out, header.seq);
    put::uint(out, header.ack);
}

/// Reads the beginning of a packet; its frames are read one by one. Payloads and chunks are slices of `packet`.
pub fn read_packet(packet: Bytes) -> Result<(PacketHeader, Frames), WireError> {
    let mut reader = Reader::new(packet);
    let header = PacketHeader { seq: reader.uint()?, ack: reader.uint()? };
    Ok((header, Frames { reader, left: MAX_FRAMES, max_metadata: usize::MAX, failed: false }))
}

/// The frames of a packet, in order. Those of unknown kinds that may be passed over are left out; after an error
/// nothing follows. More than [`MAX_FRAMES`] are an error.
#[derive(Debug)]
pub struct Frames {
    reader: Reader,
    /// How many more frames the packet may have.
    left: usize,
    max_metadata: usize,
    failed: bool,
}

impl Frames {
    /// Keeps no more of a call's metadata than the first pair beyond this [size](super::metadata_size). The rest is
    /// checked and passed over, so that metadata which will be refused take little memory.
    #[must_use]
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
                return Some(Err(self.reader.error(format!("a packet of more than {MAX_FRAMES} frames"))));
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
