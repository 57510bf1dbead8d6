//! `CallError`: what a caller sees when a call of a method with a typed fault fails.

use std::{error, fmt};

use crate::status::Status;

/// Why a call of a method that returns `Result<T, E>` failed: the method's own fault, or the framework's status.
///
/// ```
/// use rpc_core::{CallError, Status};
///
/// enum BookingError {
///     Full,
/// }
///
/// fn advice(error: &CallError<BookingError>) -> &'static str {
///     match error {
///         CallError::Fault(BookingError::Full) => "take another day",
///         CallError::Status(status) if status.is_retryable() => "try again",
///         CallError::Status(_) => "tell the operator",
///     }
/// }
///
/// assert_eq!(advice(&CallError::Fault(BookingError::Full)), "take another day");
/// assert_eq!(advice(&CallError::Status(Status::internal("a bug"))), "tell the operator");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// The method ran and returned this fault.
    Fault(E),
    /// The call failed for another reason: link, deadline, limit, cancellation, a bug.
    Status(Status),
}

impl<E> CallError<E> {
    /// The status, if this is not a fault.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Fault(_) => None,
            Self::Status(status) => Some(status),
        }
    }

    /// The fault, if there is one.
    pub fn fault(&self) -> Option<&E> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Status(_) => None,
        }
    }

    /// The status by value, if this is not a fault.
    pub fn into_status(self) -> Option<Status> {
        match self {
            Self::Fault(_) => None,
            Self::Status(status) => Some(status),
        }
    }

    /// The fault by value, if there is one.
    pub fn into_fault(self) -> Option<E> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Status(_) => None,
        }
    }

    /// The same error with another fault: `map` changes a fault, and a status stays as it is.
    pub fn map_fault<F>(self, map: impl FnOnce(E) -> F) -> CallError<F> {
        match self {
            Self::Fault(fault) => CallError::Fault(map(fault)),
            Self::Status(status) => CallError::Status(status),
        }
    }

    /// Folds both into the contract's own error type, for a fault type that can hold a status
    /// (with `thiserror`: a variant with `#[from] Status`).
    pub fn collapse(self) -> E
    where
        E: From<Status>,
    {
        match self {
            Self::Fault(fault) => fault,
            Self::Status(status) => E::from(status),
        }
    }

    /// Whether the call may be made again; see [`Status::is_retryable`]. A fault never is: the method has run.
    pub fn is_retryable(&self) -> bool {
        self.status().is_some_and(Status::is_retryable)
    }
}

impl<E> From<Status> for CallError<E> {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Status(status) => status.fmt(f),
        }
    }
}

/// A fault need not be an [`error::Error`] itself: it may be a `String`. So [`source`](error::Error::source) is `None`:
/// ask [`CallError::fault`].
impl<E: fmt::Debug + fmt::Display> error::Error for CallError<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_is_text_is_an_error_too() {
        let error: Box<dyn error::Error> = CallError::Fault("the kitchen is closed".to_owned()).into();
        assert_eq!(error.to_string(), "the kitchen is closed");
    }

    #[test]
    fn a_fault_is_mapped_and_taken_out_and_a_status_likewise() {
        let fault: CallError<u8> = CallError::Fault(7);
        assert_eq!(fault.clone().map_fault(u32::from), CallError::Fault(7_u32));
        assert_eq!((fault.clone().into_fault(), fault.into_status()), (Some(7), None));

        let status = Status::unavailable("gone").not_executed();
        let failed: CallError<u8> = status.clone().into();
        assert_eq!(failed.clone().map_fault(u32::from), CallError::Status(status.clone()));
        assert_eq!((failed.clone().into_fault(), failed.into_status()), (None, Some(status)));
    }
}
