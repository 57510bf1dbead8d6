//! `OverflowKey`: what tells the calls of a method apart that replace each other.

use bytes::Bytes;
use serde::Serialize;

use super::encode::encode;

/// The key of a call whose policy is [`Overflow::Conflate`](crate::Overflow::Conflate): the encoded value of the
/// expression that the method's `key` names.
#[derive(Clone, Debug)]
pub struct OverflowKey(Result<Bytes, String>);

impl OverflowKey {
    /// Encodes a key.
    pub fn of<K: Serialize + ?Sized>(key: &K) -> Self {
        Self(encode(key))
    }

    /// The encoded key. The error says why it does not serialize.
    pub(crate) fn into_bytes(self) -> Result<Bytes, String> {
        self.0
    }
}
