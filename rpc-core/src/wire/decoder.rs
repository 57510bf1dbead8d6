//! `Decoder`: MessagePack for serde, from bytes that the scanner has passed.

use std::fmt;

use rmp::Marker;
use serde::{
    Deserializer,
    de::{
        self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::text::shortened;

/// A value that does not fit its type.
// In a box, because each value that is read is returned in the place of one.
#[derive(Debug)]
pub(super) struct DecodeError(Box<str>);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        // serde repeats values, and a peer's may be long.
        Self(shortened(message).into())
    }
}

/// Reads one value after another.
///
/// An enum is read from its variant's name, and never from a number: a peer's number would choose a variant by its
/// place in the type.
#[derive(Debug)]
pub(super) struct Decoder<'de> {
    /// What has not been read.
    pub(super) rest: &'de [u8],
    /// Whether the next value is the key of a map that is no struct, where a number may stand for a name that serde
    /// flattens.
    is_key: bool,
}

/// The beginning of a value: all of it, but for arrays and maps.
enum Head<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    Text(&'de str),
    Binary(&'de [u8]),
    Array(usize),
    Map(usize),
}

/// What a type wants to be read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Anything,
    /// Items in a row. Binary data are bytes in a row.
    Items,
    /// Fields, which are chosen by their names.
    Fields,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, is_key: false }
    }

    #[inline]
    fn head(&mut self) -> Result<Head<'de>, DecodeError> {
        let [byte] = self.fixed()?;
        Ok(match Marker::from_u8(byte) {
            Marker::Null => Head::Nil,
            Marker::False => Head::Bool(false),
            Marker::True => Head::Bool(true),
            Marker::FixPos(value) => Head::Unsigned(u64::from(value)),
            Marker::FixNeg(value) => Head::Signed(i64::from(value)),
            Marker::U8 => Head::Unsigned(u64::from(u8::from_be_bytes(self.fixed()?))),
            Marker::U16 => Head::Unsigned(u64::from(u16::from_be_bytes(self.fixed()?))),
            Marker::U32 => Head::Unsigned(u64::from(u32::from_be_bytes(self.fixed()?))),
            Marker::U64 => Head::Unsigned(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => Head::Signed(i64::from(i8::from_be_bytes(self.fixed()?))),
            Marker::I16 => Head::Signed(i64::from(i16::from_be_bytes(self.fixed()?))),
            Marker::I32 => Head::Signed(i64::from(i32::from_be_bytes(self.fixed()?))),
            Marker::I64 => Head::Signed(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Head::Single(f32::from_be_bytes(self.fixed()?)),
            Marker::F64 => Head::Double(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(len) => Head::Text(self.text(usize::from(len))?),
            Marker::Str8 => self.length::<1>().and_then(|len| self.text(len)).map(Head::Text)?,
            Marker::Str16 => self.length::<2>().and_then(|len| self.text(len)).map(Head::Text)?,
            Marker::Str32 => self.length::<4>().and_then(|len| self.text(len)).map(Head::Text)?,
            Marker::Bin8 => self.length::<1>().and_then(|len| self.take(len)).map(Head::Binary)?,
            Marker::Bin16 => self.length::<2>().and_then(|len| self.take(len)).map(Head::Binary)?,
            Marker::Bin32 => self.length::<4>().and_then(|len| self.take(len)).map(Head::Binary)?,
            Marker::FixArray(len) => Head::Array(usize::from(len)),
            Marker::Array16 => Head::Array(self.length::<2>()?),
            Marker::Array32 => Head::Array(self.length::<4>()?),
            Marker::FixMap(len) => Head::Map(usize::from(len)),
            Marker::Map16 => Head::Map(self.length::<2>()?),
            Marker::Map32 => Head::Map(self.length::<4>()?),
            _ => return Err(de::Error::custom("an extension type")),
        })
    }

    /// The next `N` bytes.
    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (fixed, rest) = self.rest.split_first_chunk().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(*fixed)
    }

    /// A big-endian length of `N` bytes.
    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, DecodeError> {
        Ok(self.fixed::<N>()?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn text(&mut self, len: usize) -> Result<&'de str, DecodeError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| de::Error::custom("text that is not UTF-8"))
    }

    /// Takes a nil, if the next value is one.
    #[inline]
    fn take_nil(&mut self) -> bool {
        let nil = self.rest.first() == Some(&Marker::Null.to_u8());
        self.rest = &self.rest[usize::from(nil)..];
        nil
    }

    #[inline]
    fn visit<V: Visitor<'de>>(&mut self, visitor: V, wanted: Wanted) -> Result<V::Value, DecodeError> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Single(value) => visitor.visit_f32(value),
            Head::Double(value) => visitor.visit_f64(value),
            Head::Text(text) => visitor.visit_borrowed_str(text),
            Head::Binary(bytes) if wanted != Wanted::Items => visitor.visit_borrowed_bytes(bytes),
            Head::Binary(bytes) => {
                let mut items = SeqDeserializer::new(bytes.iter().copied());
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Head::Array(len) => {
                self.is_key = false;
                let mut items = Items { decoder: self, left: len, has_names: false };
                let value = visitor.visit_seq(&mut items)?;
                items.end(len, value)
            }
            Head::Map(len) => {
                self.is_key = false;
                let mut entries = Items { decoder: self, left: len, has_names: wanted == Wanted::Fields };
                let value = visitor.visit_map(&mut entries)?;
                entries.end(len, value)
            }
        }
    }
}

