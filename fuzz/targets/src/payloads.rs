//! Payloads: the scanner measures what `rmpv` reads, and the decoder reads what `rmpv` reads.

use std::io::Cursor;

use rmpv::{Value, ValueRef};
use rpc_core::__internals::wire::{PayloadLimit, ScanLimits, decode, scan, scan_exact};

/// How deep `rmpv` reads, which recurses: deeper than any limit of the scanner, and as deep as the stack takes.
const RMPV_DEPTH: usize = 400;

/// The deepest nesting that the scanner takes under any limit.
const MAX_NESTING: usize = 255;

/// The first two bytes choose the limits, and the others are the payload.
pub fn run(data: &[u8]) {
    let [first, second, bytes @ ..] = data else { return };
    measure_alike(bytes, &limits(*first, *second));
    read_alike(bytes);
}

/// The default limits, or tight ones that short inputs exceed.
fn limits(first: u8, second: u8) -> ScanLimits {
    if first == 0 {
        return ScanLimits::default();
    }
    let (nesting, containers) = (usize::from(first >> 4), usize::from(first & 0xf));
    ScanLimits { nesting, containers, values: usize::from(second) }
}

/// The scanner takes the first value if and only if `rmpv` takes it, the value has nothing that this protocol leaves
/// out, and it is within the limits.
fn measure_alike(bytes: &[u8], limits: &ScanLimits) {
    let scanned = scan(bytes, limits);
    let mut cursor = Cursor::new(bytes);
    let read = rmpv::decode::read_value_ref_with_max_depth(&mut &*bytes, RMPV_DEPTH);
    let len = rmpv::decode::read_value_with_max_depth(&mut cursor, RMPV_DEPTH).ok().map(|_| cursor.position());
    let mut counts = Counts::default();
    let is_used = read.as_ref().is_ok_and(|value| counts.add(value, 0));
    match scanned {
        Ok(scanned) => {
            assert_eq!(len, Some(scanned as u64), "{bytes:02x?}");
            assert!(is_used, "{bytes:02x?} has what the protocol does not use");
            assert_eq!(counts.exceeded(limits), None, "{bytes:02x?}");
            assert_eq!(scan_exact(bytes, limits).is_ok(), scanned == bytes.len());
        }
        Err(error) => {
            assert!(error.offset().is_none_or(|at| at <= bytes.len()), "{error}, in {} bytes", bytes.len());
            assert!(scan_exact(bytes, limits).is_err());
            // MessagePack does not use the byte 0xc1, which rmpv reads as nil.
            let is_c1 = error.offset().and_then(|at| bytes.get(at)) == Some(&0xc1);
            if is_used && !is_c1 {
                let limit = error.limit();
                assert!(limit.is_some(), "{error}: {bytes:02x?}, which rmpv reads");
                assert!(counts.exceeded(limits).is_some(), "{error}: {bytes:02x?}, which is within {limits:?}");
            }
        }
    }
}

/// What the limits count.
#[derive(Default)]
struct Counts {
    nesting: usize,
    values: usize,
    containers: usize,
}

impl Counts {
    /// Counts a value. False if it has what the protocol does not use.
    fn add(&mut self, value: &ValueRef<'_>, depth: usize) -> bool {
        self.values += 1;
        match value {
            ValueRef::Nil
            | ValueRef::Boolean(_)
            | ValueRef::Integer(_)
            | ValueRef::F32(_)
            | ValueRef::F64(_)
            | ValueRef::Binary(_) => true,
            ValueRef::String(text) => text.as_str().is_some(),
            ValueRef::Array(values) => {
                self.enter(depth);
                values.iter().all(|value| self.add(value, depth + 1))
            }
            ValueRef::Map(pairs) => {
                self.enter(depth);
                pairs.iter().all(|(key, value)| self.add(key, depth + 1) && self.add(value, depth + 1))
            }
            ValueRef::Ext(..) => false,
        }
    }

    fn enter(&mut self, depth: usize) {
        self.containers += 1;
        self.nesting = self.nesting.max(depth + 1);
    }

    /// A limit that is exceeded, if one is.
    fn exceeded(&self, limits: &ScanLimits) -> Option<PayloadLimit> {
        let all = [
            (self.nesting, limits.nesting.min(MAX_NESTING), PayloadLimit::Nesting),
            (self.values, limits.values, PayloadLimit::Values),
            (self.containers, limits.containers, PayloadLimit::Containers),
        ];
        all.into_iter().find_map(|(count, max, limit)| (count > max).then_some(limit))
    }
}

/// A value of any type is what `rmpv` reads by itself.
fn read_alike(bytes: &[u8]) {
    let Ok(value) = decode::<Value>(bytes, &ScanLimits::default()) else { return };
    let Ok(expected) = rmpv::decode::read_value_with_max_depth(&mut &*bytes, RMPV_DEPTH) else {
        panic!("rmpv refuses {bytes:02x?}");
    };
    // As bytes, because no NaN is equal to itself.
    assert_eq!(written(&value), written(&expected), "{bytes:02x?}");
}

fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let result = rmpv::encode::write_value(&mut bytes, value);
    assert!(result.is_ok(), "a list takes all bytes");
    bytes
}
