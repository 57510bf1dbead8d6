//! `WireError`: bytes that are not what they should be.

use std::{borrow::Cow, error, fmt};

/// Bytes that are not what the protocol or a type asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    what: Cow<'static, str>,
    at: Option<usize>,
}

impl WireError {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), at: None }
    }

    pub(crate) fn at(what: impl Into<Cow<'static, str>>, at: usize) -> Self {
        Self { what: what.into(), at: Some(at) }
    }

    /// The same error, where what was read begins `by` bytes further on.
    pub(super) fn moved_by(self, by: usize) -> Self {
        Self { at: self.at.map(|at| at + by), ..self }
    }

    /// Where, in bytes from the beginning of what was read, if that is known.
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