/// The bits of an integer that takes 16 bytes, for which MessagePack has no type of its own.
fn wide(bytes: &[u8]) -> Result<[u8; 16], DecodeError> {
    bytes.try_into().map_err(|_| de::Error::invalid_length(bytes.len(), &"an integer in 16 bytes"))
}

impl Head<'_> {
    fn unexpected(&self) -> Unexpected<'_> {
        match *self {
            Self::Nil => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(value),
            Self::Unsigned(value) => Unexpected::Unsigned(value),
            Self::Signed(value) => Unexpected::Signed(value),
            Self::Single(value) => Unexpected::Float(f64::from(value)),
            Self::Double(value) => Unexpected::Float(value),
            Self::Text(text) => Unexpected::Str(text),
            Self::Binary(bytes) => Unexpected::Bytes(bytes),
            Self::Array(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        }
    }
}

#[cold]
fn cut_short() -> DecodeError {
    de::Error::custom("a value is cut short")
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    /// As in JSON: times and addresses are text.
    #[inline]
    fn is_human_readable(&self) -> bool {
        true
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit(visitor, Wanted::Anything)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.visit(visitor, Wanted::Fields)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.take_nil() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A unit struct is an empty array; other implementations send nil.
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        match self.head()? {
            Head::Nil | Head::Array(0) => visitor.visit_unit(),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.head()? {
            Head::Text(variant) => visitor.visit_enum(Variant { name: variant, content: None }),
            Head::Map(1) => match self.head()? {
                Head::Text(variant) => visitor.visit_enum(Variant { name: variant, content: Some(self) }),
                other => Err(not_a_variant(name, &other)),
            },
            other => Err(not_a_variant(name, &other)),
        }
    }

    /// The name of a field or a variant.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_key {
            return self.visit(visitor, Wanted::Anything);
        }
        match self.head()? {
            Head::Text(text) => visitor.visit_borrowed_str(text),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.head()? {
            Head::Unsigned(value) => visitor.visit_i128(i128::from(value)),
            Head::Signed(value) => visitor.visit_i128(i128::from(value)),
            Head::Binary(bytes) => visitor.visit_i128(i128::from_be_bytes(wide(bytes)?)),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.head()? {
            Head::Unsigned(value) => visitor.visit_u128(u128::from(value)),
            Head::Signed(value) => match u128::try_from(value) {
                Ok(value) => visitor.visit_u128(value),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Signed(value), &visitor)),
            },
            Head::Binary(bytes) => visitor.visit_u128(u128::from_be_bytes(wide(bytes)?)),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit(visitor, Wanted::Items)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit(visitor, Wanted::Items)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.visit(visitor, Wanted::Items)
    }

    forward_to_deserialize_any! {
        bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 char str string bytes byte_buf unit map ignored_any
    }
}

#[cold]
fn not_a_variant(name: &str, given: &Head<'_>) -> DecodeError {
    let given = given.unexpected();
    de::Error::custom(format_args!("invalid type: {given}, expected a variant of enum {name} by its name"))
}

/// The items of an array, or the entries of a map.
struct Items<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    /// How many have not been read.
    left: usize,
    /// Whether the keys are names of fields.
    has_names: bool,
}

impl Items<'_, '_> {
    /// Checks that all items were read.
    #[inline]
    fn end<T>(&self, len: usize, value: T) -> Result<T, DecodeError> {
        if self.left == 0 {
            return Ok(value);
        }
        let wanted = len - self.left;
        Err(de::Error::custom(format_args!("invalid length {len}, expected {wanted}")))
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.decoder.is_key = !self.has_names;
        let key = seed.deserialize(&mut *self.decoder);
        self.decoder.is_key = false;
        key.map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        self.left = self.left.saturating_sub(1);
        seed.deserialize(&mut *self.decoder)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant: its name, and its content if it has any.
struct Variant<'a, 'de> {
    name: &'de str,
    content: Option<&'a mut Decoder<'de>>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = DecodeError;
    type Variant = Content<'a, 'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content<'a, 'de>), DecodeError> {
        let variant = seed.deserialize(BorrowedStrDeserializer::<DecodeError>::new(self.name))?;
        if let Some(decoder) = self.content {
            decoder.is_key = false;
            return Ok((variant, Content(Some(decoder))));
        }
        Ok((variant, Content(None)))
    }
}

/// The content of a variant.
struct Content<'a, 'de>(Option<&'a mut Decoder<'de>>);

impl<'a, 'de> Content<'a, 'de> {
    fn required(self, expected: &str) -> Result<&'a mut Decoder<'de>, DecodeError> {
        self.0.ok_or_else(|| de::Error::invalid_type(Unexpected::UnitVariant, &expected))
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.0 {
            None => Ok(()),
            Some(decoder) => match decoder.head()? {
                Head::Nil => Ok(()),
                other => Err(de::Error::invalid_type(other.unexpected(), &"a variant without content")),
            },
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.required("newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.required("tuple variant")?.visit(visitor, Wanted::Items)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        self.required("struct variant")?.visit(visitor, Wanted::Fields)
    }
}
