//! Layouts: where in a value binary data stands, which serde would encode as one number a byte.
//!
//! The macro sees `Option<&[u8]>` in a contract, and writes the layout `Maybe<Octets>` beside it. A value and its
//! layout have the same form; [`Same`] stands for a part without binary data.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
    ser::SerializeTuple,
};

/// A layout that encodes values of `T`.
#[diagnostic::on_unimplemented(
    message = "`{T}` has the name of another type, which travels as binary data or contains it",
    note = "give the type another name where the contract is: `use crate::Bytes as MyBytes`; of the crate serde_bytes write \
            `serde_bytes::Bytes`"
)]
pub trait EncodeAs<T: ?Sized> {
    /// Encodes a value.
    fn encode_as<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error>;
}

/// A layout that decodes values of `T`.
#[diagnostic::on_unimplemented(
    message = "`{T}` has the name of another type, which travels as binary data or contains it",
    note = "give the type another name where the contract is: `use crate::Bytes as MyBytes`; of the crate serde_bytes write \
            `serde_bytes::Bytes`"
)]
pub trait DecodeAs<'de, T> {
    /// Decodes a value.
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error>;
}

/// A value that is encoded and decoded by its layout.
#[derive(Clone, Copy)]
pub struct Laid<T, L>(T, PhantomData<fn() -> L>);

/// As [`Laid`], for a value that is lent.
pub struct LaidRef<'a, T: ?Sized, L>(&'a T, PhantomData<fn() -> L>);

impl<T, L> Laid<T, L> {
    /// A value to encode.
    pub fn new(value: T) -> Self {
        Self(value, PhantomData)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<'a, T: ?Sized, L> LaidRef<'a, T, L> {
    /// A value to encode.
    pub fn new(value: &'a T) -> Self {
        Self(value, PhantomData)
    }
}

impl<T, L: EncodeAs<T>> Serialize for Laid<T, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        L::encode_as(&self.0, serializer)
    }
}

impl<T: ?Sized, L: EncodeAs<T>> Serialize for LaidRef<'_, T, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        L::encode_as(self.0, serializer)
    }
}

impl<'de, T, L: DecodeAs<'de, T>> Deserialize<'de> for Laid<T, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        L::decode_as(deserializer).map(Self::new)
    }
}

impl<T, L> fmt::Debug for Laid<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Laid")
    }
}

impl<T: ?Sized, L> fmt::Debug for LaidRef<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaidRef")
    }
}

/// A part that serde encodes and decodes.
#[derive(Clone, Copy, Debug)]
pub struct Same;

/// Binary data.
#[derive(Clone, Copy, Debug)]
pub struct Octets;

/// An `Option`.
#[derive(Clone, Copy, Debug)]
pub struct Maybe<L>(PhantomData<fn() -> L>);

/// A sequence.
#[derive(Clone, Copy, Debug)]
pub struct Each<L>(PhantomData<fn() -> L>);

/// The values of a map.
#[derive(Clone, Copy, Debug)]
pub struct Entries<L>(PhantomData<fn() -> L>);

/// A `Box`.
#[derive(Clone, Copy, Debug)]
pub struct Boxed<L>(PhantomData<fn() -> L>);

impl<T: Serialize + ?Sized> EncodeAs<T> for Same {
    fn encode_as<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> DecodeAs<'de, T> for Same {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

macro_rules! octets {
    ($($ty:ty),*) => {
        $(impl EncodeAs<$ty> for Octets {
            fn encode_as<S: Serializer>(value: &$ty, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(value)
            }
        })*
    };
}

octets!(&[u8], Vec<u8>, Bytes, Box<[u8]>, Cow<'_, [u8]>);

impl<'de> DecodeAs<'de, &'de [u8]> for Octets {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<&'de [u8], D::Error> {
        Deserialize::deserialize(deserializer)
    }
}

impl<'de> DecodeAs<'de, Vec<u8>> for Octets {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_bytes(OctetVisitor).map(Cow::into_owned)
    }
}

impl<'de> DecodeAs<'de, Bytes> for Octets {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        <Self as DecodeAs<'de, Vec<u8>>>::decode_as(deserializer).map(Bytes::from)
    }
}

impl<'de> DecodeAs<'de, Box<[u8]>> for Octets {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
        <Self as DecodeAs<'de, Vec<u8>>>::decode_as(deserializer).map(Vec::into_boxed_slice)
    }
}

impl<'de: 'a, 'a> DecodeAs<'de, Cow<'a, [u8]>> for Octets {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, [u8]>, D::Error> {
        deserializer.deserialize_bytes(OctetVisitor)
    }
}

/// Reads binary data, text or one number a byte.
struct OctetVisitor;

impl<'de> Visitor<'de> for OctetVisitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("binary data")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_vec()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.as_bytes().to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = items.next_element()? {
            bytes.push(byte);
        }
        Ok(Cow::Owned(bytes))
    }
}

impl<T, L: EncodeAs<T>> EncodeAs<Option<T>> for Maybe<L> {
    fn encode_as<S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&LaidRef::<T, L>::new(value)),
            None => serializer.serialize_none(),
        }
    }
}

impl<'de, T, L: DecodeAs<'de, T>> DecodeAs<'de, Option<T>> for Maybe<L> {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<Laid<T, L>>::deserialize(deserializer)?.map(Laid::into_inner))
    }
}

impl<T, L: EncodeAs<T>> EncodeAs<Box<T>> for Boxed<L> {
    fn encode_as<S: Serializer>(value: &Box<T>, serializer: S) -> Result<S::Ok, S::Error> {
        L::encode_as(value, serializer)
    }
}

