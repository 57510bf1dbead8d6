//! Payloads: values of users' types as MessagePack, in the shape that serde gives them in JSON.

use std::{fmt, io};

use bytes::{BufMut, Bytes, BytesMut};
use rmp_serde::Serializer;
use serde::{Deserialize, Serialize, ser::SerializeTuple};

use super::{
    WireError,
    decoder::{DecodeError, Decoder},
    layout::{Laid, Octets},
    read::Reader,
    scan::{ScanLimits, scan_exact},
};

/// A value that does not serialize.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError(String);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

/// Appends a value. After an error nothing is appended.
pub fn encode<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) -> Result<(), EncodeError> {
    let before = out.len();
    let result = serialize(&mut Append(out), value);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Writes a value as MessagePack, in the shape that serde gives it in JSON.
#[inline]
pub(super) fn serialize<T: Serialize + ?Sized>(out: &mut impl io::Write, value: &T) -> Result<(), EncodeError> {
    let mut serializer = Serializer::new(out).with_struct_map().with_human_readable();
    value.serialize(&mut serializer).map_err(|error| EncodeError(error.to_string()))
}

/// Reads a value that takes all of `bytes`.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], limits: &ScanLimits) -> Result<T, WireError> {
    scan_exact(bytes, limits)?;
    let mut decoder = Decoder::new(bytes);
    let value = T::deserialize(&mut decoder).map_err(|error| unfit(&error))?;
    if decoder.rest.is_empty() { Ok(value) } else { Err(left_over()) }
}

#[cold]
fn left_over() -> WireError {
    WireError::new("its type has not read the whole value")
}

/// Reads a payload that is bytes and nothing else. Binary data is a slice of the payload; text and an array of numbers
/// are copied.
pub fn decode_bytes(payload: &Bytes, limits: &ScanLimits) -> Result<Bytes, WireError> {
    let mut reader = Reader::new(payload.clone());
    match reader.bin() {
        Ok(bytes) if reader.is_empty() => Ok(bytes),
        _ => decode::<Laid<Bytes, Octets>>(payload, limits).map(Laid::into_inner),
    }
}

/// Reads the arguments of a call one after another. They borrow from the payload.
pub struct ArgumentReader<'a> {
    payload: &'a Bytes,
    values: Decoder<'a>,
    left: usize,
}

impl<'a> ArgumentReader<'a> {
    /// Checks the whole payload, which must be an array.
    #[inline]
    pub fn new(payload: &'a Bytes, limits: &ScanLimits) -> Result<Self, WireError> {
        scan_exact(payload, limits)?;
        let (left, values) = array(payload)?;
        Ok(Self { payload, values: Decoder::new(values), left })
    }

    /// The next argument; `None` after the last one.
    pub fn next_value<T: Deserialize<'a>>(&mut self) -> Result<Option<T>, WireError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        T::deserialize(&mut self.values).map(Some).map_err(|error| unfit(&error))
    }

    /// The next argument, which must be binary data or text.
    pub fn next_binary(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        self.next_value()
    }

    /// Whether all arguments have been read.
    pub fn is_at_end(&self) -> bool {
        self.left == 0
    }

    /// Ends the reading. The caller may have sent more arguments than were read; those that were read must have been
    /// read whole.
    pub fn end(self) -> Result<(), WireError> {
        if self.left == 0 && !self.values.rest.is_empty() { Err(left_over()) } else { Ok(()) }
    }

    /// As [`Self::next_binary`], as a slice that keeps the payload alive.
    pub fn next_bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        let payload = self.payload;
        Ok(self.next_binary()?.map(|bytes| payload.slice_ref(bytes)))
    }
}

/// The number of elements of an array that has passed the scanner, and the elements.
#[inline]
fn array(value: &[u8]) -> Result<(usize, &[u8]), WireError> {
    Ok(match *value {
        [head @ 0x90..=0x9f, ref rest @ ..] => (usize::from(head & 0x0f), rest),
        [0xdc, a, b, ref rest @ ..] => (usize::from(u16::from_be_bytes([a, b])), rest),
        [0xdd, a, b, c, d, ref rest @ ..] => (u32::from_be_bytes([a, b, c, d]) as usize, rest),
        _ => return Err(WireError::at("not an array", 0)),
    })
}

impl fmt::Debug for ArgumentReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgumentReader").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The error for a value that does not fit its type, with a cure if serde's message alone does not suggest it.
fn unfit(error: &DecodeError) -> WireError {
    let mut message = error.to_string();
    message += cure(&message);
    WireError::new(message)
}

/// What to do about an error of serde's. A peer's value may stand in the middle of the message.
fn cure(message: &str) -> &'static str {
    if message.ends_with("expected a borrowed byte array") {
        "; mark the `&[u8]` with `#[serde(with = \"serde_bytes\")]`, without which it is encoded as numbers"
    } else if message.ends_with("128 is not supported") {
        "; in an enum with `untagged` or `tag`, and under `flatten`, send a number of 128 bits as text"
    } else if message.starts_with("data did not match any variant of untagged enum") {
        ", of which none can have a number of 128 bits"
    } else {
        ""
    }
}

/// Bytes that are encoded as MessagePack `bin`, by copying them.
#[derive(Clone, Copy, Debug)]
pub struct Bin<T>(pub T);

impl<T: AsRef<[u8]>> Serialize for Bin<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_ref())
    }
}

/// The placeholder of a stream in a payload.
#[derive(Clone, Copy, Debug)]
pub struct Nil;

impl Serialize for Nil {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// The arguments of a method that has none: an empty array.
#[derive(Clone, Copy, Debug)]
pub struct NoArguments;

impl Serialize for NoArguments {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_tuple(0)?.end()
    }
}

/// A writer for serde that appends to a buffer.
struct Append<'a>(&'a mut BytesMut);

impl io::Write for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.put_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
