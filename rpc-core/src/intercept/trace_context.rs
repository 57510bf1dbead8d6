//! `TraceContext`: the trace that a call belongs to (W3C Trace Context, level 1).

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The longest `tracestate` that is passed on (§3.3.1.5 requires at least 512 characters).
const MAX_STATE: usize = 512;

/// The trace that a call belongs to, and its span in the trace. `traceparent` and `tracestate` carry both between
/// processes (W3C Trace Context §3.2, §3.3).
///
/// The [`Tracing`](super::Tracing) interceptor makes a trace context for every call. A handler finds the trace context
/// of its call with [`Context::extension`](crate::Context::extension), and can pass it on to other systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    state: Option<String>,
}

impl TraceContext {
    /// A new trace, which is sampled.
    pub(super) fn root() -> Self {
        Self { trace_id: u128::from(random()) << 64 | u128::from(random()), span_id: random(), flags: 1, state: None }
    }

    /// A new span of the same trace.
    pub(super) fn child(&self) -> Self {
        Self { span_id: random(), ..self.clone() }
    }

    /// Reads a `traceparent` and its `tracestate`. `None` if the `traceparent` is not valid; then the receiver has to
    /// begin a new trace (§3.2.2.5, §4.3).
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = u8::try_from(hex(version, 2)?).ok()?;
        // Later versions may append something (§4.3); 255 is forbidden.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace_id: hex(trace, 32)?,
            span_id: u64::try_from(hex(span, 16)?).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
            state: tracestate.filter(|state| state.len() <= MAX_STATE).map(str::to_owned),
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// The value of `traceparent`.
    pub fn traceparent(&self) -> String {
        // Of the flags, this version knows one (§3.2.2.5).
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags & 1)
    }

    /// The value of `tracestate`, as it was read, unchanged.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> impl fmt::Display + fmt::Debug + use<> {
        Hex::<32>(self.trace_id)
    }

    /// The span: 16 hexadecimal digits.
    pub fn span_id(&self) -> impl fmt::Display + fmt::Debug + use<> {
        Hex::<16>(self.span_id.into())
    }
}

struct Hex<const DIGITS: usize>(u128);

impl<const DIGITS: usize> fmt::Display for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

impl<const DIGITS: usize> fmt::Debug for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Parses exactly `len` lower-case hexadecimal digits (§3.2.2).
fn hex(digits: &str, len: usize) -> Option<u128> {
    let valid = digits.len() == len && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if valid { u128::from_str_radix(digits, 16).ok() } else { None }
}

/// A random number that is never 0, made of a counter and a key that the system has chosen for this process.
fn random() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written() {
        let context = TraceContext::parse(VALID, Some("vendor=1")).unwrap();
        assert_eq!(context.traceparent(), VALID);
        assert_eq!(context.tracestate(), Some("vendor=1"));
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        let child = context.child();
        assert_eq!(child.trace_id, context.trace_id);
        assert_ne!(child.span_id, context.span_id);
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let later = format!("cc{}-more", &VALID[2..]);
        assert_eq!(TraceContext::parse(&later, None).unwrap().traceparent(), VALID);
    }

    #[test]
    fn what_is_not_valid_begins_a_new_trace() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let (upper, appended) = (VALID.to_uppercase(), format!("{VALID}-more"));
        let long = VALID.replace("b7", "00b7");
        for bad in ["", "00", "00-1-2-01", "ff-", &zero_trace, &zero_span, &upper, &appended, &long, &VALID[..54]] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad}");
        }
        assert_eq!(TraceContext::parse(&format!("ff{}", &VALID[2..]), None), None);
    }

    #[test]
    fn a_state_that_is_too_long_is_left_out() {
        let long = "x".repeat(MAX_STATE + 1);
        assert_eq!(TraceContext::parse(VALID, Some(&long)).unwrap().tracestate(), None);
    }

    #[test]
    fn new_traces_differ() {
        let [one, two] = [TraceContext::root(), TraceContext::root()];
        assert_ne!(one.trace_id, two.trace_id);
        assert_eq!(TraceContext::parse(&one.traceparent(), None), Some(one));
    }
}
