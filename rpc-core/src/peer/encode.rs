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

/// The limits on a payload from the peer.
pub(crate) fn scan_limits(config: &Config) -> ScanLimits {
    ScanLimits {
        nesting: config.max_payload_nesting(),
        values: config.max_payload_values(),
        containers: config.max_payload_containers(),
    }
}
