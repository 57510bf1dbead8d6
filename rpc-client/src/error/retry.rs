//! Which failures may pass, so that it helps to connect again.

use std::{io, time::Duration};

use rpc_core::{CloseCode, Code, ConnectionError, Status};

use super::ConnectError;

impl ConnectError {
    /// Whether the same program may connect later: the name was not resolved, the server was not there, did not answer
    /// in time or ended the connection; it or a proxy answered with HTTP 429, 502, 503 or 504; it refused the session
    /// with [`Code::Unavailable`] or [`Code::ResourceExhausted`]; the function of `on_session` failed with one of these
    /// codes or [`Code::DeadlineExceeded`]; or the session ended in a way that [`ConnectionError::is_retryable`] says
    /// may go better. False where the program, the server or the certificates
    /// have to change first. A program that connects again waits first, longer after each failure.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Stream { .. }
            | Self::Ended { .. } => true,
            Self::Unix { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::Proxy { is_temporary, .. } => *is_temporary,
            Self::Http { status, .. } => matches!(status.as_u16(), 429 | 502..=504),
            Self::Rejected(status) => matches!(status.code(), Code::Unavailable | Code::ResourceExhausted),
            Self::Session(error) => error.is_retryable(),
            Self::Setup(status) => is_passing(status),
            Self::Url { .. }
            | Self::Header { .. }
            | Self::Credentials { .. }
            | Self::Tls { .. }
            | Self::NotWebSocket { .. }
            | Self::NoCommonProtocol { .. }
            | Self::NotHosted { .. }
            | Self::CallbackNotHosted { .. }
            | Self::Hosting(_)
            | Self::Reconnect { .. } => false,
        }
    }

    /// Whether a client that has had a session tries again after this failure. Its settings were right once, so it goes
    /// on where [`Self::is_retryable`] says no: while its source of credentials fails, while a proxy answers in place
    /// of the server, or shows a certificate of its own.
    pub(crate) fn is_retryable_after_session(&self) -> bool {
        match self {
            Self::Http { status, .. } => !matches!(status.as_u16(), 401 | 403),
            Self::Session(error) => is_retryable_after_session(error),
            Self::Rejected(_)
            | Self::Setup(_)
            | Self::Url { .. }
            | Self::Header { .. }
            | Self::NotHosted { .. }
            | Self::CallbackNotHosted { .. }
            | Self::Hosting(_)
            | Self::Reconnect { .. } => self.is_retryable(),
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Unix { .. }
            | Self::Stream { .. }
            | Self::Proxy { .. }
            | Self::Ended { .. }
            | Self::Credentials { .. }
            | Self::Tls { .. }
            | Self::NotWebSocket { .. }
            | Self::NoCommonProtocol { .. } => true,
        }
    }

    /// Whether the server did not accept who this client is.
    pub(crate) fn is_refusal_of_credential(&self) -> bool {
        match self {
            Self::Http { status, .. } => matches!(status.as_u16(), 401 | 403),
            Self::Rejected(status) => matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied),
            _ => false,
        }
    }

    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Whether a session that has ended like this may be followed by another one: not if either side wanted the end.
pub(crate) fn is_retryable_after_session(reason: &ConnectionError) -> bool {
    match reason {
        ConnectionError::ClosedByPeer { code, .. } => {
            let is_final = [CloseCode::NORMAL, CloseCode::POLICY_VIOLATION, CloseCode::REFUSED, CloseCode::REPLACED];
            !is_final.contains(code)
        }
        ConnectionError::Protocol(_) | ConnectionError::Expired => true,
        other => other.is_retryable(),
    }
}

/// Whether what a function needs may be there later.
fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}
