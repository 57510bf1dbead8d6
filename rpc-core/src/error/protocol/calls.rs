//! `CallViolation`: breaches of the rules of calls.

use std::fmt;

/// How a peer broke the rules of calls (`docs/protocol.md`, sections 7 to 9).
///
/// ```
/// use rpc_core::{CallViolation, ProtocolError};
///
/// let error = ProtocolError::from(CallViolation::StillLive { call: 3 });
/// assert_eq!(error.reason(), "call 3 came while it was still live");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallViolation {
    /// A call with the number of one that has not ended.
    StillLive {
        /// The number.
        call: u64,
    },
    /// Calls beyond the announced limit, which were refused, and now too many of them. Both kinds of calls count
    /// together.
    TooMany {
        /// Whether the last one was a one-way call.
        oneway: bool,
        /// The announced limit of that kind: [`Config::max_calls`](crate::Config::max_calls) or
        /// [`Config::max_oneway_calls`](crate::Config::max_oneway_calls).
        limit: u32,
        /// How many calls beyond the limits are refused before the session ends.
        refused: u32,
    },
    /// Too many completions for calls that await none.
    TooManyStrayCompletions {
        /// How many are passed over before the session ends.
        ignored: u32,
        /// The call of the last one.
        call: u64,
    },
    /// One-way calls of a depth were reported done at which no call may be made.
    DoneBeyondDepth {
        /// The depth.
        depth: u32,
    },
    /// More one-way calls were reported done than were sent, or fewer than before. All counts began with the session.
    ImpossibleDone {
        /// The depth of the calls.
        depth: u32,
        /// How many were reported done.
        count: u64,
        /// The bytes of their arguments, as they were reported.
        bytes: u64,
        /// How many were sent.
        sent: u64,
        /// The bytes of the arguments that were sent.
        sent_bytes: u64,
    },
    /// More of the one-way calls that say how many were dropped before them were reported done than were sent, or fewer
    /// than before. All counts began with the session.
    ImpossibleMarkedDone {
        /// How many were reported done.
        count: u64,
        /// How many were sent.
        sent: u64,
    },
}

impl fmt::Display for CallViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StillLive { call } => write!(f, "call {call} came while it was still live"),
            Self::TooMany { oneway, limit, refused } => {
                let what = if *oneway { "one-way calls" } else { "calls" };
                write!(
                    f,
                    "more than {refused} calls came beyond the announced limits, the last one beyond the limit of \
                     {limit} {what}"
                )
            }
            Self::TooManyStrayCompletions { ignored, call } => {
                write!(f, "more than {ignored} completions came for calls that await none, the last for call {call}")
            }
            Self::DoneBeyondDepth { depth } => {
                write!(f, "one-way calls of depth {depth} were reported done, but there are none")
            }
            Self::ImpossibleDone { depth, count, bytes, sent, sent_bytes } => write!(
                f,
                "one-way calls of depth {depth} were reported done: {count} with {bytes} bytes; sent were {sent} with \
                 {sent_bytes} bytes"
            ),
            Self::ImpossibleMarkedDone { count, sent } => {
                write!(f, "{count} one-way calls that might have been dropped were reported done; sent were {sent}")
            }
        }
    }
}
