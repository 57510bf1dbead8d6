//! `SetupError`: why a new session could not be prepared for its client.

use std::{fmt, pin::Pin, sync::Arc};

use rpc_core::{CallError, Session, Status};

/// What prepares each new session of a client.
pub(crate) type Setup =
    Arc<dyn Fn(Session) -> Pin<Box<dyn Future<Output = Result<(), SetupError>> + Send>> + Send + Sync>;

/// The error of a function that was given to [`ConnectBuilder::on_session`](crate::ConnectBuilder::on_session). The
/// errors of calls turn into it with `?`.
///
/// A status `UNAVAILABLE`, `RESOURCE_EXHAUSTED` or `DEADLINE_EXCEEDED` ends the session, and the client makes another
/// one. Any other status, and a fault, closes the client.
#[derive(Clone, Debug)]
pub struct SetupError(Status);

impl SetupError {
    pub(super) fn into_status(self) -> Status {
        self.0
    }
}

impl From<Status> for SetupError {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl<E: fmt::Debug> From<CallError<E>> for SetupError {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::Status(status) => Self(status),
            CallError::Fault(fault) => Self(Status::failed_precondition(format!("a call failed: {fault:?}"))),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
