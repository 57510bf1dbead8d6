//! Payloads: encoded outside any lock into a buffer of the thread, and the limits for decoding them.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use crate::{
    config::Config,
    wire::{self, ScanLimits},
};

thread_local! {
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A new block of the thread's buffer, shared by the payloads that fit into it.
const BLOCK: usize = 16 * 1024;

/// The MessagePack of a value. The error says what serde complained about.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, String> {
    // Taken out, not borrowed: `serialize` is foreign code and may come back here.
    let mut buffer = BUFFER.take();
    if buffer.capacity() < 512 {
        buffer.reserve(BLOCK);
    }
    let result = wire::encode(&mut buffer, value).map(|()| buffer.split().freeze()).map_err(|error| error.to_string());
    buffer.clear();
    BUFFER.set(buffer);
    result
}

/// What a payload from the peer may hold.
pub(crate) fn scan_limits(config: &Config) -> ScanLimits {
    ScanLimits {
        nesting: config.max_payload_nesting,
        values: config.max_payload_values,
        containers: config.max_payload_containers,
    }
}
