//! `Output`: how a stub decodes a result.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::streams::{Decode, StreamReaders, Streaming, Value};
use crate::{
    contract::MethodDescriptor,
    wire::{self, ScanLimits, WireError},
};

/// Decodes a result.
pub trait Output: Send + 'static {
    /// The decoded type.
    type Value: Send;

    /// Decodes a result. `streams` are the streams that came with it.
    fn decode(
        bytes: Bytes,
        limits: &ScanLimits,
        streams: &mut StreamReaders,
        method: &'static MethodDescriptor,
    ) -> Result<Self::Value, WireError>;
}

/// Decodes a typed fault.
pub trait DecodeFault {
    /// The decoded type.
    type Fault;

    /// Decodes a fault.
    fn decode_fault(bytes: &Bytes, limits: &ScanLimits) -> Result<Self::Fault, WireError>;
}

impl<E: DeserializeOwned> DecodeFault for Value<E> {
    type Fault = E;

    fn decode_fault(bytes: &Bytes, limits: &ScanLimits) -> Result<E, WireError> {
        wire::decode(bytes, limits)
    }
}

/// Says by its type how a result or a fault is decoded.
#[inline(always)]
pub fn decoded<D>() -> PhantomData<fn() -> D> {
    PhantomData
}

/// One value, which `D` decodes. This is a separate type, so that the compiler names the trait that a value lacks, and
/// not [`Output`].
pub struct Single<D>(PhantomData<fn() -> D>);

/// A stream. `D` decodes its items.
pub struct Streamed<D, E>(PhantomData<fn() -> (D, E)>);

impl<D: Decode> Output for Single<D> {
    type Value = D::Value;

    fn decode(
        bytes: Bytes,
        limits: &ScanLimits,
        _: &mut StreamReaders,
        _: &'static MethodDescriptor,
    ) -> Result<D::Value, WireError> {
        D::decode(bytes, limits)
    }
}

impl<D, E> Output for Streamed<D, E>
where
    D: Decode,
    E: DeserializeOwned + Send + 'static,
{
    type Value = Streaming<D::Value, E>;

    fn decode(
        _: Bytes,
        _: &ScanLimits,
        streams: &mut StreamReaders,
        method: &'static MethodDescriptor,
    ) -> Result<Self::Value, WireError> {
        let reader = streams.take().ok_or_else(|| WireError::new("a value came instead of a stream"))?;
        Ok(Streaming::remote::<D>(reader, method))
    }
}

impl<D> fmt::Debug for Single<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Single")
    }
}

impl<D, E> fmt::Debug for Streamed<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streamed")
    }
}

/// The two types in a `Result` that the macro knows only by an alias.
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
