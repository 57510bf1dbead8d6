//! `Arguments`: the arguments of a call, one after another.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    contract::MethodDescriptor,
    peer::{Decode, StreamReaders, Streaming, beyond_limit},
    status::Status,
    wire::{ArgumentReader, DecodeAs, Laid, ScanLimits, WireError},
};

/// The arguments of a call, read one after another. They borrow from the received packet.
#[derive(Debug)]
pub struct Arguments<'a> {
    reader: ArgumentReader<'a>,
    method: &'static MethodDescriptor,
    /// The streams among the arguments; `None` if there are none.
    streams: Option<&'a Mutex<StreamReaders>>,
}

impl<'a> Arguments<'a> {
    #[inline]
    pub(crate) fn new(
        payload: &'a Bytes,
        limits: &ScanLimits,
        method: &'static MethodDescriptor,
        streams: Option<&'a Mutex<StreamReaders>>,
    ) -> Result<Self, Status> {
        match ArgumentReader::new(payload, limits) {
            Ok(reader) => Ok(Self { reader, method, streams }),
            Err(error) if error.limit().is_some() => {
                let what = format!("the arguments of {method}");
                Err(beyond_limit(&what, "the other side", &error).not_executed())
            }
            Err(error) => Err(refuse(format!(
                "the arguments of {}.{} are not a valid payload: {error}",
                method.contract(),
                method.name()
            ))),
        }
    }

    /// The next argument.
    pub fn next<T: Deserialize<'a>>(&mut self, name: &'static str) -> Result<T, Status> {
        let value = self.reader.next_value();
        self.require(name, value)
    }

    /// The next argument, or the default of its type if the caller's version of the contract lacks the argument.
    pub fn next_or_default<T: Deserialize<'a> + Default>(&mut self, name: &'static str) -> Result<T, Status> {
        let value = self.reader.next_value();
        Ok(self.check(name, value)?.unwrap_or_default())
    }

    /// The next argument, which has binary data in it.
    pub fn laid<T, L: DecodeAs<'a, T>>(&mut self, name: &'static str) -> Result<T, Status> {
        self.next::<Laid<T, L>>(name).map(Laid::into_inner)
    }

    /// As [`Self::laid`]; the default of its type if the caller's version of the contract lacks the argument.
    pub fn laid_or_default<T: Default, L: DecodeAs<'a, T>>(&mut self, name: &'static str) -> Result<T, Status> {
        let value = self.reader.next_value::<Laid<T, L>>();
        Ok(self.check(name, value)?.map(Laid::into_inner).unwrap_or_default())
    }

    /// The next argument, which is bytes.
    pub fn binary(&mut self, name: &'static str) -> Result<&'a [u8], Status> {
        let value = self.reader.next_binary();
        self.require(name, value)
    }

    /// The next argument, which is bytes; empty if the caller's version of the contract lacks the argument.
    pub fn binary_or_default(&mut self, name: &'static str) -> Result<&'a [u8], Status> {
        let value = self.reader.next_binary();
        Ok(self.check(name, value)?.unwrap_or_default())
    }

    /// The next argument, which is bytes, as a slice of the received packet.
    pub fn bytes(&mut self, name: &'static str) -> Result<Bytes, Status> {
        let value = self.reader.next_bytes();
        self.require(name, value)
    }

    /// The next argument, which is bytes; empty if the caller's version of the contract lacks the argument.
    pub fn bytes_or_default(&mut self, name: &'static str) -> Result<Bytes, Status> {
        let value = self.reader.next_bytes();
        Ok(self.check(name, value)?.unwrap_or_default())
    }

    /// The next argument, which is a stream.
    pub fn streaming<D, E>(&mut self, name: &'static str) -> Result<Streaming<D::Value, E>, Status>
    where
        D: Decode,
        E: DeserializeOwned,
    {
        let stands = self.reader.next_value::<()>();
        self.require(name, stands)?;
        let reader = self.streams.and_then(|streams| streams.lock().unwrap_or_else(PoisonError::into_inner).take());
        let reader = reader.ok_or_else(|| {
            let method = self.method;
            refuse(format!("the argument `{name}` of {method} is a stream, and none came"))
        })?;
        Ok(Streaming::remote::<D>(reader, self.method))
    }

    /// The next argument, which is a stream; an empty stream if the caller's version of the contract lacks the
    /// argument.
    pub fn streaming_or_default<D, E>(&mut self, name: &'static str) -> Result<Streaming<D::Value, E>, Status>
    where
        D: Decode,
        E: DeserializeOwned,
    {
        if self.reader.is_at_end() { Ok(Streaming::empty()) } else { self.streaming::<D, E>(name) }
    }

    /// Ends the reading. This takes the reader by value, so that nothing of it is left when the method is awaited.
    pub fn end(self) -> Result<(), Status> {
        let Self { reader, method, .. } = self;
        reader.end().map_err(|error| refuse(format!("an argument of {method} does not fit its type: {error}")))
    }

    fn require<T>(&self, name: &str, value: Result<Option<T>, WireError>) -> Result<T, Status> {
        self.check(name, value)?.ok_or_else(|| {
            refuse(format!(
                "the argument `{name}` of {}.{} is missing: the caller's contract is older; \
                 mark the argument #[rpc(default)] to take such calls",
                self.method.contract(),
                self.method.name()
            ))
        })
    }

    fn check<T>(&self, name: &str, value: Result<Option<T>, WireError>) -> Result<Option<T>, Status> {
        value.map_err(|error| {
            refuse(format!(
                "the argument `{name}` of {}.{} does not fit its type: {error}",
                self.method.contract(),
                self.method.name()
            ))
        })
    }
}

/// The status of a call that is refused because of its arguments, before the method has started.
fn refuse(message: String) -> Status {
    Status::invalid_argument(message).not_executed()
}
