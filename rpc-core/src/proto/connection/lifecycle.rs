//! `Lifecycle`: where a session stands between its handshake and its end.

use std::time::{Duration, Instant};

use super::state::LostCalls;
use crate::{error::ConnectionError, status::Status, wire::Frame};

const SHUTTING_DOWN: &str = "the other side is shutting down";

/// The phase of a session, and who is about to leave.
///
/// A session passes through the phases in their order, and may skip some. Each step of the drain is taken once and
/// never taken back: a side says that it leaves, the grace for what runs is over, the session ends.
#[derive(Debug)]
pub(super) struct Lifecycle {
    pub(super) phase: Phase,
    /// This side takes no new calls.
    pub(super) draining: bool,
    /// The drain waits for the drains of other sessions.
    pub(super) held: bool,
    /// Whether the shell was told last that something is served here, while this side drains.
    pub(super) told_serving: bool,
    /// The time that a drain gives to running calls is over.
    pub(super) grace_over: bool,
    /// A method has succeeded that ends the session, whose reply is on its way.
    pub(super) terminated: bool,
    /// A method of the other side has succeeded that ends the session, and its reply has been taken in.
    pub(super) terminated_there: bool,
    /// The other side has said that it leaves.
    peer_leaves: bool,
    /// What is known of the end, once something is.
    leaving: Option<Box<Leaving>>,
}

/// What a session has to know once a side is about to leave.
#[derive(Debug, Default)]
struct Leaving {
    /// Why the session has ended; set exactly in [`Phase::Ended`].
    ended: Option<ConnectionError>,
    /// The calls that were made here and that the end has cut off.
    lost: LostCalls,
    /// The time by which this end must be over, if it drains.
    end_by: Option<Instant>,
    /// How long after the end of the session a drain asks the other side to come back.
    ask_back_in: Duration,
    /// What the other side has asked for in the same way.
    asked_back_in: Duration,
    /// What this side has said to the other when it began to drain.
    goodbye: Option<Box<Frame>>,
    /// The last packet that the other side had taken in when it said that it leaves.
    peer_last_seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A client waits for the Welcome, a server for its shell's verdict on the client.
    Handshake,
    Open,
    Ended,
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Handshake,
            draining: false,
            held: false,
            told_serving: true,
            grace_over: false,
            terminated: false,
            terminated_there: false,
            peer_leaves: false,
            leaving: None,
        }
    }

    fn leaving(&mut self) -> &mut Leaving {
        self.leaving.get_or_insert_default()
    }

    /// Why the session has ended, if it has.
    pub(super) fn ended(&self) -> Option<&ConnectionError> {
        self.leaving.as_ref().and_then(|leaving| leaving.ended.as_ref())
    }

    pub(super) fn set_ended(&mut self, error: ConnectionError) {
        self.leaving().ended = Some(error);
    }

    /// The calls that were made here and that the end has cut off.
    pub(super) fn lost(&self) -> LostCalls {
        self.leaving.as_ref().map(|leaving| leaving.lost).unwrap_or_default()
    }

    pub(super) fn lost_mut(&mut self) -> &mut LostCalls {
        &mut self.leaving().lost
    }

    /// How long after the end of the session a drain asks the other side to come back.
    pub(super) fn ask_back_in(&self) -> Duration {
        self.leaving.as_ref().map_or(Duration::ZERO, |leaving| leaving.ask_back_in)
    }

    pub(super) fn set_ask_back_in(&mut self, after: Duration) {
        self.leaving().ask_back_in = after;
    }

    /// What the other side has asked for in the same way.
    pub(super) fn asked_back_in(&self) -> Duration {
        self.leaving.as_ref().map_or(Duration::ZERO, |leaving| leaving.asked_back_in)
    }

    pub(super) fn set_asked_back_in(&mut self, after: Duration) {
        self.leaving().asked_back_in = after;
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether one of both sides is about to leave.
    #[inline]
    pub(super) fn is_leaving(&self) -> bool {
        self.draining || self.peer_leaves
    }

    /// Whether this side makes no new call without a parent at the other side. Handlers still make calls while the
    /// drain of this side is held.
    #[inline]
    pub(super) fn makes_no_call(&self, in_handler: bool) -> bool {
        self.is_leaving() && !(in_handler && self.held && !self.peer_leaves)
    }

    /// Why a call cannot be made, if either side takes no new ones.
    pub(super) fn why_no_call(&self) -> Status {
        let who = if self.draining { "this side" } else { "the other side" };
        Status::unavailable(format!("the call was not made: {who} is shutting down")).not_executed()
    }

    /// What this side says when it begins to drain, and on each further link.
    pub(super) fn goodbye(&self) -> Option<Frame> {
        self.leaving.as_ref().and_then(|leaving| leaving.goodbye.as_deref().cloned())
    }

    /// This side drains, and says this.
    pub(super) fn say_goodbye(&mut self, goodbye: Frame) {
        self.draining = true;
        self.leaving().goodbye = Some(Box::new(goodbye));
    }

    /// The time by which this side must be over, if it drains.
    pub(super) fn end_by(&self) -> Option<Instant> {
        self.leaving.as_ref().and_then(|leaving| leaving.end_by)
    }

    /// Sets the time by which this side must be over. The first time that is set stays.
    pub(super) fn set_end_by(&mut self, at: Instant) {
        self.leaving().end_by.get_or_insert(at);
    }

    /// The other side has said that it leaves; false if it has said so before.
    pub(super) fn note_peer_leaves(&mut self, last_seq: u64) -> bool {
        if self.peer_leaves {
            return false;
        }
        self.peer_leaves = true;
        self.leaving().peer_last_seq = last_seq;
        true
    }

    /// Whether the other side took this packet in after it had said that it leaves.
    pub(super) fn came_too_late(&self, packet: u64) -> bool {
        self.peer_leaves && self.leaving.as_ref().is_some_and(|leaving| packet > leaving.peer_last_seq)
    }

    /// Why a call that came in is not served; `nested` calls are part of one that this side has made, so that a drain
    /// can finish.
    #[inline]
    pub(super) fn refuse_call(&self, nested: bool) -> Option<Status> {
        if self.terminated {
            return Some(terminated());
        }
        let refused = self.draining && (!nested || self.grace_over);
        refused.then(shutting_down)
    }

    /// Why a one-way call that came in is not served.
    #[inline]
    pub(super) fn refuse_oneway(&self) -> Option<Status> {
        if self.terminated {
            return Some(terminated());
        }
        self.grace_over.then(|| Status::unavailable(SHUTTING_DOWN))
    }
}

