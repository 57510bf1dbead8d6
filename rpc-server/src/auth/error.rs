//! `AuthError`: why a client is refused.

use std::{borrow::Cow, error, fmt, time::Duration};

use rpc_core::Status;

/// Why an [`Authenticator`](super::Authenticator) refuses a client. The text goes to the client, so it must not contain
/// secrets.
///
/// | kind | at the upgrade | at the Hello |
/// |---|---|---|
/// | [`unauthenticated`](Self::unauthenticated) | 401, with `WWW-Authenticate` | `UNAUTHENTICATED` |
/// | [`permission_denied`](Self::permission_denied) | 403 | `PERMISSION_DENIED` |
/// | [`too_many`](Self::too_many) | 429, with `Retry-After` | `RESOURCE_EXHAUSTED` |
/// | [`unavailable`](Self::unavailable) | 503 | `UNAVAILABLE` |
/// | [`internal`](Self::internal) | 500 | `INTERNAL` |
///
/// ```
/// use rpc_server::{AuthError, AuthErrorKind};
///
/// let error = AuthError::unauthenticated("the token has expired");
/// assert_eq!((error.kind(), error.to_string()), (AuthErrorKind::Unauthenticated, "the token has expired".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    kind: AuthErrorKind,
    message: Cow<'static, str>,
    /// For 401: the value of `WWW-Authenticate`, which says what a client should show instead.
    challenge: Cow<'static, str>,
    retry_after: Option<Duration>,
}

/// The kinds of [`AuthError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthErrorKind {
    /// The client has shown no credential, or one that is not valid.
    Unauthenticated,
    /// The client is known, and may not connect.
    PermissionDenied,
    /// The client tries too often.
    TooMany,
    /// The client cannot be judged now.
    Unavailable,
    /// The authenticator has failed.
    Internal,
}

impl AuthError {
    /// The client has shown no credential, or one that is not valid.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(AuthErrorKind::Unauthenticated, message)
    }

    /// The client is known, and may not connect.
    pub fn permission_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(AuthErrorKind::PermissionDenied, message)
    }

    /// The client tries too often, and may try again after this time, which is rounded up to seconds.
    pub fn too_many(message: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(AuthErrorKind::TooMany, message) }
    }

    /// The client cannot be judged now, for instance because a database does not answer.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(AuthErrorKind::Unavailable, message)
    }

    /// The authenticator has failed. The cause belongs in the log of the server, and not in the text.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(AuthErrorKind::Internal, message)
    }

    fn new(kind: AuthErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), challenge: Cow::Borrowed("Bearer"), retry_after: None }
    }

    /// Sets the value of `WWW-Authenticate`, which goes with a 401. Default `Bearer`.
    #[must_use]
    pub fn with_challenge(self, challenge: impl Into<Cow<'static, str>>) -> Self {
        Self { challenge: challenge.into(), ..self }
    }

    /// The kind.
    pub fn kind(&self) -> AuthErrorKind {
        self.kind
    }

    pub(crate) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The seconds that a client is asked to wait.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)))
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for AuthError {}

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        let message = error.message.into_owned();
        match error.kind {
            AuthErrorKind::Unauthenticated => Self::unauthenticated(message),
            AuthErrorKind::PermissionDenied => Self::permission_denied(message),
            AuthErrorKind::TooMany => Self::resource_exhausted(message),
            AuthErrorKind::Unavailable => Self::unavailable(message),
            AuthErrorKind::Internal => Self::internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_seconds_as_far_as_they_go() {
        for (wait, seconds) in
            [(Duration::ZERO, 0), (Duration::from_millis(1), 1), (Duration::from_secs(2), 2), (Duration::MAX, u64::MAX)]
        {
            assert_eq!(AuthError::too_many("later", wait).retry_after(), Some(seconds), "{wait:?}");
        }
        assert_eq!(AuthError::unavailable("later").retry_after(), None);
    }
}
