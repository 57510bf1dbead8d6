//! `WireError`: bytes that cannot be decoded.

use std::{borrow::Cow, error, fmt};

/// Bytes that are not what the protocol or a type requires.
// In a box, because each value that is read is returned in the place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    fault: WireFault,
    at: Option<usize>,
    limit: Option<PayloadLimit>,
}

/// What is wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// This text, for people.
    Text(Cow<'static, str>),
    /// A frame of this kind, which is not known and must not be passed over.
    UnknownFrame(u64),
    /// More frames in a packet than this.
    TooManyFrames(usize),
}

/// A limit on what one payload may hold, beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadLimit {
    /// How deep arrays and maps may nest.
    Nesting,
    /// How many values there may be.
    Values,
    /// How many arrays and maps there may be.
    Containers,
}

impl PayloadLimit {
    /// The limit's name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nesting => "Config::max_payload_nesting",
            Self::Values => "Config::max_payload_values",
            Self::Containers => "Config::max_payload_containers",
        }
    }

    /// What to do about a payload that exceeds the limit.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Nesting => "send a flatter type",
            Self::Values => {
                "send bytes inside of types with serde_bytes or as `bytes::Bytes`, where each byte would be a value, or split the payload"
            }
            Self::Containers => "split the payload",
        }
    }
}

impl WireError {
    #[cold]
    pub(crate) fn new(fault: impl Into<WireFault>) -> Self {
        Self(Box::new(Parts { fault: fault.into(), at: None, limit: None }))
    }

    #[cold]
    pub(crate) fn at(fault: impl Into<WireFault>, at: usize) -> Self {
        Self(Box::new(Parts { fault: fault.into(), at: Some(at), limit: None }))
    }

    /// Marks the error: the payload is valid, and exceeds a limit.
    pub(super) fn beyond(mut self, limit: PayloadLimit) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// The limit that a payload exceeds. `None` for a payload that is not valid.
    pub fn limit(&self) -> Option<PayloadLimit> {
        self.0.limit
    }

    /// The same error, `by` bytes further on.
    pub(super) fn moved_by(mut self, by: usize) -> Self {
        self.0.at = self.0.at.map(|at| at + by);
        self
    }

    /// The offset of the error, in bytes from the beginning of the input, if it is known.
    pub fn offset(&self) -> Option<usize> {
        self.0.at
    }

    pub(crate) fn into_fault(self) -> WireFault {
        self.0.fault
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fault.fmt(f)?;
        match self.0.at {
            Some(at) => write!(f, " (at byte {at})"),
            None => Ok(()),
        }
    }
}

impl error::Error for WireError {}

impl From<&'static str> for WireFault {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for WireFault {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::UnknownFrame(kind) => write!(f, "a frame of the unknown kind {kind}"),
            Self::TooManyFrames(max) => write!(f, "a packet of more than {max} frames"),
        }
    }
}
