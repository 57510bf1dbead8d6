//! `JoinError`: why a session cannot join a group.

use std::{error::Error, fmt};

use rpc_core::{SessionId, Status};

/// Bytes of the longest name of a group that a session may join.
pub(super) const MAX_NAME: usize = 1024;

/// Why a session cannot join a group. As a [`Status`], it has the code
/// [`FailedPrecondition`](rpc_core::Code::FailedPrecondition), [`ResourceExhausted`](rpc_core::Code::ResourceExhausted)
/// for [`Self::TooMany`], or [`InvalidArgument`](rpc_core::Code::InvalidArgument) for [`Self::NameTooLong`].
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
    /// The session is in as many groups as one may be in
    /// ([`ServerBuilder::max_groups`](crate::ServerBuilder::max_groups)).
    TooMany {
        /// The session.
        session: SessionId,
        /// The number of groups.
        most: usize,
    },
    /// The name of the group is longer than 1,024 bytes.
    NameTooLong {
        /// The length of the name in bytes.
        len: usize,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { session } => write!(f, "session {session} has ended, so it joins no group any more"),
            Self::TooMany { session, most } => write!(
                f,
                "session {session} is in {most} groups, and one session may be in no more (ServerBuilder::max_groups)"
            ),
            Self::NameTooLong { len } => {
                write!(f, "the name of the group is {len} bytes long, and may have {MAX_NAME} at most")
            }
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
        let message = error.to_string();
        match error {
            JoinError::Ended { .. } | JoinError::NotHosted { .. } => Self::failed_precondition(message),
            JoinError::TooMany { .. } => Self::resource_exhausted(message),
            JoinError::NameTooLong { .. } => Self::invalid_argument(message),
        }
    }
}
