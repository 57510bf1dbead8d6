//! `ConnectionError`: why a session ended.

use std::{fmt, sync::Arc};

use super::{CloseCode, Overload, ProtocolError, TimeLimit, Timeout};
use crate::{
    status::{Code, Status},
    text::escaped,
};

/// Why a session ended. Cheap to clone. Where it is shown, control characters in what the other side said are escaped.
///
/// The same ending has another variant at each side: where the server closes with [`Self::Overloaded`], its client
/// reads [`Self::ClosedByPeer`] with [`CloseCode::TRY_AGAIN_LATER`]. The questions, such as [`Self::is_overloaded`],
/// have the same answer at both sides; [`Self::closed_by`] tells which side ended the session. Only in a session that
/// can be [resumed](crate::Config::resume_window), the other side of one that timed out or was overloaded reads
/// [`CloseCode::GIVEN_UP`].
///
/// ```
/// use rpc_core::{CloseCode, ConnectionError, Side};
///
/// let error = ConnectionError::ClosedByPeer { code: CloseCode::RESTART, reason: "shutting down".into() };
/// assert!(error.is_shut_down() && error.is_retryable());
/// assert_eq!(error.closed_by(), Some(Side::Remote));
///
/// let error = ConnectionError::Lost("connection reset by peer".to_owned());
/// assert!(error.is_lost() && error.is_retryable());
/// assert_eq!(error.closed_by(), None);
/// ```
///
/// The limits and rules behind an ending are data, so that a program can tell one from the other:
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{ConnectionError, ProtocolError, TimeLimit, Timeout};
///
/// fn advice(error: &ConnectionError) -> String {
///     match error {
///         ConnectionError::TimedOut(Timeout { limit: TimeLimit::Opening, after, .. }) => {
///             format!("do the hooks take longer than {after:?}?")
///         }
///         ConnectionError::TimedOut(timeout) => format!("is {} too short?", timeout.limit.setting()),
///         ConnectionError::Overloaded(overload) => format!("is {} too low?", overload.limit.setting()),
///         ConnectionError::Protocol(ProtocolError::UnknownFrame { .. }) => "is the other side newer?".to_owned(),
///         other => other.to_string(),
///     }
/// }
///
/// let timeout = Timeout::new(TimeLimit::Write, Duration::from_secs(10));
/// assert_eq!(advice(&ConnectionError::TimedOut(timeout)), "is Config::write_timeout too short?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// This side closed the session: `close()`, or the last stub was dropped.
    ClosedLocally,
    /// The other side closed the session, with this WebSocket close code and reason.
    ClosedByPeer {
        /// The WebSocket close code (RFC 6455 §7.4.1).
        code: CloseCode,
        /// The reason that came with the code, for people, as the other side wrote it; may be empty. Text of a peer:
        /// show it with [`escaped`](crate::text::escaped), or show the whole error, which does so.
        reason: Arc<str>,
    },
    /// The link broke without a goodbye.
    Lost(String),
    /// A time limit of this side ran out: for instance, nothing was heard from the peer, or nothing could be written.
    TimedOut(Timeout),
    /// The peer broke the protocol; the error says which rule.
    Protocol(ProtocolError),
    /// The peer refused the session at the handshake, and said why.
    Refused(Status),
    /// This side refused the peer at the handshake.
    RefusedPeer(Status),
    /// A bound on this side's memory was exceeded, and the session was given up to keep the process healthy.
    Overloaded(Overload),
    /// This side shut down.
    ShutDown,
    /// The [`Identity`](crate::Identity) of the other side expired, and was not renewed in time.
    Expired,
}

/// An end of a session, as seen from this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This end.
    Local,
    /// The other end.
    Remote,
}

impl ConnectionError {
    /// The side that ended the session; `None` if the link broke without a goodbye.
    pub fn closed_by(&self) -> Option<Side> {
        match self {
            Self::Lost(_) => None,
            Self::ClosedByPeer { .. } | Self::Refused(_) => Some(Side::Remote),
            Self::ClosedLocally
            | Self::TimedOut(_)
            | Self::Protocol(_)
            | Self::RefusedPeer(_)
            | Self::Overloaded(_)
            | Self::ShutDown
            | Self::Expired => Some(Side::Local),
        }
    }

