//! `Head`: the short beginning of a frame, which is written here and appended to the packet at once.

use bytes::BytesMut;
use rmp::Marker;

use super::rope;

/// Room for a Request with a [short](rope::SHORT) payload: two bytes, five numbers, nil, and the payload with its head.
const ROOM: usize = 128;
/// The most bytes that a payload may have to be written here.
pub(super) const SHORT: usize = 64;
/// The bytes of a number, without its marker.
const NUMBER: usize = 8;

const _: () = assert!(2 + 5 * (1 + NUMBER) + 1 + 2 + SHORT <= ROOM && rope::SHORT <= SHORT);

/// The marker and the length of a number beyond 127, by its leading zeros.
const FORMS: [(u8, u8); 65] = {
    let mut forms = [(Marker::U8.to_u8(), 1); 65];
    let mut zeros = 0;
    while zeros < 56 {
        forms[zeros] = if zeros < 32 {
            (Marker::U64.to_u8(), 8)
        } else if zeros < 48 {
            (Marker::U32.to_u8(), 4)
        } else {
            (Marker::U16.to_u8(), 2)
        };
        zeros += 1;
    }
    forms
};

/// At most [`ROOM`] bytes, of which the first `at` are written.
pub(super) struct Head {
    bytes: [u8; ROOM],
    at: usize,
}

impl Head {
    /// Writes bytes and appends them to a packet. They are at most two bytes, six numbers without a payload or five
    /// with one, nil, and a payload of [`SHORT`] bytes.
    #[inline(always)]
    pub(super) fn append(out: &mut BytesMut, write: impl FnOnce(&mut Self)) {
        let mut head = Self { bytes: [0; ROOM], at: 0 };
        write(&mut head);
        out.extend_from_slice(&head.bytes[..head.at]);
    }

    /// Begins a frame of `len` elements, its kind included; both are below 16.
    #[inline(always)]
    pub(super) fn begin(&mut self, len: u8, kind: u64) {
        debug_assert!(len < 16, "a short array");
        self.byte(0x90 | len);
        self.uint(kind);
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        // The mask takes nothing away, and lets the compiler see that the place is there.
        self.bytes[self.at & (ROOM - 1)] = byte;
        self.at += 1;
    }

    /// A number in its shortest form.
    #[inline(always)]
    pub(super) fn uint(&mut self, value: u64) {
        if value < 0x80 {
            return self.byte(value.to_be_bytes()[7]);
        }
        let (marker, len) = FORMS[value.leading_zeros() as usize];
        self.byte(marker);
        let Some(place) = self.bytes[self.at..].first_chunk_mut() else { return };
        // The number stands at the left end of the eight bytes; what follows writes over the others.
        *place = (value << (64 - 8 * u32::from(len))).to_be_bytes();
        self.at += usize::from(len);
    }

    #[inline(always)]
    pub(super) fn opt_uint(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.uint(value),
            None => self.nil(),
        }
    }

    #[inline(always)]
    pub(super) fn nil(&mut self) {
        self.byte(Marker::Null.to_u8());
    }

    /// Binary data of at most [`SHORT`] bytes.
    #[inline(always)]
    pub(super) fn bin(&mut self, bytes: &[u8]) {
        self.byte(Marker::Bin8.to_u8());
        // The length is at most SHORT.
        self.byte(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        let end = self.at + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
            self.at = end;
        }
    }

    /// Binary data that a rope holds in itself: the first `len` of these bytes. All of them are copied, because a copy
    /// of any length costs more; what follows writes over the others.
    #[inline(always)]
    pub(super) fn short_bin(&mut self, bytes: &[u8; rope::SHORT], len: u8) {
        self.byte(Marker::Bin8.to_u8());
        self.byte(len);
        let Some(place) = self.bytes[self.at..].first_chunk_mut() else { return };
        *place = *bytes;
        self.at += usize::from(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put;

    #[test]
    fn bytes_may_be_longer_than_a_rope_holds_in_itself() {
        for len in [0, 1, SHORT] {
            let (mut head, mut other) = (BytesMut::new(), BytesMut::new());
            Head::append(&mut head, |head| head.bin(&vec![8; len]));
            put::bin(&mut other, &vec![8; len]);
            assert_eq!(head, other, "{len} bytes");
        }
    }

    #[test]
    fn numbers_and_bytes_are_written_in_their_shortest_forms() {
        let numbers = [0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX];
        for number in numbers {
            for len in [0, 1, 38] {
                let (mut head, mut other) = (BytesMut::new(), BytesMut::new());
                let payload = [7; rope::SHORT];
                Head::append(&mut head, |head| {
                    head.begin(8, 3);
                    (0..4).for_each(|_| head.uint(number));
                    head.opt_uint(Some(number));
                    head.opt_uint(None);
                    head.short_bin(&payload, len);
                });
                put::array(&mut other, 8);
                put::uint(&mut other, 3);
                (0..5).for_each(|_| put::uint(&mut other, number));
                put::nil(&mut other);
                put::bin(&mut other, &payload[..usize::from(len)]);
                assert_eq!(head, other, "{number:#x}, {len} bytes");
            }
        }
    }
}
