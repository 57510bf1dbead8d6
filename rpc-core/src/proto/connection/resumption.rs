//! `Resumption`: what a session needs to outlive its link. The steps are in `links`, the packets that are sent again in
//! `replay`, the last words in `bye`.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    error::{CloseCode, ConnectionError, TimeLimit, Timeout},
    proto::{kept_packets::KeptPackets, pings::PingBudget},
};

use super::Role;

/// A timer that has run out costs a session its link, and the session itself if nothing like this many bytes is gained
/// before the timer runs out again.
const GAIN: u64 = 16 * 1024;

/// How long a session can be resumed, and what it may keep for that.
#[derive(Clone, Debug, Default)]
pub struct Resumability {
    /// How long after the loss of its link the session lives on.
    pub window: Duration,
    /// Bytes of packets, bulk apart, that may wait to be acknowledged, and of bulk as many again. One packet always
    /// may.
    pub replay_buffer: usize,
}

impl Resumability {
    /// The same, with a window that is not longer than this.
    #[cfg(feature = "session")]
    pub(crate) fn at_most(self, window: Duration) -> Self {
        Self { window: self.window.min(window), ..self }
    }
}

/// Everything about the links that a session has had, and may yet have.
#[derive(Debug)]
pub(super) struct Resumption {
    /// What this side would like.
    asked: Resumability,
    /// How long the session lives without a link, as the Welcome has said; zero if it ends with its link.
    window: Duration,
    pub(super) token: Bytes,
    /// The number of the link; 0 for the first.
    pub(super) epoch: u64,
    /// How often the client may come back at once, from the first time on.
    pub(super) resumes: Option<PingBudget>,
    /// Packets that the other side may not have.
    pub(super) kept: KeptPackets,
    /// The session has no link at the moment.
    pub(super) detached: Option<Box<Detached>>,
    /// The other side has sent something since the Welcome, so that it knows of the session.
    pub(super) is_known: bool,
    pub(super) bye: Bye,
    /// What had been gained when each of these timers last cost the session its link.
    strikes: [Option<u64>; 2],
    /// The last packet that was acknowledged when the current period of acks began.
    pub(super) acked_before: u64,
}

/// The session has no link.
#[derive(Clone, Debug)]
pub(super) struct Detached {
    /// Since when.
    pub(super) since: Instant,
    /// How the last link was lost.
    pub(super) error: ConnectionError,
}

/// The last counted frame of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bye {
    /// The session goes on, or has ended without a Bye.
    None,
    /// Goes behind all other frames.
    Waits,
    /// Went in this packet, and has not been acknowledged.
    Sent(u64),
    /// Nothing is said or awaited any more.
    Over,
}

/// The timers of the session that judge the other side over several links.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strike {
    Assembly,
    Ack,
}

impl Resumption {
    /// The session ends with its link.
    pub(super) fn none() -> Self {
        Self {
            asked: Resumability::default(),
            window: Duration::ZERO,
            token: Bytes::new(),
            epoch: 0,
            resumes: None,
            kept: KeptPackets::default(),
            detached: None,
            is_known: false,
            bye: Bye::None,
            strikes: [None; 2],
            acked_before: 0,
        }
    }

    /// This side would like the session to outlive its links.
    pub(super) fn ask(&mut self, asked: Resumability) {
        self.asked = asked;
    }

    /// What this side would like, in milliseconds; 0 if the session may end with its link.
    pub(super) fn asked_ms(&self) -> u64 {
        u64::try_from(self.asked.window.as_millis()).unwrap_or(u64::MAX)
    }

    /// The session outlives its links, from the Welcome on.
    pub(super) fn grant(&mut self, window: Duration) {
        self.window = window;
        self.kept = KeptPackets::new(self.asked.replay_buffer);
    }

    /// Whether the session outlives its links.
    #[inline]
    pub(super) fn is_granted(&self) -> bool {
        !self.window.is_zero()
    }

    /// Bytes of packets, bulk apart, that may wait to be acknowledged, and of bulk as many again.
    pub(super) fn replay_buffer(&self) -> usize {
        self.asked.replay_buffer
    }

    /// How long the session lives without a link.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    #[inline]
    pub(super) fn is_detached(&self) -> bool {
        self.detached.is_some()
    }

    /// Whether no packet goes that is counted and new: there is no link, or others have to be acknowledged or sent
    /// again before.
    #[inline]
    pub(super) fn holds_new_packets(&self) -> bool {
        self.is_detached() || self.kept.is_full() || self.kept.has_again()
    }

