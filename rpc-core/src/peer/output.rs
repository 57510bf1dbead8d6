//! How a stub turns an encoded result into a value.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::wire::{self, ScanLimits, WireError};

/// How a result is decoded.
pub trait Output: Send + 'static {
    /// What comes out.
    type Value: Send;

    /// Decodes a result.
    fn decode(bytes: Bytes, limits: &ScanLimits) -> Result<Self::Value, WireError>;
}

/// A value that serde decodes.
pub struct Value<T>(PhantomData<fn() -> T>);

/// Bytes that travel as they are: a `Vec<u8>` or a `Bytes`.
pub struct Binary<T>(PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Send + 'static> Output for Value<T> {
    type Value = T;

    fn decode(bytes: Bytes, limits: &ScanLimits) -> Result<T, WireError> {
        wire::decode(&bytes, limits)
    }
}

impl<T: From<Bytes> + Send + 'static> Output for Binary<T> {
    type Value = T;

    fn decode(bytes: Bytes, _: &ScanLimits) -> Result<T, WireError> {
        wire::decode_bytes(&bytes).map(T::from)
    }
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

impl<T> fmt::Debug for Binary<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binary")
    }
}

/// The two sides of a result type that is known by an alias only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result`",
    note = "a method that returns a type named `Result` with one argument, or is marked `#[rpc(fallible)]`, must return an alias of `core::result::Result`"
)]
pub trait Fallible {
    /// The success.
    type Ok;
    /// The typed fault.
    type Err;

    /// The result itself.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Self {
        self
    }
}
