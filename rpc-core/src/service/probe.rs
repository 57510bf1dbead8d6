//! `Probe`: finds out whether serde knows a type, so that one error says what the type lacks.
//!
//! Generated code asks before it uses a type. Methods of [`Probe`] go before those of [`Lacks`], but only for a type
//! that serde knows. For any other type `Lacks::check` is called, whose one bound nothing fulfils. What follows takes
//! every type, so that nothing else is reported.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Arguments;
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    peer::{DecodeFault, Output, Single, StreamReaders, Value},
    status::Status,
    wire::{Nil, ScanLimits, WireError},
};

/// Implemented by no type that is asked for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent and received",
    label = "serde does not know this type, or a type within it",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` on the type"
)]
pub trait Travels {}

impl Travels for Nil {}

/// Asks whether serde encodes and decodes a type.
pub struct Probe<T>(PhantomData<fn() -> T>);

/// The answer for a type that serde encodes and decodes.
pub struct Known<T>(PhantomData<fn() -> T>);

/// The answer for any other type, after an error.
pub struct Unknown<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// The question.
    pub const NEW: Self = Self(PhantomData);
}

impl<T: Serialize + DeserializeOwned> Probe<T> {
    /// The answer.
    #[inline(always)]
    pub fn check(self) -> Known<T> {
        Known(PhantomData)
    }
}

/// The answer where [`Probe::check`] is missing.
pub trait Lacks<T>: Sized {
    /// Does not compile.
    fn check(self) -> Unknown<T>
    where
        T: Travels,
    {
        Unknown(PhantomData)
    }
}

impl<T> Lacks<T> for Probe<T> {}

impl<T: DeserializeOwned> Known<T> {
    /// A value to encode.
    #[inline(always)]
    pub fn sent<R>(self, value: R) -> R {
        value
    }

    /// A result whose success is of this type.
    #[inline(always)]
    pub fn succeeded<R, E>(self, result: Result<R, E>) -> Result<R, E> {
        result
    }

    /// A result whose fault is of this type.
    #[inline(always)]
    pub fn failed<R, E>(self, result: Result<R, E>) -> Result<R, E> {
        result
    }

    /// As [`Self::failed`], for a fault beside a status.
    #[inline(always)]
    pub fn failed_call<R, E>(self, result: Result<R, E>) -> Result<R, E> {
        result
    }

    /// The next argument.
    #[inline(always)]
    pub fn read(self, arguments: &mut Arguments<'_>, name: &'static str) -> Result<T, Status> {
        arguments.next(name)
    }

    /// The next argument, or the default of its type if the caller's version of the contract lacks the argument.
    #[inline(always)]
    pub fn read_or_default(self, arguments: &mut Arguments<'_>, name: &'static str) -> Result<T, Status>
    where
        T: Default,
    {
        arguments.next_or_default(name)
    }

    /// How a result is decoded.
    #[inline(always)]
    pub fn output(self) -> PhantomData<fn() -> Single<Value<T>>> {
        PhantomData
    }

    /// How a fault is decoded.
    #[inline(always)]
    pub fn fault(self) -> PhantomData<fn() -> Value<T>> {
        PhantomData
    }
}

impl<T> Unknown<T> {
    /// As [`Known::sent`].
    pub fn sent<R>(self, _: R) -> Nil {
        Nil
    }

    /// As [`Known::succeeded`].
    pub fn succeeded<R, E>(self, result: Result<R, E>) -> Result<Nil, E> {
        result.map(|_| Nil)
    }

    /// As [`Known::failed`].
    pub fn failed<R, E>(self, result: Result<R, E>) -> Result<R, Nil> {
        result.map_err(|_| Nil)
    }

    /// As [`Known::failed_call`].
    pub fn failed_call<R, E>(self, result: Result<R, E>) -> Result<R, CallError<Nil>> {
        result.map_err(|_| CallError::Fault(Nil))
    }

    /// As [`Known::read`].
    pub fn read(self, _: &mut Arguments<'_>, _: &'static str) -> Result<T, Status> {
        Err(never())
    }

    /// As [`Known::read_or_default`].
    pub fn read_or_default(self, _: &mut Arguments<'_>, _: &'static str) -> Result<T, Status> {
        Err(never())
    }

    /// As [`Known::output`].
    pub fn output(self) -> PhantomData<fn() -> Self> {
        PhantomData
    }

    /// As [`Known::fault`].
    pub fn fault(self) -> PhantomData<fn() -> Self> {
        PhantomData
    }
}

impl<T: Send + 'static> Output for Unknown<T> {
    type Value = T;

    fn decode(_: Bytes, _: &ScanLimits, _: &mut StreamReaders, _: &'static MethodDescriptor) -> Result<T, WireError> {
        Err(WireError::new("serde does not know the type"))
    }
}

impl<T> DecodeFault for Unknown<T> {
    type Fault = T;

    fn decode_fault(_: &Bytes, _: &ScanLimits) -> Result<T, WireError> {
        Err(WireError::new("serde does not know the type"))
    }
}

/// Such code does not compile, so it never runs.
fn never() -> Status {
    Status::internal("serde does not know the type")
}

impl<T> fmt::Debug for Probe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl<T> fmt::Debug for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl<T> fmt::Debug for Unknown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unknown")
    }
}