impl<'de, T, L: DecodeAs<'de, T>> DecodeAs<'de, Box<T>> for Boxed<L> {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Box<T>, D::Error> {
        L::decode_as(deserializer).map(Box::new)
    }
}

impl<T, L: EncodeAs<T>> EncodeAs<[T]> for Each<L> {
    fn encode_as<S: Serializer>(value: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(LaidRef::<T, L>::new))
    }
}

impl<T, L: EncodeAs<T>> EncodeAs<Vec<T>> for Each<L> {
    fn encode_as<S: Serializer>(value: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
        Self::encode_as(value.as_slice(), serializer)
    }
}

impl<T, L: EncodeAs<T>> EncodeAs<VecDeque<T>> for Each<L> {
    fn encode_as<S: Serializer>(value: &VecDeque<T>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(LaidRef::<T, L>::new))
    }
}

impl<T, L: EncodeAs<T>, const N: usize> EncodeAs<[T; N]> for Each<L> {
    fn encode_as<S: Serializer>(value: &[T; N], serializer: S) -> Result<S::Ok, S::Error> {
        Self::encode_as(value.as_slice(), serializer)
    }
}

impl<'de, T, L: DecodeAs<'de, T>> DecodeAs<'de, Vec<T>> for Each<L> {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let items = Vec::<Laid<T, L>>::deserialize(deserializer)?;
        Ok(items.into_iter().map(Laid::into_inner).collect())
    }
}

impl<'de, T, L: DecodeAs<'de, T>> DecodeAs<'de, VecDeque<T>> for Each<L> {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<T>, D::Error> {
        <Self as DecodeAs<'de, Vec<T>>>::decode_as(deserializer).map(VecDeque::from)
    }
}

impl<'de, T, L: DecodeAs<'de, T>, const N: usize> DecodeAs<'de, [T; N]> for Each<L> {
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<[T; N], D::Error> {
        let items = <Self as DecodeAs<'de, Vec<T>>>::decode_as(deserializer)?;
        let given = items.len();
        items.try_into().map_err(|_| de::Error::invalid_length(given, &format!("an array of {N} items").as_str()))
    }
}

impl<K: Serialize, T, H, L: EncodeAs<T>> EncodeAs<HashMap<K, T, H>> for Entries<L> {
    fn encode_as<S: Serializer>(value: &HashMap<K, T, H>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(value.iter().map(|(key, value)| (key, LaidRef::<T, L>::new(value))))
    }
}

impl<K: Serialize, T, L: EncodeAs<T>> EncodeAs<BTreeMap<K, T>> for Entries<L> {
    fn encode_as<S: Serializer>(value: &BTreeMap<K, T>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(value.iter().map(|(key, value)| (key, LaidRef::<T, L>::new(value))))
    }
}

impl<'de, K, T, H, L> DecodeAs<'de, HashMap<K, T, H>> for Entries<L>
where
    K: Deserialize<'de> + Eq + Hash,
    H: BuildHasher + Default,
    L: DecodeAs<'de, T>,
{
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<K, T, H>, D::Error> {
        let entries = HashMap::<K, Laid<T, L>>::deserialize(deserializer)?;
        Ok(entries.into_iter().map(|(key, value)| (key, value.into_inner())).collect())
    }
}

impl<'de, K, T, L> DecodeAs<'de, BTreeMap<K, T>> for Entries<L>
where
    K: Deserialize<'de> + Ord,
    L: DecodeAs<'de, T>,
{
    fn decode_as<D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<K, T>, D::Error> {
        let entries = BTreeMap::<K, Laid<T, L>>::deserialize(deserializer)?;
        Ok(entries.into_iter().map(|(key, value)| (key, value.into_inner())).collect())
    }
}

macro_rules! tuples {
    ($len:literal: $($ty:ident $layout:ident $index:tt),*) => {
        impl<$($ty, $layout: EncodeAs<$ty>),*> EncodeAs<($($ty,)*)> for ($($layout,)*) {
            fn encode_as<Z: Serializer>(value: &($($ty,)*), serializer: Z) -> Result<Z::Ok, Z::Error> {
                let mut tuple = serializer.serialize_tuple($len)?;
                $(tuple.serialize_element(&LaidRef::<$ty, $layout>::new(&value.$index))?;)*
                tuple.end()
            }
        }

        impl<'de, $($ty, $layout: DecodeAs<'de, $ty>),*> DecodeAs<'de, ($($ty,)*)> for ($($layout,)*) {
            fn decode_as<Z: Deserializer<'de>>(deserializer: Z) -> Result<($($ty,)*), Z::Error> {
                let laid = <($(Laid<$ty, $layout>,)*)>::deserialize(deserializer)?;
                Ok(($(laid.$index.into_inner(),)*))
            }
        }
    };
}

tuples!(1: A LA 0);
tuples!(2: A LA 0, B LB 1);
tuples!(3: A LA 0, B LB 1, C LC 2);
tuples!(4: A LA 0, B LB 1, C LC 2, D LD 3);
tuples!(5: A LA 0, B LB 1, C LC 2, D LD 3, E LE 4);
tuples!(6: A LA 0, B LB 1, C LC 2, D LD 3, E LE 4, F LF 5);
tuples!(7: A LA 0, B LB 1, C LC 2, D LD 3, E LE 4, F LF 5, G LG 6);
tuples!(8: A LA 0, B LB 1, C LC 2, D LD 3, E LE 4, F LF 5, G LG 6, H LH 7);
