//! `Rope`: encoded bytes in one or more pieces, so that a large [`Blob`] is not copied.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io, mem,
};

use bytes::{Bytes, BytesMut};
use serde::{Serialize, Serializer};

use super::{EncodeError, buffer, payload::serialize};

thread_local! {
    /// The bytes that a [`Blob`] is handing to the serializer as a slice.
    static LENT: RefCell<Option<Bytes>> = const { RefCell::new(None) };
    /// The number of [`DeferredDrops`] of this thread.
    static DEFERRING: Cell<u32> = const { Cell::new(0) };
    /// The pieces that the guards keep, and whether there are any.
    static DEFERRED: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
    static HAS_DEFERRED: Cell<bool> = const { Cell::new(false) };
}

/// While this guard exists, its thread keeps the pieces of dropped ropes, and drops them with the last guard. Bytes may
/// have an owner that a user has written (`Bytes::from_owner`), and its drop must not run under a lock.
#[derive(Debug)]
pub struct DeferredDrops(());

impl DeferredDrops {
    /// Makes this thread keep pieces from now on.
    #[inline]
    #[expect(clippy::new_without_default, reason = "the guard has an effect")]
    pub fn new() -> Self {
        DEFERRING.set(DEFERRING.get() + 1);
        Self(())
    }
}

impl Drop for DeferredDrops {
    #[inline]
    fn drop(&mut self) {
        let guards = DEFERRING.get() - 1;
        DEFERRING.set(guards);
        // A drop may create a guard again.
        if guards == 0 && HAS_DEFERRED.replace(false) {
            drop_deferred();
        }
    }
}

#[cold]
fn drop_deferred() {
    // A thread that is ending has no thread-locals any more.
    drop(DEFERRED.try_with(RefCell::take));
}

/// [`Blob`]s shorter than this are copied, because a piece of its own costs as much as the copy.
pub(crate) const MIN_PIECE: usize = 4 * 1024;
/// The most bytes that a rope holds in itself: a rope takes five words, as it would with one byte.
pub(super) const SHORT: usize = 38;

/// Bytes in one or more pieces.
#[derive(Clone, Debug)]
pub struct Rope(Pieces);

#[derive(Clone, Debug)]
enum Pieces {
    Short(Short),
    One(Bytes),
    /// More than one piece, none of which is empty.
    Many(Box<Parts>),
}

/// A few bytes, which need no memory of their own: the first `len` of these.
#[derive(Clone, Debug)]
struct Short {
    len: u8,
    bytes: [u8; SHORT],
}

impl Short {
    const EMPTY: Self = Self { len: 0, bytes: [0; SHORT] };

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Appends bytes; false if there is no place for them.
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) -> bool {
        let len = usize::from(self.len);
        let Some(place) = self.bytes.get_mut(len..).and_then(|free| free.get_mut(..bytes.len())) else {
            return false;
        };
        // Markers are single bytes, and a copy of any length costs more.
        if let ([place], [byte]) = (&mut *place, bytes) {
            *place = *byte;
        } else {
            place.copy_from_slice(bytes);
        }
        // The sum is at most SHORT.
        self.len = u8::try_from(len + bytes.len()).unwrap_or(u8::MAX);
        true
    }
}

/// The pieces of a rope.
#[derive(Clone, Debug, Default)]
struct Parts(VecDeque<Bytes>);

impl Drop for Parts {
    fn drop(&mut self) {
        if DEFERRING.get() > 0 {
            let _ = DEFERRED.try_with(|kept| kept.borrow_mut().extend(self.0.drain(..)));
            HAS_DEFERRED.set(true);
        }
    }
}

/// Bytes that are encoded as MessagePack `bin`, without copying them if they are large.
#[derive(Clone, Debug)]
pub struct Blob(Bytes);

impl Rope {
    /// The total number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Pieces::Short(short) => usize::from(short.len),
            Pieces::One(bytes) => bytes.len(),
            Pieces::Many(parts) => parts.0.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether the rope has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, unless they are in several pieces.
    #[cfg(test)]
    fn as_slice(&self) -> Option<&[u8]> {
        match &self.0 {
            Pieces::Short(short) => Some(short.as_slice()),
            Pieces::One(bytes) => Some(bytes),
            Pieces::Many(_) => None,
        }
    }