    /// Whether the link broke without a goodbye.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Whether a time limit ran out, at this side or at the other.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut(_)) || self.is_peers(CloseCode::TIMEOUT)
    }

    /// Whether a side gave up the session because it held too much.
    pub fn is_overloaded(&self) -> bool {
        matches!(self, Self::Overloaded(_)) || self.is_peers(CloseCode::TRY_AGAIN_LATER)
    }

    /// Whether a side has shut down or restarts.
    pub fn is_shut_down(&self) -> bool {
        matches!(self, Self::ShutDown) || self.is_peers(CloseCode::RESTART)
    }

    /// Whether a side refused the session at the handshake.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::RefusedPeer(_)) || self.is_peers(CloseCode::REFUSED)
    }

    /// Whether the identity of a side has expired.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired) || self.is_peers(CloseCode::EXPIRED)
    }

    /// Whether a new session with the same peer may go better: the link was lost, a time limit ran out, a side was
    /// overloaded, this side's identity has expired (connect with a newer credential), or the other side restarts, goes
    /// away or refused with [`Code::Unavailable`] or [`Code::ResourceExhausted`]. False for an end that a side wanted
    /// (also if this side waited for the end in vain, as [`Closing`](crate::Closing) says), for a broken rule and for
    /// any other code. A program that connects again waits first, longer after each failure.
    pub fn is_retryable(&self) -> bool {
        match self {
            // This side wanted the end, and only waited for it.
            Self::TimedOut(Timeout { limit: TimeLimit::Close | TimeLimit::Drain, .. }) => false,
            Self::Lost(_) | Self::TimedOut(_) | Self::Overloaded(_) => true,
            Self::ClosedByPeer { code, .. } => matches!(
                *code,
                CloseCode::GOING_AWAY
                    | CloseCode::RESTART
                    | CloseCode::TRY_AGAIN_LATER
                    | CloseCode::EXPIRED
                    | CloseCode::TIMEOUT
                    | CloseCode::GIVEN_UP
            ),
            Self::Refused(status) => matches!(status.code(), Code::Unavailable | Code::ResourceExhausted),
            Self::ClosedLocally | Self::Protocol(_) | Self::RefusedPeer(_) | Self::ShutDown | Self::Expired => false,
        }
    }

    /// Whether the other side closed with this code.
    fn is_peers(&self, asked: CloseCode) -> bool {
        matches!(self, Self::ClosedByPeer { code, .. } if *code == asked)
    }

    /// The code this side closes the WebSocket with, for this reason.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::ClosedLocally | Self::ClosedByPeer { .. } | Self::Lost(_) => CloseCode::NORMAL,
            Self::TimedOut(Timeout { limit: TimeLimit::Queue, .. }) => CloseCode::TRY_AGAIN_LATER,
            Self::TimedOut(_) => CloseCode::TIMEOUT,
            Self::Protocol(error) => error.close_code(),
            Self::Refused(_) | Self::RefusedPeer(_) => CloseCode::REFUSED,
            Self::Overloaded(_) => CloseCode::TRY_AGAIN_LATER,
            Self::ShutDown => CloseCode::RESTART,
            Self::Expired => CloseCode::EXPIRED,
        }
    }

    /// What the other side is told, for people; empty with [`CloseCode::NORMAL`].
    pub fn close_reason(&self) -> String {
        match self {
            Self::ClosedLocally | Self::ClosedByPeer { .. } | Self::Lost(_) => String::new(),
            Self::Protocol(error) => error.reason().into_owned(),
            Self::Refused(status) | Self::RefusedPeer(status) => status.message().to_owned(),
            Self::TimedOut(timeout) => timeout.to_string(),
            Self::Overloaded(overload) => overload.to_string(),
            Self::ShutDown => "shutting down".to_owned(),
            Self::Expired => "the identity has expired".to_owned(),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedLocally => f.write_str(
                "the session was closed by this side, with `close` or because the last stub from `connect` was dropped",
            ),
            Self::ClosedByPeer { code, reason } if reason.is_empty() => {
                write!(f, "the session was closed by the other side with code {code}")
            }
            Self::ClosedByPeer { code, reason } => {
                write!(f, "the session was closed by the other side with code {code}: {}", escaped(reason))
            }
            Self::Lost(why) => write!(f, "the link was lost: {}", escaped(why)),
            Self::TimedOut(timeout) => write!(f, "the session timed out: {timeout}"),
            Self::Protocol(error) => error.fmt(f),
            Self::Refused(status) => {
                write!(f, "the other side refused the session ({}): {}", status.code(), escaped(status.message()))
            }
            Self::RefusedPeer(status) => write!(
                f,
                "this side's hooks, factories or contracts refused the other side ({}): {}",
                status.code(),
                escaped(status.message())
            ),
            Self::Overloaded(overload) => write!(f, "the session exceeded a limit: {overload}"),
            Self::ShutDown => f.write_str("this side has shut down"),
            Self::Expired => f.write_str("the identity of the other side has expired, and was not renewed in time"),
        }
    }
}

