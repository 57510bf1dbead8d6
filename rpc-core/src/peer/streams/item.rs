//! How values become payloads, and payloads become values: by serde, or as raw bytes.

use std::{error, fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::{
    error::CallError,
    peer::encode::{encode, encode_rope},
    status::Status,
    wire::{self, Blob, DecodeAs, EncodeAs, Laid, LaidRef, Rope, ScanLimits, WireError},
};

/// A value that serde encodes and decodes.
pub struct Value<T>(PhantomData<fn() -> T>);

/// Bytes that travel without serde: a `Vec<u8>` or a `Bytes`.
pub struct Binary<T>(PhantomData<fn() -> T>);

/// A value with binary data in it, at the places that the layout `L` tells.
pub struct LaidValue<T, L>(PhantomData<fn() -> (T, L)>);

/// How a value is decoded.
#[expect(unnameable_types, reason = "generated code names `Value` and `Binary`, which implement the trait")]
pub trait Decode: Send + 'static {
    /// The decoded type.
    type Value: Send + 'static;

    /// Decodes a value.
    fn decode(bytes: Bytes, limits: &ScanLimits) -> Result<Self::Value, WireError>;
}

/// How a value is encoded.
#[expect(unnameable_types, reason = "generated code names `Value` and `Binary`, which implement the trait")]
pub trait Encode: Send + 'static {
    /// The type of the values to encode.
    type Value: Send + 'static;
    /// A form of the value that can be encoded more than once.
    type Ready: Send + 'static;

    /// Converts a value to the form that can be encoded.
    fn ready(value: Self::Value) -> Self::Ready;

    /// Encodes a value. The error is serde's message.
    fn encode(value: &Self::Ready) -> Result<Rope, String>;
}

impl<T: DeserializeOwned + Send + 'static> Decode for Value<T> {
    type Value = T;

    fn decode(bytes: Bytes, limits: &ScanLimits) -> Result<T, WireError> {
        wire::decode(&bytes, limits)
    }
}

impl<T: From<Bytes> + Send + 'static> Decode for Binary<T> {
    type Value = T;

    fn decode(bytes: Bytes, limits: &ScanLimits) -> Result<T, WireError> {
        wire::decode_bytes(&bytes, limits).map(T::from)
    }
}

impl<T, L> Decode for LaidValue<T, L>
where
    T: Send + 'static,
    L: for<'de> DecodeAs<'de, T> + 'static,
{
    type Value = T;

    fn decode(bytes: Bytes, limits: &ScanLimits) -> Result<T, WireError> {
        wire::decode::<Laid<T, L>>(&bytes, limits).map(Laid::into_inner)
    }
}

impl<T: Send + 'static, L: EncodeAs<T> + 'static> Encode for LaidValue<T, L> {
    type Value = T;
    type Ready = T;

    fn ready(value: T) -> T {
        value
    }

    fn encode(value: &T) -> Result<Rope, String> {
        encode(&LaidRef::<T, L>::new(value)).map(Rope::from)
    }
}

impl<T: Serialize + Send + 'static> Encode for Value<T> {
    type Value = T;
    type Ready = T;

    fn ready(value: T) -> T {
        value
    }

    fn encode(value: &T) -> Result<Rope, String> {
        encode(value).map(Rope::from)
    }
}

impl<T: Into<Bytes> + Send + 'static> Encode for Binary<T> {
    type Value = T;
    type Ready = Blob;

    fn ready(value: T) -> Blob {
        Blob::new(value)
    }

    fn encode(value: &Blob) -> Result<Rope, String> {
        encode_rope(value)
    }
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

impl<T, L> fmt::Debug for LaidValue<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaidValue")
    }
}

impl<T> fmt::Debug for Binary<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binary")
    }
}

/// The fault type of a stream without typed faults. It has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFault {}

impl fmt::Display for NoFault {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl error::Error for NoFault {}

impl Serialize for NoFault {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for NoFault {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a typed fault came, which the contract does not know"))
    }
}

impl From<CallError<NoFault>> for Status {
    fn from(error: CallError<NoFault>) -> Self {
        error.map_fault(|none| -> Self { match none {} }).collapse()
    }
}
