//! Looks through a value for the shapes that do not survive the wire.

use std::fmt::{self, Display};

use serde::{Serialize, Serializer, ser};

/// The most findings that are kept.
const MOST: usize = 8;

/// A place in a value with a shape that may not survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// For instance `.files[0].data`; empty for the value itself.
    path: String,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `Some` of a value that is nil itself.
    SomeNil,
    /// A number of 128 bits.
    Wide,
    /// Bytes, each as a number.
    Numbers,
    /// Binary data.
    Bytes,
    /// A unit struct.
    UnitStruct,
    /// A number that is not equal to itself.
    NotANumber,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, shape } = self;
        let place = if path.is_empty() { "the value itself" } else { path };
        let (what, cure) = match shape {
            Shape::SomeNil => (
                "`Some` of a value that is nil, which arrives as `None`",
                "an enum with a variant for each case; for `Option<()>` a `bool`; for a struct with one unnamed field, \
                 a named field",
            ),
            Shape::Wide => (
                "a number of 128 bits, which enums with `untagged` or `tag` and structs with `flatten` do not take",
                "text, or two numbers of 64 bits",
            ),
            Shape::Numbers => (
                "bytes, each sent as a number",
                "`#[serde(with = \"serde_bytes\")]` on the field, which sends binary data",
            ),
            Shape::Bytes => (
                "binary data, which an `untagged` enum takes for text if a variant with text comes first",
                "another way of tagging, or the variant with bytes first",
            ),
            Shape::UnitStruct => (
                "a unit struct, which enums with `untagged` or `tag` and structs with `flatten` do not take",
                "a struct with a field",
            ),
            Shape::NotANumber => ("NaN, which is equal to nothing", "another value for the test"),
        };
        write!(f, "look at {place}: {what}; write instead: {cure}")
    }
}

/// All such places in a value; none if the value does not serialize up to there.
pub(super) fn probe<T: Serialize + ?Sized>(value: &T) -> Vec<Finding> {
    let mut findings = Vec::new();
    // An error of the value's own `Serialize` is told by what called this function.
    let _ = value.serialize(Probe { findings: &mut findings, path: String::new() });
    findings
}

/// What a value looks like from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nil,
    Byte,
    Other,
}

struct Probe<'a> {
    findings: &'a mut Vec<Finding>,
    path: String,
}

impl<'a> Probe<'a> {
    fn find(self, shape: Shape) -> Seen {
        if self.findings.len() < MOST {
            self.findings.push(Finding { path: self.path, shape });
        }
        Seen::Other
    }

    fn parts(self, name: &str) -> Parts<'a> {
        Parts { findings: self.findings, path: format!("{}{name}", self.path), index: 0, bytes: 0 }
    }
}

/// What stands in a container.
struct Parts<'a> {
    findings: &'a mut Vec<Finding>,
    path: String,
    index: usize,
    /// How many of the elements were of the type `u8`.
    bytes: usize,
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Broken> {
        let seen = value.serialize(Probe { findings: self.findings, path: format!("{}{name}", self.path) })?;
        self.index += 1;
        self.bytes += usize::from(seen == Seen::Byte);
        Ok(())
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        self.part(&format!("[{}]", self.index), value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Broken> {
        self.part(&format!(".{name}"), value)
    }

    fn list_end(self) -> Seen {
        if self.index > 0 && self.bytes == self.index {
            return Probe { findings: self.findings, path: self.path }.find(Shape::Numbers);
        }
        Seen::Other
    }
}

/// The value's own `Serialize` has failed.
#[derive(Debug)]
struct Broken;

impl Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value does not serialize")
    }
}

impl std::error::Error for Broken {}

impl ser::Error for Broken {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

macro_rules! other {
    ($($serialize:ident($type:ty))*) => {
        $(fn $serialize(self, _: $type) -> Result<Seen, Broken> {
            Ok(Seen::Other)
        })*
    };
}

impl<'a> Serializer for Probe<'a> {
    type Ok = Seen;
    type Error = Broken;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    other! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_i8(i8) serialize_i16(i16)
        serialize_i32(i32) serialize_i64(i64) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
    }

    fn serialize_u8(self, _: u8) -> Result<Seen, Broken> {
        Ok(Seen::Byte)
    }
    fn serialize_i128(self, _: i128) -> Result<Seen, Broken> {
        Ok(self.find(Shape::Wide))
    }
    fn serialize_u128(self, _: u128) -> Result<Seen, Broken> {
        Ok(self.find(Shape::Wide))
    }
    fn serialize_f32(self, value: f32) -> Result<Seen, Broken> {
        self.serialize_f64(f64::from(value))
    }
    fn serialize_f64(self, value: f64) -> Result<Seen, Broken> {
        Ok(if value.is_nan() { self.find(Shape::NotANumber) } else { Seen::Other })
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Seen, Broken> {
        Ok(self.find(Shape::Bytes))
    }
    fn serialize_none(self) -> Result<Seen, Broken> {
        Ok(Seen::Nil)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Seen, Broken> {
        let Self { findings, path } = self;
        let seen = value.serialize(Probe { findings: &mut *findings, path: path.clone() })?;
        Ok(if seen == Seen::Nil { Probe { findings, path }.find(Shape::SomeNil) } else { seen })
    }
    fn serialize_unit(self) -> Result<Seen, Broken> {
        Ok(Seen::Nil)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Seen, Broken> {
        self.find(Shape::UnitStruct);
        Ok(Seen::Nil)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Seen, Broken> {
        Ok(Seen::Other)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Seen, Broken> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Seen, Broken> {
        self.parts("").field(variant, value)?;
        Ok(Seen::Other)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Broken> {
        Ok(self.parts(""))
    }
    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Broken> {
        Ok(self.parts(""))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Broken> {
        Ok(self.parts(""))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Broken> {
        Ok(self.parts(&format!(".{variant}")))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Broken> {
        Ok(self.parts(""))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Broken> {
        Ok(self.parts(""))
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'a>, Broken> {
        self.serialize_tuple_variant(name, index, variant, len)
    }
}

macro_rules! elements {
    ($($trait:ident: $part:ident;)*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = Seen;
            type Error = Broken;

            fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
                self.element(value)
            }
            fn end(self) -> Result<Seen, Broken> {
                Ok(self.list_end())
            }
        })*
    };
}

elements! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = Seen;
            type Error = Broken;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Broken> {
                self.field(key, value)
            }
            fn end(self) -> Result<Seen, Broken> {
                Ok(Seen::Other)
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Parts<'_> {
    type Ok = Seen;
    type Error = Broken;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Broken> {
        self.part(&format!("[key {}]", self.index / 2), key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        self.part(&format!("[value {}]", self.index / 2), value)
    }
    fn end(self) -> Result<Seen, Broken> {
        Ok(Seen::Other)
    }
}
