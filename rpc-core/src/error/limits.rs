//! `Timeout` and `Overload`: the limit for which a session was given up.

use std::{fmt, time::Duration};

/// A time limit that ran out; see [`ConnectionError::TimedOut`](super::ConnectionError::TimedOut).
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{ConnectionError, TimeLimit, Timeout};
///
/// let timeout = Timeout { limit: TimeLimit::Keepalive, after: Duration::from_secs(30) };
/// assert_eq!(timeout.limit.name(), "Config::keepalive_timeout");
/// assert_eq!(
///     timeout.to_string(),
///     "nothing was heard from the other side for 30s (Config::keepalive_timeout)"
/// );
/// assert!(ConnectionError::TimedOut(timeout).is_timed_out());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeout {
    /// What did not happen in time.
    pub limit: TimeLimit,
    /// The time that the limit had.
    pub after: Duration,
}

/// What has to happen within some time, or else the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeLimit {
    /// The client's Hello must come.
    Hello,
    /// The server's Welcome must come.
    Welcome,
    /// The server's `opened` hooks and the session's objects must be done.
    Opening,
    /// Something must be heard from the other side.
    Keepalive,
    /// A message that has begun must go on.
    Message,
    /// Payloads that arrive in chunks must go on.
    Payloads,
    /// The other side must take some of what waits to be written, if that is much.
    Backlog {
        /// How many bytes may wait without the limit.
        waiting: usize,
        /// How many bytes the other side must take.
        least: u64,
    },
    /// The other side must acknowledge some of the payloads and items that were sent.
    Acks {
        /// How many bytes it must acknowledge.
        least: usize,
    },
    /// A write must go on.
    Write,
    /// A session that was told to close must end.
    Close,
    /// A session that was told to drain must end.
    Drain,
}

impl TimeLimit {
    /// The field of [`Config`](crate::Config) that sets the limit: for instance `Config::hello_timeout`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello | Self::Welcome | Self::Opening => "Config::hello_timeout",
            Self::Keepalive => "Config::keepalive_timeout",
            Self::Message | Self::Payloads | Self::Backlog { .. } | Self::Acks { .. } => "Config::progress_timeout",
            Self::Write => "Config::write_timeout",
            Self::Close => "Config::close_timeout",
            Self::Drain => "Config::drain_timeout",
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, name) = (self.after, self.limit.name());
        match self.limit {
            TimeLimit::Hello => write!(f, "no Hello came from the client within {after:?} ({name} of the server)"),
            TimeLimit::Welcome => write!(f, "no Welcome came from the server within {after:?} ({name} of the client)"),
            TimeLimit::Opening => {
                write!(
                    f,
                    "the server's `opened` hooks and the session's objects took longer than {after:?} ({name} of the server)"
                )
            }
            TimeLimit::Keepalive => write!(f, "nothing was heard from the other side for {after:?} ({name})"),
            TimeLimit::Message => write!(f, "a message began and did not end within {after:?} ({name})"),
            TimeLimit::Payloads => {
                write!(f, "the payloads that were arriving made no progress within {after:?} ({name})")
            }
            TimeLimit::Backlog { waiting, least } => write!(
                f,
                "more than {waiting} bytes wait to be written, and the other side took less than {least} of them \
                 within {after:?} ({name})"
            ),
            TimeLimit::Acks { least } => write!(
                f,
                "payloads wait for the other side, which acknowledged less than {} KiB of them within {after:?} \
                 ({name})",
                least / 1024
            ),
            TimeLimit::Write => write!(f, "a write made no progress within {after:?} ({name})"),
            TimeLimit::Close | TimeLimit::Drain => write!(
                f,
                "the session has not ended within {after:?} ({name}): its task did not get to run, perhaps because a \
                 handler blocks its thread"
            ),
        }
    }
}