#[cold]
fn terminated() -> Status {
    Status::unavailable("the session is ending: a method that ends it has succeeded").not_executed()
}

/// The status of a call that came too late, seen from its caller.
#[cold]
pub(super) fn shutting_down() -> Status {
    Status::unavailable(SHUTTING_DOWN).not_executed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_lets_nested_calls_in_until_its_grace_is_over() {
        let mut life = Lifecycle::new();
        let refused = |life: &Lifecycle| {
            (life.refuse_call(false).is_some(), life.refuse_call(true).is_some(), life.refuse_oneway().is_some())
        };
        assert_eq!(refused(&life), (false, false, false));
        life.draining = true;
        assert_eq!(refused(&life), (true, false, false));
        life.grace_over = true;
        assert_eq!(refused(&life), (true, true, true));
    }

    #[test]
    fn nothing_starts_after_a_method_that_ends_the_session() {
        let mut life = Lifecycle::new();
        life.terminated = true;
        assert!(life.refuse_call(true).is_some() && life.refuse_oneway().is_some());
    }

    #[test]
    fn the_first_goodbye_and_the_first_end_count() {
        let mut life = Lifecycle::new();
        assert!(!life.came_too_late(u64::MAX));
        assert!(life.note_peer_leaves(5) && !life.note_peer_leaves(9));
        assert!(life.is_leaving() && !life.came_too_late(5) && life.came_too_late(6));
        let now = Instant::now();
        life.set_end_by(now);
        life.set_end_by(now + Duration::from_secs(1));
        assert_eq!(life.end_by(), Some(now));
    }
}
