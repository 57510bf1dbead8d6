//! Reading MessagePack by hand: one value after another, checked.

use bytes::Bytes;
use rmp::Marker;

use super::{
    PlainFrame, WireError, WireFault,
    plain::read_plain,
    scan::{ScanLimits, scan},
};

/// Reads values from the front of a packet.
#[derive(Debug)]
pub(super) struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads the next frame, if it is a plain one.
    #[inline(always)]
    pub(super) fn plain(&mut self) -> Option<PlainFrame> {
        let (frame, end) = read_plain(&self.bytes, self.at)?;
        self.at = end;
        Some(frame)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn error(&self, fault: impl Into<WireFault>) -> WireError {
        WireError::at(fault, self.at)
    }

    #[inline]
    pub(super) fn uint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_uint(),
        }
    }

    /// A number that takes more than its first byte, or is refused.
    fn long_uint(&mut self) -> Result<u64, WireError> {
        let begin = self.at;
        // The numbers of packets, calls and methods are in these forms.
        let (number, len) = match self.bytes[begin..] {
            [0xcc, a, ..] => (u64::from(a), 2),
            [0xcd, a, b, ..] => (u64::from(u16::from_be_bytes([a, b])), 3),
            [0xce, a, b, c, d, ..] => (u64::from(u32::from_be_bytes([a, b, c, d])), 5),
            [0xcf, a, b, c, d, e, f, g, h, ..] => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 9),
            _ => return self.other_uint(),
        };
        self.at += len;
        Ok(number)
    }

    /// A number in any form, or what is wrong with it.
    #[cold]
    fn other_uint(&mut self) -> Result<u64, WireError> {
        let begin = self.at;
        let negative = |value: i64| u64::try_from(value).map_err(|_| WireError::at("a negative number", begin));
        match self.marker()? {
            Marker::FixPos(value) => Ok(u64::from(value)),
            Marker::U8 => Ok(u64::from(self.fixed::<1>()?[0])),
            Marker::U16 => Ok(u64::from(u16::from_be_bytes(self.fixed()?))),
            Marker::U32 => Ok(u64::from(u32::from_be_bytes(self.fixed()?))),
            Marker::U64 => Ok(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => negative(i64::from(i8::from_be_bytes(self.fixed()?))),
            Marker::I16 => negative(i64::from(i16::from_be_bytes(self.fixed()?))),
            Marker::I32 => negative(i64::from(i32::from_be_bytes(self.fixed()?))),
            Marker::I64 => negative(i64::from_be_bytes(self.fixed()?)),
            _ => Err(WireError::at("not a non-negative number", begin)),
        }
    }

    pub(super) fn boolean(&mut self) -> Result<bool, WireError> {
        let begin = self.at;
        match self.marker()? {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            _ => Err(WireError::at("not a boolean", begin)),
        }
    }

    /// Takes a nil, if the next value is one.
    pub(super) fn take_nil(&mut self) -> bool {
        let nil = self.bytes.get(self.at) == Some(&Marker::Null.to_u8());
        self.at += usize::from(nil);
        nil
    }

    /// Whether the next value is a number that [`Self::uint`] reads.
    pub(super) fn next_is_uint(&self) -> bool {
        match self.bytes[self.at..] {
            [0x00..=0x7f | 0xcc..=0xcf, ..] => true,
            // Signed forms: the first byte of the number has the sign.
            [0xd0..=0xd3, first, ..] => first < 0x80,
            _ => false,
        }
    }

    pub(super) fn next_is_array(&self) -> bool {
        matches!(self.bytes.get(self.at), Some(0x90..=0x9f | 0xdc | 0xdd))
    }

    pub(super) fn array(&mut self) -> Result<usize, WireError> {
        if let Some(len @ 0x90..=0x9f) = self.bytes.get(self.at) {
            self.at += 1;
            return Ok(usize::from(len & 0x0f));
        }
        let begin = self.at;
        match self.marker()? {
            Marker::FixArray(len) => Ok(usize::from(len)),
            Marker::Array16 => self.length::<2>(),
            Marker::Array32 => self.length::<4>(),
            _ => Err(WireError::at("not an array", begin)),
        }
    }

    pub(super) fn map(&mut self) -> Result<usize, WireError> {
        let begin = self.at;
        match self.marker()? {
            Marker::FixMap(len) => Ok(usize::from(len)),
            Marker::Map16 => self.length::<2>(),
            Marker::Map32 => self.length::<4>(),
            _ => Err(WireError::at("not a map", begin)),
        }
    }

    /// Binary data, as a slice of the packet.
    pub(super) fn bin(&mut self) -> Result<Bytes, WireError> {
        let begin = self.at;
        let len = match self.marker()? {
            Marker::Bin8 => self.length::<1>()?,
            Marker::Bin16 => self.length::<2>()?,
            Marker::Bin32 => self.length::<4>()?,
            _ => return Err(WireError::at("not binary data", begin)),
        };
        let end = self.end_of(len)?;
        let bytes = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&str, WireError> {
        let begin = self.at;
        let len = match self.marker()? {
            Marker::FixStr(len) => usize::from(len),
            Marker::Str8 => self.length::<1>()?,
            Marker::Str16 => self.length::<2>()?,
            Marker::Str32 => self.length::<4>()?,
            _ => return Err(WireError::at("not text", begin)),
        };
        let end = self.end_of(len)?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        std::str::from_utf8(bytes).map_err(|_| WireError::at("text that is not UTF-8", begin))
    }

    /// Passes over the next value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), WireError> {
        let len = scan(&self.bytes[self.at..], &ScanLimits::default()).map_err(|error| error.moved_by(self.at))?;
        self.at += len;
        Ok(())
    }

    fn marker(&mut self) -> Result<Marker, WireError> {
        let [byte] = self.fixed::<1>()?;
        Ok(Marker::from_u8(byte))
    }

    /// A big-endian length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, WireError> {
        let bytes = self.fixed::<N>()?;
        Ok(bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    /// The next `N` bytes.
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let end = self.end_of(N)?;
        let mut fixed = [0; N];
        fixed.copy_from_slice(&self.bytes[self.at..end]);
        self.at = end;
        Ok(fixed)
    }

    /// Where the next `len` bytes end.
    #[inline]
    fn end_of(&self, len: usize) -> Result<usize, WireError> {
        if len > self.bytes.len() - self.at {
            return Err(WireError::at("the packet is cut short", self.at));
        }
        Ok(self.at + len)
    }
}
