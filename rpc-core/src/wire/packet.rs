//! Packets: one WebSocket message, two numbers and frames back to back.

use std::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

use super::{Frame, WireError, decode::read_frame, put, read::Reader};

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
    Ok((header, Frames { reader, failed: false }))
}

/// The frames of a packet, in order. Those of unknown kinds that may be passed over are left out; after an error nothing follows.
#[derive(Debug)]
pub struct Frames {
    reader: Reader,
    failed: bool,
}

impl Iterator for Frames {
    type Item = Result<Frame, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && !self.reader.is_empty() {
            match read_frame(&mut self.reader) {
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
