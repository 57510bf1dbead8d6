//! `Timeout` and `Overload`: the limit for which a session was given up.

use std::{fmt, time::Duration};

/// A time limit that ran out; see [`ConnectionError::TimedOut`](super::ConnectionError::TimedOut).
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{ConnectionError, TimeLimit, Timeout};
///
/// let timeout = Timeout::new(TimeLimit::Keepalive, Duration::from_secs(30));
/// assert_eq!(timeout.limit.setting(), "Config::keepalive_timeout");
/// assert_eq!(
///     timeout.to_string(),
///     "nothing was heard from the other side for 30s (Config::keepalive_timeout)"
/// );
/// assert!(ConnectionError::TimedOut(timeout).is_timed_out());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timeout {
    /// What did not happen in time.
    pub limit: TimeLimit,
    /// The time that the limit had.
    pub after: Duration,
}

impl Timeout {
    /// This limit, which had this time.
    pub const fn new(limit: TimeLimit, after: Duration) -> Self {
        Self { limit, after }
    }
}

/// What has to happen within some time, or else the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeLimit {
    /// The client's Hello must come.
    Hello,
    /// The server's Welcome must come.
    Welcome,
    /// A session must be open at the server: its `opened` hooks and objects must be done. The time counts from the
    /// beginning of the link, and so the wait for the Hello is a part of it.
    Opening,
    /// Something must be heard from the other side.
    Keepalive,
    /// After a sleep of this machine, something must be heard from the other side.
    Wake,
    /// A message that has begun must grow by 16 KiB, or end, in each period of this length.
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
    /// A one-way call whose policy is [`Overflow::Disconnect`](crate::Overflow::Disconnect) must leave its queue.
    Queue,
    /// A session that was told to close must end.
    Close,
    /// A session that was told to drain must end.
    Drain,
}

impl TimeLimit {
    /// The setting that gives the limit its time, written as `Config::` and the name of a field of
    /// [`Config`](crate::Config): for instance `Config::hello_timeout`.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Hello | Self::Welcome | Self::Opening => "Config::hello_timeout",
            Self::Keepalive => "Config::keepalive_timeout",
            Self::Wake => "Config::wake_check",
            Self::Message | Self::Payloads | Self::Backlog { .. } | Self::Acks { .. } => "Config::progress_timeout",
            Self::Write => "Config::write_timeout",
            Self::Queue => "Config::queue_timeout",
            Self::Close => "Config::close_timeout",
            Self::Drain => "Config::drain_timeout",
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, name) = (self.after, self.limit.setting());
        match self.limit {
            TimeLimit::Hello => write!(f, "no Hello came from the client within {after:?} ({name} of the server)"),
            TimeLimit::Welcome => write!(f, "no Welcome came from the server within {after:?} ({name} of the client)"),
            TimeLimit::Opening => {
                write!(
                    f,
                    "the session was not open within {after:?} of the beginning of its link ({name} of the server): its `opened` \
                     hooks and objects were not done"
                )
            }
            TimeLimit::Keepalive => write!(f, "nothing was heard from the other side for {after:?} ({name})"),
            TimeLimit::Wake => {
                write!(
                    f,
                    "this machine has slept, and the other side did not answer within {after:?} after that ({name})"
                )
            }
            TimeLimit::Message => {
                write!(f, "a message has begun, and within {after:?} it neither grew by 16 KiB nor ended ({name})")
            }
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
            TimeLimit::Queue => {
                write!(f, "a one-way call waited for {after:?} ({name}); the other side does not keep up")
            }
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
/// let overload = Overload::new(MemoryLimit::Outbox, 1_000_000, 1_000_300);
/// assert_eq!(overload.limit.setting(), "Config::outbox_hard");
/// assert!(overload.to_string().starts_with("more than 1000000 bytes wait to be written"));
/// assert!(ConnectionError::Overloaded(overload).is_overloaded());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Overload {
    /// What was bounded.
    pub limit: MemoryLimit,
    /// The bound in bytes: the value of the setting, or of [`MemoryLimit::Session`] the part of it that is for input.
    pub max: usize,
    /// How many bytes counted against the bound when the session was given up.
    pub held: usize,
}

