//! `Call`: a call that a fake peer has received.

use std::time::Duration;

use rpc_core::__internals::wire::{ScanLimits, decode};
use serde::de::DeserializeOwned;

use super::frame::{Frame, Payload};

/// A call that a [`FakePeer`](crate::FakePeer) has received, and may [reply](crate::FakePeer::reply) to.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub(super) id: Option<u64>,
    pub(super) method: String,
    pub(super) frame: Frame,
}

impl Call {
    /// The number of the call, which its answer names; `None` for a one-way call.
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// The arguments, as a tuple with an element for each: `call.arguments::<(String, u32)>()`.
    ///
    /// # Panics
    ///
    /// If the arguments are of other types, or too long for their frame: then they follow in chunks.
    #[track_caller]
    pub fn arguments<T: DeserializeOwned>(&self) -> T {
        let (Frame::Request { payload, .. } | Frame::Notify { payload, .. }) = &self.frame else {
            unreachable!("a call is a Request or a Notify")
        };
        decoded(&format!("the arguments of {}", self.method), payload)
    }

    /// The first value of the call's metadata under a key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let (Frame::Request { metadata, .. } | Frame::Notify { metadata, .. }) = &self.frame else { return None };
        metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The time that was left until the call's deadline when it was sent.
    pub fn timeout(&self) -> Option<Duration> {
        match self.frame {
            Frame::Request { deadline_ms, .. } => deadline_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    /// The frame that made the call.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }
}

/// A value out of a payload that must hold it.
#[track_caller]
pub(super) fn decoded<T: DeserializeOwned>(what: &str, payload: &Payload) -> T {
    let bytes = match payload {
        Payload::Inline(bytes) => bytes,
        Payload::Announced { total, .. } => panic!("{what}: {total} bytes, which follow in frames of the kind Chunk"),
    };
    match decode(bytes, &ScanLimits::default()) {
        Ok(value) => value,
        Err(error) => panic!(
            "{what} cannot be read as `{}`: {error}; on the wire: {}",
            std::any::type_name::<T>(),
            crate::travel::wire_text(bytes)
        ),
    }
}
