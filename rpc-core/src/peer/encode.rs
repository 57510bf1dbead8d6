//! Encoding payloads, outside of any lock and into a buffer of the thread, and the limits for decoding them.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use crate::{
    config::Config,
    wire::{self, Buffers, Rope, ScanLimits},
};

thread_local! {
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Bytes of one block of the thread's buffer. Payloads that fit into a block share it.
const BLOCK: usize = 16 * 1024;
/// Blobs shorter than this are copied, because a separate piece of a rope costs as much as the copy.
const MIN_PIECE: usize = 4096;

/// The buffer of the thread. Who takes it while it is in use gets another one: `serialize` is users' code, and may
/// encode as well.
struct ThreadBuffer;

impl Buffers for ThreadBuffer {
    fn take() -> BytesMut {
        // A thread that is ending has no thread-locals any more.
        let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        if buffer.capacity() < 512 {
            buffer.reserve(BLOCK);
        }
        buffer
    }

    fn give(buffer: BytesMut) {
        let _ = BUFFER.try_with(|place| place.set(buffer));
    }
}

/// Encodes a value as MessagePack. The error is serde's message.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, String> {
    let mut buffer = ThreadBuffer::take();
    let encoded = wire::encode(&mut buffer, value).map(|()| buffer.split().freeze());
    ThreadBuffer::give(buffer);
    encoded.map_err(|error| error.to_string())
}

/// As [`encode`], without copying large blobs.
#[inline]
pub(crate) fn encode_rope<T: Serialize + ?Sized>(value: &T) -> Result<Rope, String> {
    wire::encode_rope::<ThreadBuffer, T>(value, MIN_PIECE).map_err(|error| error.to_string())
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
