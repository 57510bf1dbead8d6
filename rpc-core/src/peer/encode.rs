//! Encoding payloads, outside of any lock, and the limits for decoding them.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    config::Config,
    wire::{self, Rope, ScanLimits},
};

/// Encodes a value as MessagePack. The error is serde's message.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, String> {
    wire::encode_bytes(value).map_err(|error| error.to_string())
}

/// As [`encode`], without copying large blobs.
#[inline]
pub(crate) fn encode_rope<T: Serialize + ?Sized>(value: &T) -> Result<Rope, String> {
    wire::encode_rope(value).map_err(|error| error.to_string())
}

/// The arguments of a call: values that can be encoded, or what was encoded before.
pub(crate) trait Arguments: Send {
    /// The encoded arguments. The error is serde's message.
    fn to_rope(&self) -> Result<Rope, String>;
}

impl<A: Serialize + Send> Arguments for A {
    #[inline]
    fn to_rope(&self) -> Result<Rope, String> {
        encode_rope(self)
    }
}

/// Arguments that were encoded once, for many calls.
pub(crate) struct Encoded(pub(crate) Rope);

impl Arguments for Encoded {
    fn to_rope(&self) -> Result<Rope, String> {
        Ok(self.0.clone())
    }
}

/// The limits on a payload from the peer.
pub(crate) fn scan_limits(config: &Config) -> ScanLimits {
    ScanLimits {
        nesting: config.max_payload_nesting(),
        values: config.max_payload_values(),
        containers: config.max_payload_containers(),
    }
}
