//! The buffer of a thread, into which values are encoded, outside of any lock.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::{EncodeError, payload::encode};

thread_local! {
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Bytes of one block of the buffer. Payloads that fit into a block share it.
const BLOCK: usize = 16 * 1024;
/// With less room than this, the buffer gets another block.
const LEAST: usize = 512;

/// Takes the buffer, which is empty and has some room. Who takes it while it is in use gets another one: `serialize` is
/// users' code, and may encode as well.
pub(super) fn take() -> BytesMut {
    // A thread that is ending has no thread-locals any more.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.capacity() < LEAST {
        buffer.reserve(BLOCK);
    }
    buffer
}

/// Gives back what is left of the buffer.
pub(super) fn give(buffer: BytesMut) {
    let _ = BUFFER.try_with(|place| place.set(buffer));
}

/// Encodes a value as MessagePack, in one piece.
pub fn encode_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, EncodeError> {
    let mut buffer = take();
    let encoded = encode(&mut buffer, value).map(|()| buffer.split().freeze());
    give(buffer);
    encoded
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
            assert_eq!(encode_bytes(&2).as_deref(), Ok(&[2_u8][..]));
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
        assert_eq!(encode_bytes(&Nested).as_deref(), Ok(&[0x92_u8, 1, 3][..]));
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        assert!(catch_unwind(|| encode_bytes(&Broken)).is_err());
        assert_eq!(encode_bytes(&4).as_deref(), Ok(&[4_u8][..]));
    }
}
