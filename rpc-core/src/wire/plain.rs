//! `PlainFrame`: the usual frames of calls, read at once and without a [`Frame`](super::Frame), which is large to move.
//!
//! A usual frame begins with its array and its kind in a byte each. A number in it, or the length of its payload, may
//! take more bytes than it needs, as in every frame. What is not a usual frame, or has its payload in a form for longer
//! ones, is left to `decode`, which reads every frame and says what is wrong with it.

use std::ops::Range;

use bytes::Bytes;

use super::{CallId, RequestHead, frame::kind};

/// A frame without metadata and streams, whose payload is in the frame.
#[derive(Debug)]
pub enum PlainFrame {
    /// Calls a method.
    Request {
        /// What comes before the metadata.
        head: RequestHead,
        /// The arguments.
        arguments: Bytes,
    },
    /// Calls a one-way method.
    Notify {
        /// The method's number.
        method: u32,
        /// How deep the call is nested.
        depth: u32,
        /// The arguments.
        arguments: Bytes,
        /// As [`Notify::missed`](super::Notify::missed).
        missed: Option<u64>,
    },
    /// Completes a call with a result.
    Response {
        /// The call.
        id: CallId,
        /// The result.
        result: Bytes,
    },
}

const REQUEST: u8 = kind::REQUEST.to_be_bytes()[7];
const NOTIFY: u8 = kind::NOTIFY.to_be_bytes()[7];
const RESPONSE: u8 = kind::RESPONSE.to_be_bytes()[7];
const NIL: u8 = 0xc0;

/// Reads the usual frame that begins at `at`, and gives where it ends; `None` for any other frame.
#[inline(always)]
pub(super) fn read_plain(packet: &Bytes, at: usize) -> Option<(PlainFrame, usize)> {
    let mut cursor = Cursor { bytes: packet, at };
    let frame = match cursor.take::<2>()? {
        [0x98, REQUEST] => {
            let id = cursor.uint()?;
            let method = cursor.u32()?;
            let deadline_ms = cursor.opt_uint()?;
            let depth = cursor.u32()?;
            let parent = cursor.opt_uint()?;
            cursor.nil()?;
            let arguments = packet.slice(cursor.bin()?);
            PlainFrame::Request { head: RequestHead { id, method, deadline_ms, depth, parent }, arguments }
        }
        [0x95, NOTIFY] => {
            let (method, depth) = (cursor.u32()?, cursor.u32()?);
            cursor.nil()?;
            PlainFrame::Notify { method, depth, arguments: packet.slice(cursor.bin()?), missed: None }
        }
        [0x96, NOTIFY] => {
            let (method, depth) = (cursor.u32()?, cursor.u32()?);
            cursor.nil()?;
            let arguments = packet.slice(cursor.bin()?);
            PlainFrame::Notify { method, depth, arguments, missed: Some(cursor.uint()?) }
        }
        [0x93, RESPONSE] => {
            let id = cursor.uint()?;
            PlainFrame::Response { id, result: packet.slice(cursor.bin()?) }
        }
        _ => return None,
    };
    Some((frame, cursor.at))
}