    /// The bytes with their number, if the rope holds them in itself. What follows them means nothing.
    #[inline]
    pub(super) fn as_short(&self) -> Option<(&[u8; SHORT], u8)> {
        match &self.0 {
            Pieces::Short(short) => Some((&short.bytes, short.len)),
            Pieces::One(_) | Pieces::Many(_) => None,
        }
    }

    /// The bytes in one piece. Copies them if they are in several, or few.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Pieces::Short(short) => Bytes::copy_from_slice(short.as_slice()),
            Pieces::One(bytes) => bytes,
            Pieces::Many(mut parts) => Vec::from(mem::take(&mut parts.0)).concat().into(),
        }
    }

    /// The bytes as [`Self::into_bytes`] gives them, unless they are in several pieces.
    #[inline]
    pub fn into_one(self) -> Result<Bytes, Self> {
        match self.0 {
            Pieces::Short(_) | Pieces::One(_) => Ok(self.into_bytes()),
            many @ Pieces::Many(_) => Err(Self(many)),
        }
    }

    /// Removes and returns the first `len` bytes, or all if there are fewer.
    #[must_use = "these bytes are gone from the rope"]
    pub fn split_to(&mut self, len: usize) -> Self {
        match &mut self.0 {
            Pieces::Short(short) => {
                let mut rest = Bytes::copy_from_slice(short.as_slice());
                let first = rest.split_to(len.min(rest.len()));
                self.0 = Pieces::One(rest);
                first.into()
            }
            Pieces::One(bytes) => bytes.split_to(len.min(bytes.len())).into(),
            Pieces::Many(parts) => {
                let (pieces, mut taken, mut left) = (&mut parts.0, VecDeque::new(), len);
                while let Some(piece) = pieces.front_mut().filter(|_| left > 0) {
                    let part = piece.split_to(left.min(piece.len()));
                    left -= part.len();
                    taken.push_back(part);
                    if piece.is_empty() {
                        pieces.pop_front();
                    }
                }
                Self(Pieces::Many(Box::new(Parts(taken))))
            }
        }
    }

    /// Calls `f` with the pieces, in order.
    #[inline]
    pub fn each_piece(&self, mut f: impl FnMut(&[u8])) {
        match &self.0 {
            Pieces::Short(short) => f(short.as_slice()),
            Pieces::One(bytes) => f(bytes),
            Pieces::Many(parts) => parts.0.iter().for_each(|piece| f(piece)),
        }
    }
}

impl Default for Rope {
    fn default() -> Self {
        Self(Pieces::Short(Short::EMPTY))
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        Self(Pieces::One(bytes))
    }
}

impl From<Vec<u8>> for Rope {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// Ropes are equal if their bytes are, however these are cut into pieces.
impl PartialEq for Rope {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_bytes() == other.clone().into_bytes()
    }
}

impl Eq for Rope {}

impl Blob {
    /// Makes a blob of bytes that are shared or given away.
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

/// Encodes a value as MessagePack. Its [`Blob`]s of 4 KiB or more are not copied. A few bytes lie in the rope itself;
/// more of them lie in the thread's buffer.
#[inline]
pub fn encode_rope<T: Serialize + ?Sized>(value: &T) -> Result<Rope, EncodeError> {
    encode_apart(value, MIN_PIECE)
}

/// As [`encode_rope`], with blobs of `apart` bytes or more in pieces of their own.
#[inline]
fn encode_apart<T: Serialize + ?Sized>(value: &T, apart: usize) -> Result<Rope, EncodeError> {
    let mut writer = Writer { short: Short::EMPTY, buffer: None, before: None, apart };
    let result = serialize(&mut writer, value);
    let Writer { short, buffer, before, .. } = writer;
    let Some(mut buffer) = buffer else {
        result?;
        return Ok(Rope(Pieces::Short(short)));
    };
    let last = buffer.split().freeze();
    buffer::give(buffer);
    result?;
    let Some(mut pieces) = before else { return Ok(last.into()) };
    push(&mut pieces.0, last);
    Ok(Rope(Pieces::Many(pieces)))
}

fn push(pieces: &mut VecDeque<Bytes>, piece: Bytes) {
    if !piece.is_empty() {
        pieces.push_back(piece);
    }
}

/// The writer that serde writes to.
struct Writer {
    /// All that was written, as long as there is no buffer.
    short: Short,
    buffer: Option<BytesMut>,
    /// The pieces before the buffer's content. Most values have none.
    before: Option<Box<Parts>>,
    apart: usize,
}

impl Writer {
    /// The buffer, with all that was written since the last piece.
    #[inline]
    fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.get_or_insert_with(|| {
            let mut buffer = buffer::take();
            buffer.extend_from_slice(self.short.as_slice());
            buffer
        })
    }

