//! The payload scanner: walks a MessagePack value before serde sees it, without recursion and without allocating.

use rmp::Marker;

use super::{PayloadLimit, WireError};

/// What one payload may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// How deep arrays and maps may nest; never more than 255.
    pub nesting: usize,
    /// How many values there may be, containers, keys and elements included.
    pub values: usize,
    /// How many arrays and maps there may be.
    pub containers: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { nesting: 128, values: 1_000_000, containers: 131_072 }
    }
}

/// The deepest nesting that any limits allow.
pub(crate) const MAX_NESTING: usize = 255;
/// A nesting that is enough for nearly all payloads, and for which a stack is cheap to set up.
const SHALLOW: usize = 16;

/// The length in bytes of the first value. Refuses extension types, the unused byte 0xc1, text that is not UTF-8,
/// values that are cut short and values beyond the limits.
#[inline]
pub fn scan(bytes: &[u8], limits: &ScanLimits) -> Result<usize, WireError> {
    match scan_flat(bytes, limits) {
        Some(len) => Ok(len),
        None => scan_nested(bytes, limits),
    }
}

fn scan_nested(bytes: &[u8], limits: &ScanLimits) -> Result<usize, WireError> {
    let nesting = limits.nesting.min(MAX_NESTING);
    if nesting <= SHALLOW {
        return walk::<SHALLOW>(bytes, nesting, limits)?.ok_or_else(|| too_deep(nesting));
    }
    match walk::<SHALLOW>(bytes, SHALLOW, limits)? {
        Some(len) => Ok(len),
        None => walk::<MAX_NESTING>(bytes, nesting, limits)?.ok_or_else(|| too_deep(nesting)),
    }
}

/// As [`scan`], for a value that must take all of `bytes`.
pub fn scan_exact(bytes: &[u8], limits: &ScanLimits) -> Result<(), WireError> {
    let len = scan(bytes, limits)?;
    if len < bytes.len() {
        return Err(WireError::at(format!("{} bytes follow the value", bytes.len() - len), len));
    }
    Ok(())
}

fn too_deep(limit: usize) -> WireError {
    WireError::new(format!("arrays and maps nest more than {limit} deep")).beyond(PayloadLimit::Nesting)
}

#[cold]
fn too_many(limit: usize, what: &str, at: usize) -> WireError {
    WireError::at(format!("more than {limit} {what}"), at)
}

#[cold]
fn cut_short(at: usize) -> WireError {
    WireError::at("a value is cut short", at)
}

/// The length of a first value of the kind that most payloads are: a short array without further containers, or no
/// container at all. `None` leaves the value to [`walk`], which also says what is wrong with a bad one.
#[inline]
fn scan_flat(bytes: &[u8], limits: &ScanLimits) -> Option<usize> {
    let first = *bytes.first()?;
    let (mut at, count) = if first & 0xf0 == 0x90 { (1, usize::from(first & 0x0f)) } else { (0, 1) };
    if limits.nesting == 0 || limits.containers == 0 || limits.values <= count {
        return None;
    }
    for _ in 0..count {
        at += scan_leaf(&bytes[at..])?;
    }
    Some(at)
}

/// The length of a first value that is complete and no container.
#[inline]
fn scan_leaf(bytes: &[u8]) -> Option<usize> {
    if let Some(len) = scan_scalar(bytes) {
        return Some(len);
    }
    let first = *bytes.first()?;
    let (head, len) = match first {
        0xa0..=0xbf => (1, usize::from(first & 0x1f)),
        0xc4 | 0xd9 => (2, usize::from(*bytes.get(1)?)),
        0xc5 | 0xda => (3, usize::from(u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]))),
        _ => return None,
    };
    let content = bytes.get(head..head + len)?;
    let is_binary = matches!(first, 0xc4 | 0xc5);
    (is_binary || std::str::from_utf8(content).is_ok()).then_some(head + len)
}

/// The length of a first value that is a complete number, nil or boolean.
#[inline]
fn scan_scalar(bytes: &[u8]) -> Option<usize> {
    let len = usize::from(SCALARS[usize::from(*bytes.first()?)]);
    (len > 0 && len <= bytes.len()).then_some(len)
}

