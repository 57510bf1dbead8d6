//! `Status`: why a call failed, in terms that both ends share.

mod code;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::code::{Code, UnknownCode};
use crate::text::{cut, escaped};

/// Whether the method of a failed call may have run.
///
/// ```
/// use rpc_core::{Code, Execution, Hosting, session::connect_in_memory};
/// # #[rpc_core::service]
/// # trait Clock {
/// #     async fn hour(&self) -> u8;
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // The other side does not host the contract.
/// let (_server, session) = connect_in_memory(&Hosting::default(), &Hosting::default());
/// let status = session.client::<ClockClient>().hour().await.unwrap_err();
/// assert_eq!((status.code(), status.execution()), (Code::Unimplemented, Execution::NotExecuted));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Execution {
    /// The method certainly did not start: the call was never sent in full, or the other side refused it.
    NotExecuted,
    /// The method may have run, in part or to its end.
    #[default]
    Unknown,
}

/// Why the framework refused a call, beyond its [`Code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The call would have waited for the end of a call that itself waits for this call: its object serves one call at
    /// a time, and serves a call of the same chain. The code is [`Code::Aborted`].
    WouldDeadlock,
}

/// Why a call failed, when its contract does not say more: a [`Code`], a message for people, optional details for
/// programs, and whether the method may have run.
///
/// A `Status` is one pointer wide, so that `Result<T, Status>` costs no more than `T`, and cheap to clone: clones share
/// their text. A handler may return a status; the caller then always sees [`Execution::Unknown`], because only the
/// framework can know that a method did not start. The sender and the receiver cut message and details together to 8
/// KiB. `Display` escapes control characters of the message; [`Status::message`] returns the message as it is.
///
/// ```
/// use rpc_core::{Code, Execution, Status};
///
/// let status = Status::not_found("there is no room 7; ask `rooms` for those that exist");
/// assert_eq!(status.code(), Code::NotFound);
/// assert_eq!(status.to_string(), "NOT_FOUND: there is no room 7; ask `rooms` for those that exist");
/// // A program that makes a status cannot say that a method did not start.
/// assert_eq!(status.execution(), Execution::Unknown);
/// assert!(!status.is_retryable());
///
/// let status = Status::new(Code::ResourceExhausted, "the quota is used up").with_details(b"quota=100");
/// assert_eq!(status.details(), b"quota=100");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Status(Arc<Inner>);

/// This is small, because a shared value is copied when it is changed. The copy still shares the texts.
#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    message: Arc<str>,
    details: Option<Arc<[u8]>>,
    execution: Execution,
    reason: Option<Reason>,
    idempotent: bool,
}

/// The serialized form of a status within a user's value.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Status")]
struct Shape<M, D: AsRef<[u8]> + Default> {
    code: Code,
    message: M,
    #[serde(default, skip_serializing_if = "is_empty")]
    details: D,
    #[serde(default)]
    execution: Execution,
}

fn is_empty(details: &impl AsRef<[u8]>) -> bool {
    details.as_ref().is_empty()
}

