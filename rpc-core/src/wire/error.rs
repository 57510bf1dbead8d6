//! `WireError`: bytes that cannot be decoded.

use std::{borrow::Cow, error, fmt};

/// Bytes that are not what the protocol or a type requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    what: Cow<'static, str>,
    at: Option<usize>,
    limit: Option<PayloadLimit>,
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
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), at: None, limit: None }
    }

    pub(crate) fn at(what: impl Into<Cow<'static, str>>, at: usize) -> Self {
        Self { what: what.into(), at: Some(at), limit: None }
    }

    /// Marks the error as that of a valid payload which exceeds a limit.
    pub(super) fn beyond(self, limit: PayloadLimit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The limit that a payload exceeds. `None` for a payload that is not valid.
    pub fn limit(&self) -> Option<PayloadLimit> {
        self.limit
    }

    /// The same error, `by` bytes further on.
    pub(super) fn moved_by(self, by: usize) -> Self {
        Self { at: self.at.map(|at| at + by), ..self }
    }

    /// The offset of the error, in bytes from the beginning of the input, if it is known.
    pub fn offset(&self) -> Option<usize> {
        self.at
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.at {
            Some(at) => write!(f, " (at byte {at})"),
            None => Ok(()),
        }
    }
}

impl error::Error for WireError {}