/// The length of the number, nil or boolean that begins with a byte; 0 for all other values.
static SCALARS: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        sizes[byte] = match byte {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            _ => 0,
        };
        byte += 1;
    }
    sizes
};

/// The length of a first value of any kind. `None` if the value nests deeper than `nesting`, which is at most `DEPTH`.
fn walk<const DEPTH: usize>(bytes: &[u8], nesting: usize, limits: &ScanLimits) -> Result<Option<usize>, WireError> {
    // How many values are still to come: in the innermost container, and in each container around that one.
    let mut left = 1;
    let mut outer = [0_usize; DEPTH];
    let mut depth = 0;
    let (mut at, mut values, mut containers) = (0, 0, 0);
    loop {
        while left == 0 {
            if depth == 0 {
                return Ok(Some(at));
            }
            depth -= 1;
            left = outer[depth];
        }
        left -= 1;
        values += 1;
        if values > limits.values {
            return Err(too_many(limits.values, "values", at).beyond(PayloadLimit::Values));
        }
        if let Some(len) = scan_scalar(&bytes[at..]) {
            at += len;
            continue;
        }
        let begin = at;
        let (body, body_at) = read_head(bytes, begin)?;
        match body {
            Body::Bytes(len) => at = end_of(bytes, begin, body_at, len)?,
            Body::Text(len) => {
                at = end_of(bytes, begin, body_at, len)?;
                check_text(&bytes[body_at..at], begin)?;
            }
            Body::Values(count) => {
                at = body_at;
                containers += 1;
                if containers > limits.containers {
                    let error = too_many(limits.containers, "arrays and maps", begin);
                    return Err(error.beyond(PayloadLimit::Containers));
                }
                // Each value takes at least a byte, so a count that cannot be true ends here.
                if count > bytes.len() - at {
                    return Err(cut_short(begin));
                }
                if depth == nesting {
                    return Ok(None);
                }
                outer[depth] = left;
                depth += 1;
                left = count;
            }
        }
    }
}

/// What follows the head of a value.
enum Body {
    /// Bytes of any kind.
    Bytes(usize),
    /// Bytes that must be UTF-8.
    Text(usize),
    /// The values of an array, or the keys and values of a map.
    Values(usize),
}

