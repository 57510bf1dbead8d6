//! Encoding payloads, outside of any lock and into a buffer of the thread, and the limits for decoding them.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use crate::{
    config::Config,
    wire::{self, EncodeError, Rope, ScanLimits},
};

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Bytes of one block of the thread's buffer. Payloads that fit into a block share it.
const BLOCK: usize = 16 * 1024;
/// Blobs shorter than this are copied, because a separate piece of a rope costs as much as the copy.
const MIN_PIECE: usize = 4096;

/// Encodes a value as MessagePack. The error is serde's message.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, String> {
    with_buffer(|buffer| wire::encode(buffer, value).map(|()| buffer.split().freeze()))
}

/// As [`encode`], without copying large blobs.
#[inline]
pub(crate) fn encode_rope<T: Serialize + ?Sized>(value: &T) -> Result<Rope, String> {
    with_buffer(|buffer| wire::encode_rope(buffer, value, MIN_PIECE))
}

#[inline]
fn with_buffer<R>(encode: impl FnOnce(&mut BytesMut) -> Result<R, EncodeError>) -> Result<R, String> {
    let encoded = BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => {
            // A panic in `serialize` may have left bytes in the buffer.
            buffer.clear();
            if buffer.capacity() < 512 {
                buffer.reserve(BLOCK);
            }
            encode(&mut buffer)
        }
        // The buffer is in use: `serialize` is users' code, and has called this function again.
        Err(_) => encode(&mut BytesMut::new()),
    });
    encoded.map_err(|error| error.to_string())
}

/// The limits on a payload from the peer.
pub(crate) fn scan_limits(config: &Config) -> ScanLimits {
    ScanLimits {
        nesting: config.max_payload_nesting(),
        values: config.max_payload_values(),
        containers: config.max_payload_containers(),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use serde::{Serializer, ser::SerializeTuple};

    use super::*;

    /// Encodes another value while it is being encoded.
    struct Nested;

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element(&1)?;
            assert_eq!(encode(&2).as_deref(), Ok(&[2_u8][..]));
            tuple.serialize_element(&3)?;
            tuple.end()
        }
    }

    /// Panics when a part of it has been written.
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_tuple(2)?.serialize_element(&1)?;
            panic!("as a user's type may");
        }
    }

    #[test]
    fn a_value_may_encode_another_meanwhile() {
        assert_eq!(encode(&Nested).as_deref(), Ok(&[0x92_u8, 1, 3][..]));
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        assert!(catch_unwind(|| encode(&Broken)).is_err());
        assert_eq!(encode(&4).as_deref(), Ok(&[4_u8][..]));
    }
}