    /// Appends bytes for which there is no short place, or which may be a piece of their own.
    #[inline(never)]
    fn append(&mut self, bytes: &[u8]) {
        if bytes.len() < self.apart || !self.take_lent(bytes) {
            self.buffer().extend_from_slice(bytes);
        }
    }

    /// Takes the bytes of a [`Blob`] as a piece, if `bytes` are the slice that is being lent. An encoding further up
    /// this thread's stack may be lending other bytes.
    #[cold]
    fn take_lent(&mut self, bytes: &[u8]) -> bool {
        let same = |lent: &mut Bytes| std::ptr::eq(&raw const lent[..], &raw const bytes[..]);
        let Some(lent) = LENT.with_borrow_mut(|lent| lent.take_if(same)) else { return false };
        let written = self.buffer().split().freeze();
        let pieces = &mut self.before.get_or_insert_default().0;
        push(pieces, written);
        push(pieces, lent);
        true
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.is_some() || bytes.len() >= self.apart || !self.short.push(bytes) {
            self.append(bytes);
        }
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
    fn large_blobs_are_not_copied_and_read_as_if_they_were() {
        let (small, large) = (Bytes::from(vec![1; 99]), Bytes::from(vec![2; 100]));
        let blob = |bytes: &Bytes| Blob::new(bytes.clone());
        let value = ("before", blob(&large), 7, blob(&small), blob(&large), "after");
        let rope = encode_apart(&value, 100).unwrap();
        let copied = ("before", Bin(&large), 7, Bin(&small), Bin(&large), "after");
        assert_eq!(rope.clone().into_bytes(), flat(&copied));
        let Pieces::Many(parts) = rope.0 else { panic!("in one piece") };
        let pieces = &parts.0;
        assert_eq!(pieces.len(), 5);
        assert_eq!((pieces[1].as_ptr(), pieces[3].as_ptr()), (large.as_ptr(), large.as_ptr()));
    }

    #[test]
    fn values_around_the_length_that_a_rope_holds_are_whole() {
        assert!(size_of::<Rope>() <= 5 * size_of::<usize>(), "a rope takes five words");
        for len in 0..=2 * SHORT {
            for count in [1, 2] {
                let value = vec!["x".repeat(len); count];
                let rope = encode_apart(&value, usize::MAX).unwrap();
                let bytes = flat(&value);
                assert_eq!(matches!(rope.0, Pieces::Short(_)), bytes.len() <= SHORT, "{} bytes", bytes.len());
                assert_eq!((rope.len(), rope.as_slice()), (bytes.len(), Some(&bytes[..])));
                assert_eq!(rope.into_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_rope_splits_at_any_place() {
        let value = ("before", Blob::new(vec![3; 50]), "after");
        let rope = encode_apart(&value, 1).unwrap();
        let whole = rope.clone().into_bytes();
        for step in 1..=whole.len() {
            let (mut rope, mut out) = (rope.clone(), Vec::new());
            while !rope.is_empty() {
                let piece = rope.split_to(step);
                assert_eq!(piece.len(), step.min(whole.len() - out.len()));
                out.extend(piece.into_bytes());
            }
            assert_eq!(out, whole, "in steps of {step}");
            assert!(rope.split_to(1).is_empty());
        }
    }

    #[test]
    fn slices_and_empty_blobs_are_copied() {
        let slice = [4; 100];
        let rope = encode_apart(&(Bin(&slice[..]), Blob::new(Bytes::new())), 0).unwrap();
        assert_eq!(rope.clone().into_bytes(), flat(&(Bin(&slice[..]), Bin([]))));
    }

    /// Encodes a blob while another blob is being lent.
    #[derive(Debug)]
    struct Nested(Bytes);

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = encode_apart(&Blob::new(self.0.clone()), 1).unwrap();
            assert_eq!(inner.into_bytes(), flat(&Bin(&self.0)));
            Blob::new(self.0.clone()).serialize(serializer)
        }
    }

    #[test]
    fn an_encoding_within_an_encoding_lends_its_own() {
        let bytes = Bytes::from(vec![5; 1000]);
        let rope = encode_apart(&Nested(bytes.clone()), 1).unwrap();
        assert_eq!(rope.into_bytes(), flat(&Bin(&bytes)));
        assert!(LENT.with_borrow(Option::is_none), "nothing is lent any more");
    }
}