/// Reads the head of the value at `begin`: its marker, and the length that belongs to the marker. Gives where the body
/// begins.
fn read_head(bytes: &[u8], begin: usize) -> Result<(Body, usize), WireError> {
    let byte = *bytes.get(begin).ok_or_else(|| cut_short(begin))?;
    let mut at = begin + 1;
    let mut length = |width: usize| -> Result<usize, WireError> {
        let digits = at..end_of(bytes, begin, at, width)?;
        at = digits.end;
        Ok(bytes[digits].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    };
    let body = match Marker::from_u8(byte) {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => Body::Bytes(0),
        Marker::U8 | Marker::I8 => Body::Bytes(1),
        Marker::U16 | Marker::I16 => Body::Bytes(2),
        Marker::U32 | Marker::I32 | Marker::F32 => Body::Bytes(4),
        Marker::U64 | Marker::I64 | Marker::F64 => Body::Bytes(8),
        Marker::FixStr(len) => Body::Text(usize::from(len)),
        Marker::Str8 => Body::Text(length(1)?),
        Marker::Str16 => Body::Text(length(2)?),
        Marker::Str32 => Body::Text(length(4)?),
        Marker::Bin8 => Body::Bytes(length(1)?),
        Marker::Bin16 => Body::Bytes(length(2)?),
        Marker::Bin32 => Body::Bytes(length(4)?),
        Marker::FixArray(len) => Body::Values(usize::from(len)),
        Marker::Array16 => Body::Values(length(2)?),
        Marker::Array32 => Body::Values(length(4)?),
        Marker::FixMap(len) => Body::Values(usize::from(len) * 2),
        Marker::Map16 => Body::Values(length(2)? * 2),
        Marker::Map32 => Body::Values(length(4)?.saturating_mul(2)),
        Marker::Reserved => return Err(WireError::at("the byte 0xc1, which MessagePack does not use", begin)),
        Marker::FixExt1
        | Marker::FixExt2
        | Marker::FixExt4
        | Marker::FixExt8
        | Marker::FixExt16
        | Marker::Ext8
        | Marker::Ext16
        | Marker::Ext32 => return Err(WireError::at("a MessagePack extension type, which is not used here", begin)),
    };
    Ok((body, at))
}

/// Where `len` bytes from `at` end, which belong to the value at `begin`.
fn end_of(bytes: &[u8], begin: usize, at: usize, len: usize) -> Result<usize, WireError> {
    if len > bytes.len() - at { Err(cut_short(begin)) } else { Ok(at + len) }
}

fn check_text(text: &[u8], begin: usize) -> Result<(), WireError> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(WireError::at("text that is not UTF-8", begin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) -> Result<usize, WireError> {
        scan(bytes, &ScanLimits::default())
    }

    fn nested(opening: &[u8], depth: usize) -> Vec<u8> {
        let mut bytes = opening.repeat(depth);
        bytes.push(0xc0);
        bytes
    }

    #[test]
    fn finds_the_end_of_the_first_value() {
        assert_eq!(check(&[0x01, 0x02]), Ok(1));
        assert_eq!(check(&[0x92, 0x01, 0xa1, b'x', 0xff]), Ok(4));
        assert_eq!(check(&[0x81, 0x01, 0x90]), Ok(3));
        assert!(scan_exact(&[0x01, 0x02], &ScanLimits::default()).is_err());
    }

    #[test]
    fn nesting_has_a_limit_and_does_not_recurse() {
        for opening in [&[0x91_u8][..], &[0x81, 0x01], &[0x81, 0xa1, b'v']] {
            assert!(check(&nested(opening, 128)).is_ok());
            for depth in [129, 100_000] {
                assert!(check(&nested(opening, depth)).unwrap_err().to_string().contains("128 deep"));
            }
        }
        let deepest = ScanLimits { nesting: 100_000, ..ScanLimits::default() };
        assert!(scan(&nested(&[0x91], 255), &deepest).is_ok());
        assert!(scan(&nested(&[0x91], 256), &deepest).is_err());
    }

    #[test]
    fn counts_that_cannot_be_true_are_refused_at_once() {
        for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
            assert!(check(&[marker, 0xff, 0xff, 0xff, 0xff, 0x00]).is_err());
        }
    }

    #[test]
    fn bad_bytes_are_refused() {
        for bytes in [&[0xc1_u8][..], &[0xd4, 1, 2], &[0xc7, 1, 2, 3], &[0xa1, 0xff], &[], &[0xcd, 1], &[0x92, 1]] {
            assert!(check(bytes).is_err(), "{bytes:02x?}");
        }
    }

    /// [`walk`] takes every value that [`scan_flat`] takes, with the same length and the same limits.
    #[test]
    fn flat_values_are_measured_as_nested_ones_are() {
        let mut flat = 0;
        let all = [
            ScanLimits::default(),
            ScanLimits { nesting: 1, values: 3, containers: 1 },
            ScanLimits { nesting: 0, values: 1, containers: 0 },
        ];
        let tails = [vec![], vec![0x01, 0xa1, 0xff, 0x02], b"\xa2\xc3\xa4\xc4\x01\xff".to_vec(), vec![b'x'; 600]];
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                for tail in &tails {
                    let bytes = [&[first, second], &tail[..]].concat();
                    for limits in &all {
                        let Some(len) = scan_flat(&bytes, limits) else { continue };
                        flat += 1;
                        assert_eq!(scan_nested(&bytes, limits), Ok(len), "{bytes:02x?} within {limits:?}");
                    }
                }
            }
        }
        assert!(flat > 100_000, "{flat} of them");
    }

    #[test]
    fn budgets_count_values_and_containers() {
        let limits = ScanLimits { nesting: 8, values: 4, containers: 2 };
        assert!(scan(&[0x93, 1, 2, 3], &limits).is_ok());
        assert!(scan(&[0x94, 1, 2, 3, 4], &limits).is_err());
        assert!(scan(&[0x91, 0x90], &limits).is_ok());
        assert!(scan(&[0x92, 0x90, 0x90], &limits).is_err());
    }
}