impl Status {
    /// A status with this code and this message, which should say what happened and what to do about it.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::with_text(code, message.into().into())
    }

    pub(crate) fn with_text(code: Code, message: Arc<str>) -> Self {
        Self(Arc::new(Inner {
            code,
            message,
            details: None,
            execution: Execution::Unknown,
            reason: None,
            idempotent: false,
        }))
    }

    /// Adds details for programs: opaque bytes whose meaning the contract's two sides agree on.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Vec<u8>>) -> Self {
        let details = details.into();
        self.change().details = (!details.is_empty()).then(|| details.into());
        self
    }

    /// The kind of failure.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details for programs; empty if there are none.
    pub fn details(&self) -> &[u8] {
        self.0.details.as_deref().unwrap_or_default()
    }

    /// Whether the method may have run.
    pub fn execution(&self) -> Execution {
        self.0.execution
    }

    /// Why the framework refused the call, if it says more than the code. A status that a handler returns has no
    /// reason.
    pub fn reason(&self) -> Option<Reason> {
        self.0.reason
    }

    /// Whether it is safe and sensible to make the same call again.
    ///
    /// True for [`Code::Unavailable`] and [`Code::ResourceExhausted`], if the method did not start, or is
    /// `#[rpc(idempotent)]`.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.code, Code::Unavailable | Code::ResourceExhausted)
            && (self.0.execution == Execution::NotExecuted || self.0.idempotent)
    }

    /// Says that the method certainly did not start. Only the framework may say so: the status that a handler returns
    /// is always sent with [`Execution::Unknown`].
    #[must_use]
    pub(crate) fn not_executed(self) -> Self {
        self.with_execution(Execution::NotExecuted)
    }

    #[must_use]
    pub(crate) fn with_execution(mut self, execution: Execution) -> Self {
        if self.0.execution != execution {
            self.change().execution = execution;
        }
        self
    }

    #[must_use]
    pub(crate) fn with_reason(mut self, reason: Option<Reason>) -> Self {
        if self.0.reason != reason {
            self.change().reason = reason;
        }
        self
    }

    /// The status as a handler returns it: the method has run, even if the status said otherwise.
    #[cfg(feature = "session")]
    #[must_use]
    pub(crate) fn leaving_a_handler(self) -> Self {
        self.with_execution(Execution::Unknown).with_reason(None)
    }

    /// The number of bytes of message and details.
    pub(crate) fn size(&self) -> usize {
        self.message().len() + self.details().len()
    }

    /// Cuts message and details to `max` bytes together. Details that do not fit are dropped, then the end of the
    /// message is.
    #[must_use]
    pub(crate) fn cut_to(mut self, max: usize) -> Self {
        if self.size() > max {
            let inner = self.change();
            inner.details = None;
            if inner.message.len() > max {
                inner.message = cut(&inner.message, max).into();
            }
        }
        self
    }

    /// Records whether the method may safely run twice, which the stub knows.
    #[cfg(any(feature = "session", test))]
    #[must_use]
    pub(crate) fn with_idempotent(mut self, idempotent: bool) -> Self {
        if self.0.idempotent != idempotent {
            self.change().idempotent = idempotent;
        }
        self
    }

    /// The content, to be changed. If other statuses share it, this copies it first.
    fn change(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        impl Status {
            $(
                $(#[$doc])*
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(Code::$code, message)
                }
            )*
        }
    };
}

constructors! {
    /// A status with [`Code::Cancelled`].
    cancelled => Cancelled;
    /// A status with [`Code::Unknown`].
    unknown => Unknown;
    /// A status with [`Code::InvalidArgument`].
    invalid_argument => InvalidArgument;
    /// A status with [`Code::DeadlineExceeded`].
    deadline_exceeded => DeadlineExceeded;
    /// A status with [`Code::NotFound`].
    not_found => NotFound;
    /// A status with [`Code::AlreadyExists`].
    already_exists => AlreadyExists;
    /// A status with [`Code::PermissionDenied`].
    permission_denied => PermissionDenied;
    /// A status with [`Code::ResourceExhausted`].
    resource_exhausted => ResourceExhausted;
    /// A status with [`Code::FailedPrecondition`].
    failed_precondition => FailedPrecondition;
    /// A status with [`Code::Aborted`].
    aborted => Aborted;
    /// A status with [`Code::OutOfRange`].
    out_of_range => OutOfRange;
    /// A status with [`Code::Unimplemented`].
    unimplemented => Unimplemented;
    /// A status with [`Code::Internal`].
    internal => Internal;
    /// A status with [`Code::Unavailable`].
    unavailable => Unavailable;
    /// A status with [`Code::DataLoss`].
    data_loss => DataLoss;
    /// A status with [`Code::Unauthenticated`].
    unauthenticated => Unauthenticated;
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, escaped(&self.0.message))
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Status");
        out.field("code", &self.0.code).field("message", &self.0.message);
        if !self.details().is_empty() {
            out.field("details", &format_args!("{} bytes", self.details().len()));
        }
        out.field("execution", &self.0.execution).finish()
    }
}

impl std::error::Error for Status {}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Inner { code, execution, .. } = *self.0;
        Shape { code, message: self.message(), details: self.details(), execution }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Status {
    /// A status within a user's value is not the framework's own, so it never says `NotExecuted`: it becomes `Unknown`.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Shape { code, message, details, .. } = Shape::<String, Vec<u8>>::deserialize(deserializer)?;
        Ok(Self::new(code, message).with_details(details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_pointer_wide() {
        assert_eq!(size_of::<Status>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Status>>(), size_of::<usize>());
    }

    #[test]
    fn retryable_needs_the_right_code_and_certainty_or_idempotence() {
        let unavailable = Status::unavailable("gone");
        assert!(!unavailable.is_retryable());
        assert!(unavailable.clone().not_executed().is_retryable());
        assert!(unavailable.with_idempotent(true).is_retryable());
        assert!(!Status::aborted("deadlock").not_executed().is_retryable());
    }
}