    /// Whether the last counted frame has gone.
    #[inline]
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.bye, Bye::Sent(_) | Bye::Over)
    }

    /// Whether a packet has to be sent again, or the last words wait.
    pub(super) fn has_output(&self) -> bool {
        self.kept.has_again() || self.bye == Bye::Waits
    }

    /// Whether the session goes on when its link ends like this. `role` is this side's.
    pub(super) fn survives(&self, error: &ConnectionError, role: Role) -> bool {
        self.is_granted() && (self.is_known || self.epoch > 0 || role == Role::Client) && is_link_lost(error, role)
    }

    /// A timer that judges the other side has run out. True if that costs the session, because too little was `gained`
    /// since the timer cost it a link.
    pub(super) fn strike(&mut self, timer: Strike, gained: u64) -> bool {
        let (index, least) = match timer {
            Strike::Assembly => (0, GAIN),
            Strike::Ack => (1, 1),
        };
        let is_last = self.strikes[index].is_some_and(|before| gained.saturating_sub(before) < least);
        self.strikes[index] = Some(gained);
        is_last
    }
}

/// Whether a link that ends like this takes no session with it. A session that can be resumed is over with a Bye, or
/// with one of the codes below.
fn is_link_lost(error: &ConnectionError, role: Role) -> bool {
    match error {
        ConnectionError::Lost(_) | ConnectionError::Expired => true,
        ConnectionError::TimedOut(Timeout { limit, .. }) => !matches!(limit, TimeLimit::Close | TimeLimit::Drain),
        ConnectionError::ClosedByPeer { code, .. } => match *code {
            CloseCode::PROTOCOL
            | CloseCode::UNSUPPORTED
            | CloseCode::NOT_UTF8
            | CloseCode::POLICY_VIOLATION
            | CloseCode::TOO_BIG
            | CloseCode::REFUSED
            | CloseCode::REPLACED
            | CloseCode::GIVEN_UP => false,
            // A browser says it when its page goes.
            CloseCode::GOING_AWAY => role == Role::Client,
            _ => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: CloseCode) -> ConnectionError {
        ConnectionError::ClosedByPeer { code, reason: "".into() }
    }

    #[test]
    fn only_some_codes_end_a_session_that_can_be_resumed() {
        let ends = |role| {
            let codes = (1000..1016).chain(4400..4420).map(CloseCode);
            codes.filter(|code| !is_link_lost(&closed(*code), role)).map(|code| code.0).collect::<Vec<_>>()
        };
        assert_eq!(ends(Role::Client), [1002, 1003, 1007, 1008, 1009, 4400, 4409, 4410]);
        assert_eq!(ends(Role::Server), [1001, 1002, 1003, 1007, 1008, 1009, 4400, 4409, 4410]);
    }

    #[test]
    fn a_time_limit_of_the_link_ends_it_alone() {
        let timed_out = |limit| ConnectionError::TimedOut(Timeout::new(limit, Duration::from_secs(1)));
        for limit in [TimeLimit::Keepalive, TimeLimit::Write, TimeLimit::Message, TimeLimit::Payloads] {
            assert!(is_link_lost(&timed_out(limit), Role::Server), "{limit:?}");
        }
        assert!(is_link_lost(&ConnectionError::Expired, Role::Server));
        for error in [timed_out(TimeLimit::Close), timed_out(TimeLimit::Drain), ConnectionError::ClosedLocally] {
            assert!(!is_link_lost(&error, Role::Server), "{error}");
        }
    }

    #[test]
    fn a_timer_that_runs_out_twice_costs_the_session_unless_something_was_gained() {
        let mut resumption = Resumption::none();
        assert!(!resumption.strike(Strike::Assembly, 100));
        assert!(!resumption.strike(Strike::Assembly, 100 + GAIN));
        assert!(!resumption.strike(Strike::Ack, 7) && !resumption.strike(Strike::Ack, 8));
        assert!(resumption.strike(Strike::Assembly, 99 + 2 * GAIN));
        assert!(resumption.strike(Strike::Ack, 8));
    }

    #[test]
    fn a_new_session_of_which_the_client_may_not_know_ends_with_its_link() {
        let lost = ConnectionError::Lost("cut".to_owned());
        let mut resumption = Resumption::none();
        assert!(!resumption.survives(&lost, Role::Client));
        resumption.grant(Duration::from_secs(1));
        assert!(resumption.survives(&lost, Role::Client) && !resumption.survives(&lost, Role::Server));
        resumption.is_known = true;
        assert!(resumption.survives(&lost, Role::Server));
    }
}
