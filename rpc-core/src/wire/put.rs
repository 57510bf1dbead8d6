//! Writing MessagePack values in their shortest form.

#![allow(clippy::cast_possible_truncation, reason = "each cast stands in the branch of its range")]

use bytes::BufMut;
use rmp::Marker;

#[inline]
pub(super) fn uint(out: &mut impl BufMut, value: u64) {
    if value < 0x80 {
        out.put_u8(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.put_slice(&[Marker::U8.to_u8(), value]);
    } else if let Ok(value) = u16::try_from(value) {
        let [high, low] = value.to_be_bytes();
        out.put_slice(&[Marker::U16.to_u8(), high, low]);
    } else if let Ok(value) = u32::try_from(value) {
        out.put_u8(Marker::U32.to_u8());
        out.put_u32(value);
    } else {
        out.put_u8(Marker::U64.to_u8());
        out.put_u64(value);
    }
}

pub(super) fn nil(out: &mut impl BufMut) {
    out.put_u8(Marker::Null.to_u8());
}

pub(super) fn boolean(out: &mut impl BufMut, value: bool) {
    out.put_u8(if value { Marker::True } else { Marker::False }.to_u8());
}

pub(super) fn array(out: &mut impl BufMut, len: usize) {
    match len {
        0..16 => out.put_u8(0x90 | len as u8),
        16..0x1_0000 => {
            out.put_u8(Marker::Array16.to_u8());
            out.put_u16(len as u16);
        }
        _ => {
            out.put_u8(Marker::Array32.to_u8());
            out.put_u32(clamp(len));
        }
    }
}

pub(super) fn map(out: &mut impl BufMut, len: usize) {
    match len {
        0..16 => out.put_u8(0x80 | len as u8),
        16..0x1_0000 => {
            out.put_u8(Marker::Map16.to_u8());
            out.put_u16(len as u16);
        }
        _ => {
            out.put_u8(Marker::Map32.to_u8());
            out.put_u32(clamp(len));
        }
    }
}

pub(super) fn bin(out: &mut impl BufMut, bytes: &[u8]) {
    bin_head(out, bytes.len());
    out.put_slice(bytes);
}

/// Writes the head of `len` bytes of binary data.
pub(super) fn bin_head(out: &mut impl BufMut, len: usize) {
    match len {
        len @ 0..0x100 => out.put_slice(&[Marker::Bin8.to_u8(), len as u8]),
        len @ 0x100..0x1_0000 => {
            out.put_u8(Marker::Bin16.to_u8());
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(Marker::Bin32.to_u8());
            out.put_u32(clamp(len));
        }
    }
}

pub(super) fn text(out: &mut impl BufMut, text: &str) {
    match text.len() {
        len @ 0..32 => out.put_u8(0xa0 | len as u8),
        len @ 32..0x100 => out.put_slice(&[Marker::Str8.to_u8(), len as u8]),
        len @ 0x100..0x1_0000 => {
            out.put_u8(Marker::Str16.to_u8());
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(Marker::Str32.to_u8());
            out.put_u32(clamp(len));
        }
    }
    out.put_slice(text.as_bytes());
}

/// The limits on payloads keep every length far below 4 GiB.
fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