/// Reads values in the forms that usual frames have.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(taken)
    }

    #[inline(always)]
    fn uint(&mut self) -> Option<u64> {
        let [first] = self.take()?;
        Some(match first {
            0..0x80 => u64::from(first),
            0xcc => u64::from(u8::from_be_bytes(self.take()?)),
            0xcd => u64::from(u16::from_be_bytes(self.take()?)),
            0xce => u64::from(u32::from_be_bytes(self.take()?)),
            0xcf => u64::from_be_bytes(self.take()?),
            _ => return None,
        })
    }

    #[inline(always)]
    fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.uint()?).ok()
    }

    #[inline(always)]
    fn opt_uint(&mut self) -> Option<Option<u64>> {
        if self.bytes.get(self.at) == Some(&NIL) {
            self.at += 1;
            return Some(None);
        }
        self.uint().map(Some)
    }

    #[inline(always)]
    fn nil(&mut self) -> Option<()> {
        (self.take()? == [NIL]).then_some(())
    }

    /// Where the bytes of binary data lie.
    #[inline(always)]
    fn bin(&mut self) -> Option<Range<usize>> {
        let [first] = self.take()?;
        let len = match first {
            0xc4 => usize::from(u8::from_be_bytes(self.take()?)),
            0xc5 => usize::from(u16::from_be_bytes(self.take()?)),
            _ => return None,
        };
        let begin = self.at;
        self.at = begin.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        Some(begin..self.at)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::wire::{
        Frame, MetadataPairs, Notify, PacketHeader, Payload, Request, Streams, decode::read_frame, put_frame,
        put_header, read::Reader,
    };

    impl From<PlainFrame> for Frame {
        fn from(plain: PlainFrame) -> Self {
            match plain {
                PlainFrame::Request { head, arguments } => {
                    let RequestHead { id, method, deadline_ms, depth, parent } = head;
                    let request = Request::plain(id, method, Payload::Inline(arguments));
                    Self::Request(Request { deadline_ms, depth, parent, ..request })
                }
                PlainFrame::Notify { method, depth, arguments, missed } => {
                    let (metadata, payload) = (MetadataPairs::new(), Payload::Inline(arguments));
                    Self::Notify(Notify { method, depth, metadata, payload, missed })
                }
                PlainFrame::Response { id, result } => {
                    Self::Response { id, payload: Payload::Inline(result), streams: Streams::default() }
                }
            }
        }
    }

    /// Frames with every combination of short and long numbers, and payloads around the borders of their heads.
    fn frames() -> Vec<Frame> {
        let numbers = [0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, u64::from(u32::MAX), u64::MAX];
        let mut frames = Vec::new();
        for (index, id) in numbers.into_iter().enumerate() {
            let other = numbers[(index + 3) % numbers.len()];
            let small = u32::try_from(other).unwrap_or(7);
            for len in [0, 1, 23, 255, 256, 65_535, 65_536] {
                let payload = Payload::Inline(vec![1; len].into());
                for parent in [None, Some(other)] {
                    let request = Request::plain(id, small, payload.clone());
                    let (deadline_ms, depth) = (parent.map(|_| id), small / 2);
                    frames.push(Frame::Request(Request { deadline_ms, depth, parent, ..request }));
                }
                for missed in [None, Some(other)] {
                    let notify = Notify { depth: 3, missed, ..Notify::plain(small, payload.clone()) };
                    frames.push(Frame::Notify(notify));
                }
                frames.push(Frame::Response { id, payload, streams: Streams::default() });
            }
        }
        frames
    }

    fn packet(frame: &Frame) -> Bytes {
        let mut packet = BytesMut::new();
        put_header(&mut packet, PacketHeader { seq: 1, ack: 0 });
        put_frame(&mut packet, frame);
        packet.freeze()
    }

    /// What `decode` reads of the first frame of a packet, and where this frame ends.
    fn decoded(packet: &Bytes) -> Option<(Frame, usize)> {
        let mut reader = Reader::new(packet.clone());
        let _header = (reader.uint().ok()?, reader.uint().ok()?);
        let frame = read_frame(&mut reader, usize::MAX).ok()??;
        Some((frame, reader.at()))
    }

    #[test]
    fn the_usual_frames_read_as_decode_reads_them() {
        for frame in frames() {
            let packet = packet(&frame);
            match read_plain(&packet, 2) {
                Some((plain, end)) => assert_eq!((Frame::from(plain), end), (frame, packet.len())),
                None => assert!(frame.encoded_len_hint() > 0xffff, "{frame:?}"),
            }
        }
    }

    #[test]
    fn numbers_and_lengths_may_take_more_bytes_than_they_need() {
        for (form, zeros) in [(0xcc, 0), (0xcd, 1), (0xce, 3), (0xcf, 7)] {
            let number = |number| [&[form][..], &vec![0; zeros], &[number]].concat();
            let payload = [0xc5, 0, 1, 0x90];
            let (head, parent) = ([number(1), number(2), number(3), number(4)].concat(), number(5));
            for frame in [
                [&[0x98, REQUEST], &head[..], &parent, &[NIL], &payload].concat(),
                [&[0x95, NOTIFY], &number(1)[..], &number(2), &[NIL], &payload].concat(),
                [&[0x96, NOTIFY], &number(1)[..], &number(2), &[NIL], &payload, &number(3)].concat(),
                [&[0x93, RESPONSE], &number(1)[..], &payload].concat(),
            ] {
                // Another frame comes behind it.
                let packet = Bytes::from([&[1, 0], &frame[..], &frame].concat());
                let (plain, end) = read_plain(&packet, 2).unwrap();
                assert_eq!(end, 2 + frame.len());
                assert_eq!(Some((Frame::from(plain), end)), decoded(&packet), "form {form:#x}");
            }
        }
    }

    #[test]
    fn frames_with_metadata_streams_or_announced_payloads_are_left_to_decode() {
        let request =
            |metadata, payload, streams| Frame::Request(Request { metadata, streams, ..Request::plain(1, 2, payload) });
        let short = || Payload::Inline(Bytes::from_static(&[0x90]));
        for frame in [
            request(vec![("key".to_owned(), "value".to_owned())], short(), Streams::default()),
            request(Vec::new(), Payload::announced(3, 100_000), Streams::default()),
            request(Vec::new(), short(), vec![4].into()),
            Frame::Cancel { id: 1, expired: false },
        ] {
            assert!(read_plain(&packet(&frame), 2).is_none(), "{frame:?}");
        }
    }

    #[test]
    fn what_is_read_of_damaged_frames_is_what_decode_reads() {
        for frame in frames().into_iter().filter(|frame| frame.encoded_len_hint() < 400) {
            let whole = packet(&frame);
            for len in 2..whole.len() {
                assert!(read_plain(&whole.slice(..len), 2).is_none(), "{frame:?} cut to {len} bytes");
            }
            for bit in 16..(whole.len() * 8).min(16 + 48 * 8) {
                let mut damaged = whole.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let damaged = Bytes::from(damaged);
                if let Some((plain, end)) = read_plain(&damaged, 2) {
                    assert_eq!(Some((Frame::from(plain), end)), decoded(&damaged), "{frame:?}, bit {bit}");
                }
            }
        }
    }
}
