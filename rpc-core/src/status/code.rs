//! `Code`: the kind of a failure, as gRPC numbers and names them.

use std::{error, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::excerpt;

/// The kind of failure: gRPC's codes, with gRPC's numbers and names.
///
/// `Ok` does not exist here: a call that succeeds has a result, not a status.
///
/// ```
/// use rpc_core::Code;
///
/// let code: Code = "NOT_FOUND".parse()?;
/// assert_eq!(code, Code::NotFound);
/// assert_eq!((code.number(), code.to_string()), (5, "NOT_FOUND".to_owned()));
/// assert_eq!(Code::try_from(5_u16)?, code);
/// assert!(Code::try_from(99_u16).is_err());
/// # Ok::<(), rpc_core::status::UnknownCode>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[repr(u8)]
pub enum Code {
    /// The call was cancelled, usually by its caller.
    Cancelled = 1,
    /// An error that no other code describes; also a code that this version does not know.
    Unknown = 2,
    /// The caller gave an argument that is wrong in every state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the call completed.
    DeadlineExceeded = 4,
    /// Something that was asked for does not exist.
    NotFound = 5,
    /// Something that was to be created exists already.
    AlreadyExists = 6,
    /// The caller is known but may not do this.
    PermissionDenied = 7,
    /// A limit or a quota was reached.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// The call was given up because of a conflict with another call, for instance a deadlock.
    Aborted = 10,
    /// A value lies past the valid range.
    OutOfRange = 11,
    /// The method is not known here, or not offered.
    Unimplemented = 12,
    /// A bug: an invariant of the called system is broken.
    Internal = 13,
    /// The other side cannot be reached now; a later attempt may succeed.
    Unavailable = 14,
    /// Data was lost or is corrupt.
    DataLoss = 15,
    /// The caller gave no credentials, or no valid ones.
    Unauthenticated = 16,
}

impl Code {
    /// The number that travels on the wire: gRPC's.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code of a number, [`Code::Unknown`] for a number that this version does not know; `Code::try_from` refuses
    /// such a number instead.
    pub const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// gRPC's name of the code, for instance `DEADLINE_EXCEEDED`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number or a name that is no [`Code`] of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode {
    /// The number or the name, as text.
    given: Box<str>,
}

impl TryFrom<u16> for Code {
    type Error = UnknownCode;

    /// The code of a number from 1 to 16.
    fn try_from(number: u16) -> Result<Self, UnknownCode> {
        match Self::from_number(number.into()) {
            Self::Unknown if number != Self::Unknown as u16 => Err(UnknownCode { given: number.to_string().into() }),
            code => Ok(code),
        }
    }
}

impl TryFrom<u8> for Code {
    type Error = UnknownCode;

    /// The code of a number from 1 to 16.
    fn try_from(number: u8) -> Result<Self, UnknownCode> {
        Self::try_from(u16::from(number))
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    /// The code of a name as [`Code::name`] gives it, for instance `NOT_FOUND`.
    fn from_str(name: &str) -> Result<Self, UnknownCode> {
        let code = (1..=16).map(Self::from_number).find(|code| code.name() == name);
        code.ok_or_else(|| UnknownCode { given: format!("`{}`", excerpt(name)).into() })
    }
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is no status code; codes are the numbers 1 to 16, with gRPC's names, such as NOT_FOUND",
            self.given
        )
    }
}

impl error::Error for UnknownCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_grpcs_numbers() {
        for number in 1..=16 {
            assert_eq!(u64::from(Code::from_number(number).number()), number);
        }
        assert_eq!(Code::from_number(0), Code::Unknown);
        assert_eq!(Code::from_number(99), Code::Unknown);
    }

    #[test]
    fn codes_are_read_from_numbers_and_from_their_names() {
        for number in 1..=16_u8 {
            let code = Code::try_from(number).unwrap();
            assert_eq!((code.number(), Code::try_from(u16::from(number))), (number, Ok(code)));
            assert_eq!(code.to_string().parse(), Ok(code));
        }
        for number in [0, 17, 256 + 5, u16::MAX] {
            let error = Code::try_from(number).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{number} is no status code; ")), "{error}");
        }
        for name in ["", "OK", "not_found", "NOT_FOUND ", "NotFound"] {
            let error = name.parse::<Code>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{name}` is no status code; ")), "{error}");
        }
        let error = "\u{1b}[2J".repeat(1000).parse::<Code>().unwrap_err().to_string();
        assert!(error.len() < 3000 && !error.contains('\u{1b}'), "{} bytes", error.len());
    }
}