/// A bound on memory that was exceeded; see [`ConnectionError::Overloaded`](super::ConnectionError::Overloaded).
///
/// ```
/// use rpc_core::{ConnectionError, MemoryLimit, Overload};
///
/// let overload = Overload { limit: MemoryLimit::Outbox, max: 1_000_000, held: 1_000_300 };
/// assert_eq!(overload.limit.name(), "Config::outbox_hard");
/// assert!(overload.to_string().starts_with("more than 1000000 bytes wait to be written"));
/// assert!(ConnectionError::Overloaded(overload).is_overloaded());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Overload {
    /// What was bounded.
    pub limit: MemoryLimit,
    /// The bound in bytes, as it was configured.
    pub max: usize,
    /// How many bytes counted against the bound when the session was given up.
    pub held: usize,
}

/// What is bounded, so that the session ends if it takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryLimit {
    /// What waits to be written to the other side, which does not read.
    Outbox,
    /// What the other side makes this one hold. A part of `max` belongs to output, and a little more than the rest may
    /// be held.
    Session,
    /// What all sessions of a server hold together. The session that holds most is given up.
    Server,
}

impl MemoryLimit {
    /// The setting that bounds it: a field of [`Config`](crate::Config), as `Config::outbox_hard`, or
    /// `ServerBuilder::memory`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbox => "Config::outbox_hard",
            Self::Session => "Config::session_memory",
            Self::Server => "ServerBuilder::memory",
        }
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (max, name) = (self.max, self.limit.name());
        match self.limit {
            MemoryLimit::Outbox => {
                write!(f, "more than {max} bytes wait to be written ({name}); the other side does not read")
            }
            MemoryLimit::Session => write!(
                f,
                "the session held more than {max} bytes, as much as one session may make this side hold ({name})"
            ),
            MemoryLimit::Server => {
                write!(f, "all sessions together hold more than {max} bytes ({name}), this one the most")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts go to the peer and into logs, so they stay as they are.
    #[test]
    fn each_limit_has_its_text_and_names_its_setting() {
        let times = [
            (TimeLimit::Hello, "no Hello came from the client within 30s (Config::hello_timeout of the server)"),
            (TimeLimit::Welcome, "no Welcome came from the server within 30s (Config::hello_timeout of the client)"),
            (
                TimeLimit::Opening,
                "the server's `opened` hooks and the session's objects took longer than 30s (Config::hello_timeout of the server)",
            ),
            (TimeLimit::Keepalive, "nothing was heard from the other side for 30s (Config::keepalive_timeout)"),
            (TimeLimit::Message, "a message began and did not end within 30s (Config::progress_timeout)"),
            (
                TimeLimit::Payloads,
                "the payloads that were arriving made no progress within 30s (Config::progress_timeout)",
            ),
            (
                TimeLimit::Backlog { waiting: 65_536, least: 65_535 },
                "more than 65536 bytes wait to be written, and the other side took less than 65535 of them within 30s (Config::progress_timeout)",
            ),
            (
                TimeLimit::Acks { least: 65_536 },
                "payloads wait for the other side, which acknowledged less than 64 KiB of them within 30s (Config::progress_timeout)",
            ),
            (TimeLimit::Write, "a write made no progress within 30s (Config::write_timeout)"),
            (
                TimeLimit::Close,
                "the session has not ended within 30s (Config::close_timeout): its task did not get to run, perhaps because a handler blocks its thread",
            ),
            (
                TimeLimit::Drain,
                "the session has not ended within 30s (Config::drain_timeout): its task did not get to run, perhaps because a handler blocks its thread",
            ),
        ];
        for (limit, text) in times {
            assert_eq!(Timeout { limit, after: Duration::from_secs(30) }.to_string(), text);
            assert!(text.contains(limit.name()));
        }
        let bounds = [
            (
                MemoryLimit::Outbox,
                "more than 7 bytes wait to be written (Config::outbox_hard); the other side does not read",
            ),
            (
                MemoryLimit::Session,
                "the session held more than 7 bytes, as much as one session may make this side hold (Config::session_memory)",
            ),
            (
                MemoryLimit::Server,
                "all sessions together hold more than 7 bytes (ServerBuilder::memory), this one the most",
            ),
        ];
        for (limit, text) in bounds {
            assert_eq!(Overload { limit, max: 7, held: 8 }.to_string(), text);
            assert!(text.contains(limit.name()));
        }
    }
}