impl std::error::Error for ConnectionError {}

impl From<ProtocolError> for ConnectionError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{MemoryLimit, TimeLimit};

    /// The answers to what a program that connects again asks: lost, timed out, overloaded, shut down, refused,
    /// expired.
    fn answers(error: &ConnectionError) -> [bool; 6] {
        [
            error.is_lost(),
            error.is_timed_out(),
            error.is_overloaded(),
            error.is_shut_down(),
            error.is_refused(),
            error.is_expired(),
        ]
    }

    fn by_peer(code: CloseCode) -> ConnectionError {
        ConnectionError::ClosedByPeer { code, reason: "".into() }
    }

    fn timed_out() -> ConnectionError {
        ConnectionError::TimedOut(Timeout::new(TimeLimit::Keepalive, Duration::from_secs(30)))
    }

    fn overloaded() -> ConnectionError {
        ConnectionError::Overloaded(Overload::new(MemoryLimit::Outbox, 100, 101))
    }

    #[test]
    fn both_sides_of_an_ending_give_the_same_answers() {
        let endings = [
            ConnectionError::ClosedLocally,
            timed_out(),
            overloaded(),
            ConnectionError::ShutDown,
            ConnectionError::RefusedPeer(Status::permission_denied("not you")),
            ConnectionError::Expired,
            ConnectionError::Protocol(ProtocolError::OutOfSequence { seq: 3, expected: 2 }),
        ];
        for local in endings {
            let peer = by_peer(local.close_code());
            assert_eq!(answers(&local), answers(&peer), "{local}");
            assert_eq!((local.closed_by(), peer.closed_by()), (Some(Side::Local), Some(Side::Remote)), "{local}");
        }
    }

    #[test]
    fn a_refusal_says_which_side_has_refused_and_with_which_code() {
        let status = Status::not_found("no such room");
        let by_us = ConnectionError::RefusedPeer(status.clone()).to_string();
        assert_eq!(by_us, "this side's hooks, factories or contracts refused the other side (NOT_FOUND): no such room");
        let by_them = ConnectionError::Refused(status).to_string();
        assert_eq!(by_them, "the other side refused the session (NOT_FOUND): no such room");
    }

    #[test]
    fn each_question_is_about_one_ending() {
        let endings = [
            ConnectionError::Lost("reset".to_owned()),
            timed_out(),
            overloaded(),
            ConnectionError::ShutDown,
            ConnectionError::Refused(Status::permission_denied("not you")),
            ConnectionError::Expired,
        ];
        for (index, error) in endings.iter().enumerate() {
            assert_eq!(answers(error), std::array::from_fn(|question| question == index), "{error}");
        }
        assert_eq!((endings[0].closed_by(), endings[4].closed_by()), (None, Some(Side::Remote)));
    }

    #[test]
    fn a_new_session_is_worth_a_try_unless_a_side_wanted_the_end() {
        let retryable = [
            ConnectionError::Lost("reset".to_owned()),
            timed_out(),
            overloaded(),
            by_peer(CloseCode::GOING_AWAY),
            by_peer(CloseCode::RESTART),
            by_peer(CloseCode::TRY_AGAIN_LATER),
            by_peer(CloseCode::TIMEOUT),
            by_peer(CloseCode::EXPIRED),
            by_peer(CloseCode::GIVEN_UP),
            ConnectionError::Refused(Status::unavailable("not yet")),
            ConnectionError::Refused(Status::resource_exhausted("full")),
        ];
        let final_ones = [
            ConnectionError::ClosedLocally,
            ConnectionError::ShutDown,
            ConnectionError::TimedOut(Timeout::new(TimeLimit::Close, Duration::from_secs(5))),
            ConnectionError::TimedOut(Timeout::new(TimeLimit::Drain, Duration::from_secs(30))),
            ConnectionError::Expired,
            ConnectionError::Protocol(ProtocolError::OutOfSequence { seq: 3, expected: 2 }),
            ConnectionError::RefusedPeer(Status::unavailable("full")),
            ConnectionError::Refused(Status::unauthenticated("who are you?")),
            by_peer(CloseCode::NORMAL),
            by_peer(CloseCode::NO_STATUS),
            by_peer(CloseCode::PROTOCOL),
            by_peer(CloseCode::POLICY_VIOLATION),
            by_peer(CloseCode::REFUSED),
            by_peer(CloseCode::REPLACED),
        ];
        assert!(retryable.iter().all(ConnectionError::is_retryable), "{retryable:?}");
        assert!(!final_ones.iter().any(ConnectionError::is_retryable), "{final_ones:?}");
    }
}