impl Overload {
    /// This bound of `max` bytes, against which `held` bytes counted.
    pub const fn new(limit: MemoryLimit, max: usize, held: usize) -> Self {
        Self { limit, max, held }
    }
}

/// What is bounded, so that the session ends if more is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryLimit {
    /// The bytes that wait to be written to the other side, which does not read.
    Outbox,
    /// The one-way calls that wait for the other side, which does not keep up, if one of them has the policy
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Queue,
    /// The bytes that this side holds of what the other side sends: three quarters of the setting, without
    /// [`Config::outbox_hard`](crate::Config::outbox_hard). A sixteenth more than this bound may be held before the
    /// session ends, because some of what comes in cannot be refused.
    Session,
    /// The bytes that all sessions of a server hold together. The session that holds most is given up, once all hold a
    /// sixteenth more than this bound.
    Server,
    /// The bytes that all sessions of a server keep together to be resumed. A session is given up that keeps much, has
    /// come back, and has not sent again yet what it keeps.
    Replay,
}

impl MemoryLimit {
    /// The setting of the bound, written as the type, `::` and the name of the setting: a field of
    /// [`Config`](crate::Config), for instance `Config::outbox_hard`, or `ServerBuilder::memory`.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Outbox => "Config::outbox_hard",
            Self::Queue => "Config::max_queued_bytes",
            Self::Session => "Config::session_memory",
            Self::Server => "ServerBuilder::memory",
            Self::Replay => "ServerBuilder::replay_total",
        }
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (max, name) = (self.max, self.limit.setting());
        match self.limit {
            MemoryLimit::Outbox => {
                write!(f, "more than {max} bytes wait to be written ({name}); the other side does not read")
            }
            MemoryLimit::Queue => {
                write!(f, "more than {max} bytes of one-way calls wait ({name}); the other side does not keep up")
            }
            MemoryLimit::Session => write!(
                f,
                "the session held more than {max} bytes of what came in, the part of {name} that is for input"
            ),
            MemoryLimit::Server => {
                write!(f, "all sessions together hold more than {max} bytes ({name}), this one the most")
            }
            MemoryLimit::Replay => write!(
                f,
                "all sessions together keep more than {max} bytes to be resumed ({name}), this one more than most, \
                 which it had yet to send again"
            ),
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
                "the session was not open within 30s of the beginning of its link (Config::hello_timeout of the server): its `opened` hooks and objects were not done",
            ),
            (TimeLimit::Keepalive, "nothing was heard from the other side for 30s (Config::keepalive_timeout)"),
            (
                TimeLimit::Wake,
                "this machine has slept, and the other side did not answer within 30s after that (Config::wake_check)",
            ),
            (
                TimeLimit::Message,
                "a message has begun, and within 30s it neither grew by 16 KiB nor ended (Config::progress_timeout)",
            ),
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
                TimeLimit::Queue,
                "a one-way call waited for 30s (Config::queue_timeout); the other side does not keep up",
            ),
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
            assert_eq!(Timeout::new(limit, Duration::from_secs(30)).to_string(), text);
            assert!(text.contains(limit.setting()));
        }
        let bounds = [
            (
                MemoryLimit::Outbox,
                "more than 7 bytes wait to be written (Config::outbox_hard); the other side does not read",
            ),
            (
                MemoryLimit::Queue,
                "more than 7 bytes of one-way calls wait (Config::max_queued_bytes); the other side does not keep up",
            ),
            (
                MemoryLimit::Session,
                "the session held more than 7 bytes of what came in, the part of Config::session_memory that is for input",
            ),
            (
                MemoryLimit::Server,
                "all sessions together hold more than 7 bytes (ServerBuilder::memory), this one the most",
            ),
            (
                MemoryLimit::Replay,
                "all sessions together keep more than 7 bytes to be resumed (ServerBuilder::replay_total), this one more than most, which it had yet to send again",
            ),
        ];
        for (limit, text) in bounds {
            assert_eq!(Overload::new(limit, 7, 8).to_string(), text);
            assert!(text.contains(limit.setting()));
        }
    }
}
