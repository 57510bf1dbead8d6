//! `Rope`: encoded bytes in one or more pieces, so that large ones stay where they are; and `Blob`, what those are.

use std::{cell::RefCell, collections::VecDeque, io};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, Serializer};

use super::{EncodeError, payload::serialize};

thread_local! {
    /// What a [`Blob`] is about to hand to the serializer as a slice.
    static LENT: RefCell<Option<Bytes>> = const { RefCell::new(None) };
}

/// Bytes in one or more pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rope {
    first: Bytes,
    /// Mostly there are none.
    #[allow(clippy::box_collection, reason = "ropes are moved more often than they have this")]
    rest: Option<Box<VecDeque<Bytes>>>,
}

/// Bytes that travel as MessagePack `bin`, and need not be copied into what is sent.
#[derive(Clone, Debug)]
pub struct Blob(Bytes);

impl Rope {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.as_ref().map_or(0, |rest| rest.iter().map(Bytes::len).sum())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In one piece. Copies them if they are in several.
    pub fn into_bytes(mut self) -> Bytes {
        if self.rest.is_none() {
            return self.first;
        }
        let len = self.len();
        let mut all = BytesMut::with_capacity(len);
        self.move_to(&mut all, len);
        all.freeze()
    }

    /// Appends the first `len` bytes to `out`, and has the others left.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub(crate) fn move_to(&mut self, out: &mut BytesMut, mut len: usize) {
        while len > 0 {
            let now = len.min(self.first.len());
            out.extend_from_slice(&self.first[..now]);
            self.first.advance(now);
            len -= now;
            if self.first.is_empty() {
                match self.rest.as_mut().and_then(|rest| rest.pop_front()) {
                    Some(next) => self.first = next,
                    None => assert_eq!(len, 0, "a rope is shorter than what is taken from it"),
                }
            }
        }
    }

    fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.rest.get_or_insert_default().push_back(piece);
        }
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        Self { first: bytes, rest: None }
    }
}

impl Blob {
    /// Of bytes that are shared, or given away.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LENT.set(Some(self.0.clone()));
        let result = serializer.serialize_bytes(&self.0);
        LENT.take();
        result
    }
}

/// The MessagePack of a value. Its [`Blob`]s of `apart` bytes or more are not copied; the rest is taken from `buffer`, which must be empty.
pub fn encode_rope<T: Serialize + ?Sized>(buffer: &mut BytesMut, value: &T, apart: usize) -> Result<Rope, EncodeError> {
    let mut pieces = Pieces { rope: Rope::default(), buffer, apart };
    serialize(&mut pieces, value)?;
    pieces.cut();
    Ok(pieces.rope)
}

/// Where serde's side writes to.
struct Pieces<'a> {
    rope: Rope,
    buffer: &'a mut BytesMut,
    apart: usize,
}

impl Pieces<'_> {
    fn cut(&mut self) {
        let piece = self.buffer.split().freeze();
        self.rope.push(piece);
    }
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= self.apart {
            // Not what another encoding, further up this thread's stack, has lent.
            let same = |lent: &mut Bytes| std::ptr::eq(&raw const lent[..], &raw const bytes[..]);
            if let Some(lent) = LENT.with_borrow_mut(|lent| lent.take_if(same)) {
                self.cut();
                self.rope.push(lent);
                return Ok(());
            }
        }
        self.buffer.put_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Bin, encode};

    fn flat<T: Serialize>(value: &T) -> Bytes {
        let mut out = BytesMut::new();
        encode(&mut out, value).unwrap();
        out.freeze()
    }

    #[test]
    fn large_blobs_stay_where_they_are_and_all_reads_as_if_copied() {
        let (small, large) = (Bytes::from(vec![1; 99]), Bytes::from(vec![2; 100]));
        let blob = |bytes: &Bytes| Blob::new(bytes.clone());
        let value = ("before", blob(&large), 7, blob(&small), blob(&large), "after");
        let rope = encode_rope(&mut BytesMut::new(), &value, 100).unwrap();
        let copied = ("before", Bin(&large), 7, Bin(&small), Bin(&large), "after");
        assert_eq!(rope.clone().into_bytes(), flat(&copied));
        let pieces: Vec<_> =
            std::iter::once(&rope.first).chain(rope.rest.iter().flat_map(|rest| rest.iter())).collect();
        assert_eq!(pieces.len(), 5);
        assert_eq!((pieces[1].as_ptr(), pieces[3].as_ptr()), (large.as_ptr(), large.as_ptr()));
    }

    #[test]
    fn a_rope_is_taken_apart_at_any_place() {
        let value = ("before", Blob::new(vec![3; 50]), "after");
        let rope = encode_rope(&mut BytesMut::new(), &value, 1).unwrap();
        let whole = rope.clone().into_bytes();
        for step in 1..=whole.len() {
            let (mut rope, mut out) = (rope.clone(), BytesMut::new());
            while !rope.is_empty() {
                let len = step.min(rope.len());
                rope.move_to(&mut out, len);
            }
            assert_eq!(out, whole, "in steps of {step}");
        }
    }

    #[test]
    fn slices_and_empty_blobs_are_copied() {
        let slice = [4; 100];
        let rope = encode_rope(&mut BytesMut::new(), &(Bin(&slice[..]), Blob::new(Bytes::new())), 0).unwrap();
        assert_eq!(rope.clone().into_bytes(), flat(&(Bin(&slice[..]), Bin([]))));
    }

    /// Lends bytes while another blob is being lent.
    #[derive(Debug)]
    struct Nested(Bytes);

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = encode_rope(&mut BytesMut::new(), &Blob::new(self.0.clone()), 1).unwrap();
            assert_eq!(inner.into_bytes(), flat(&Bin(&self.0)));
            Blob::new(self.0.clone()).serialize(serializer)
        }
    }

    #[test]
    fn an_encoding_within_an_encoding_lends_its_own() {
        let bytes = Bytes::from(vec![5; 1000]);
        let rope = encode_rope(&mut BytesMut::new(), &Nested(bytes.clone()), 1).unwrap();
        assert_eq!(rope.into_bytes(), flat(&Bin(&bytes)));
        assert!(LENT.with_borrow(Option::is_none), "nothing is lent any more");
    }
}
