//! `JoinError`: why a session cannot join a group.

use std::{error::Error, fmt};

use rpc_core::{SessionId, Status};

/// Why a session cannot join a group. As a [`Status`], it has the code
/// [`FailedPrecondition`](rpc_core::Code::FailedPrecondition).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The session has ended.
    Ended {
        /// The session.
        session: SessionId,
    },
    /// The client does not host the contract of the group, so it cannot be called there.
    NotHosted {
        /// The session.
        session: SessionId,
        /// The name of the contract.
        contract: &'static str,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { session } => write!(f, "session {session} has ended, so it joins no group any more"),
            Self::NotHosted { session, contract } => write!(
                f,
                "the client of session {session} does not host `{contract}`, so it cannot join a group of that \
                 contract; it hosts what it gives to `callback` when it connects"
            ),
        }
    }
}

impl Error for JoinError {}

impl From<JoinError> for Status {
    fn from(error: JoinError) -> Self {
        Self::failed_precondition(error.to_string())
    }
}
