//! MessagePack as text, for people.

use std::fmt::{self, Write};

use rpc_core::__internals::wire::{ScanLimits, decode};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// The most characters that are shown of a payload.
const SHOWN: usize = 300;
/// The most bytes that are shown of binary data.
const BYTES: usize = 16;

/// A payload as text in the manner of JSON, cut after 300 characters. Binary data is `h'0a0b'`.
pub(crate) fn wire_text(payload: &[u8]) -> String {
    let text = match decode::<Text>(payload, &ScanLimits::default()) {
        Ok(Text(text)) => text,
        Err(error) => return format!("{} bytes that are no MessagePack value: {error}", payload.len()),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

macro_rules! shown {
    ($($visit:ident($type:ty))*) => {
        $(fn $visit<E>(self, value: $type) -> Result<Text, E> {
            Ok(Text(format!("{value:?}")))
        })*
    };
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    shown! {
        visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_i128(i128) visit_u128(u128) visit_f64(f64) visit_str(&str)
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        let mut text = "h'".to_owned();
        for byte in bytes.iter().take(BYTES) {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push_str(if bytes.len() > BYTES { "…'" } else { "'" });
        Ok(Text(text))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text("nil".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
        let mut parts = Vec::new();
        while let Some(Text(item)) = items.next_element()? {
            parts.push(item);
        }
        Ok(Text(format!("[{}]", parts.join(", "))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Text, A::Error> {
        let mut parts = Vec::new();
        while let Some((Text(key), Text(value))) = entries.next_entry()? {
            parts.push(format!("{key}: {value}"));
        }
        Ok(Text(format!("{{{}}}", parts.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text() {
        let nested = [0x82, 0xa1, b'a', 0x93, 0x01, 0xc0, 0xc3, 0x02, 0xc4, 0x02, 0x0a, 0xff];
        assert_eq!(wire_text(&nested), r#"{"a": [1, nil, true], 2: h'0aff'}"#);
        assert_eq!(wire_text(&[0xff]), "-1");
        assert_eq!(wire_text(&[0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]), "0.5");
        assert!(wire_text(&[0x92, 1]).starts_with("2 bytes that are no MessagePack value"));
        assert_eq!(wire_text(&[&[0xd9, 0xff][..], &[b'x'; 255]].concat()).len(), 257);
    }
}
