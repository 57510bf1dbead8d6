//! What a client tells of itself: its state, and what has happened.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use rpc_core::{ConnectionError, SessionId};
use tokio::time::Instant;

use crate::error::ConnectError;

/// The state of a client, as [`Client::state`](crate::Client::state) and [`Client::states`](crate::Client::states) give
/// it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientState {
    /// There is a session, which takes calls.
    Connected,
    /// The session has lost its link or is over, and the client makes a new link, or a new session.
    Reconnecting {
        /// The number of the attempt that is under way or comes next, counted from 1. Attempts count together until one
        /// leads to a link over which the session goes on, or to a session that lasts for
        /// [`Reconnect::min_uptime`](crate::Reconnect::min_uptime).
        attempt: u32,
        /// Why there is no link: how it was lost, how the session ended, or why the last attempt failed.
        error: ClientError,
        /// The wait before the attempt, counted from this state's beginning; `None` while the attempt is under way.
        next_in: Option<Duration>,
        /// When the last link was lost.
        since: Instant,
    },
    /// There is no session, and will be none: connect again for a new client.
    Closed(ClientError),
}

impl ClientState {
    /// Whether there is a session that takes calls.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Why the client is closed, if it is.
    pub fn closed(&self) -> Option<&ClientError> {
        match self {
            Self::Closed(error) => Some(error),
            _ => None,
        }
    }
}

/// Something that happened to a client: see [`Client::events`](crate::Client::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The session has lost its link, and goes on if the server can be reached in time.
    LinkLost {
        /// How the link was lost.
        reason: ConnectionError,
    },
    /// The session goes on over another link. Nothing was lost.
    Resumed {
        /// How long the session was without a link.
        away: Duration,
    },
    /// A session has ended: it was lost, one side closed it, or the client has given up to make another link for it.
    SessionLost {
        /// How it ended.
        reason: ConnectionError,
        /// Calls that may have run at the server and whose outcomes are lost, one-way calls among them that the server
        /// had not reported done.
        unknown: usize,
        /// Calls that had not reached the server. Those whose callers still wait go on in the next session.
        not_executed: usize,
    },
    /// A new session has begun and takes calls.
    SessionStarted {
        /// The session's id.
        session: SessionId,
    },
    /// The client is closed, for this reason. This is the last event.
    Closed(ClientError),
    /// This number of events is missing here, because this reader of events was slow.
    Lagged(u64),
}

/// Why a client has no session. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The session has ended like this.
    Session(ConnectionError),
    /// No session could be made.
    Connect(Arc<ConnectError>),
}

impl ClientError {
    /// How the session ended, if that is the reason.
    pub fn session(&self) -> Option<&ConnectionError> {
        match self {
            Self::Session(error) => Some(error),
            Self::Connect(_) => None,
        }
    }
}

impl From<ConnectionError> for ClientError {
    fn from(error: ConnectionError) -> Self {
        Self::Session(error)
    }
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(Arc::new(error))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
        }
    }
}

/// The message is the message of the error inside, so [`source`](Error::source) goes on with the cause of that error.
impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Session(error) => error.source(),
            Self::Connect(error) => error.source(),
        }
    }
}
