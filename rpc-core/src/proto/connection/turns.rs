//! Handlers that keep the calls of other sessions waiting do not wait long for a session that has lost its link: their
//! calls fail, and so do their waits for items. One lost link must not hold up an object that serves all sessions.

use super::{CallStart, Connection};
use crate::{
    proto::{CallKey, ServedCall, assembly::Purpose, slots::SlotState},
    status::Status,
};

impl Connection {
    /// The session has been without a link for as long as a call may wait that holds up other sessions.
    pub(super) fn end_turns(&mut self) {
        let Some(links) = self.resumption.granted_mut() else { return };
        links.end_turns();
        let keys = self.calls.slots.keys();
        for key in keys {
            self.end_if_it_holds_up(key);
        }
        // Their readers look whether they hold others up.
        if let Some(streams) = self.recv_streams.get_mut() {
            streams.wake_readers(&mut self.output.wakes);
        }
    }

    /// A call waits, for its outcome or to be sent: ends it if it holds up other sessions, and the session has been
    /// without a link for too long.
    pub fn end_if_it_holds_up(&mut self, key: CallKey) {
        if !self.ends_turns() {
            return;
        }
        let origin = self.calls.slots.find(key).and_then(|slot| slot.origin.as_deref());
        if origin.is_some_and(ServedCall::holds_up_sessions) {
            self.end_held_up(key);
        }
    }

    fn ends_turns(&self) -> bool {
        self.resumption.detached().is_some_and(|detached| detached.ends_turns)
    }

    fn end_held_up(&mut self, key: CallKey) {
        let Some(slot) = self.calls.slots.find(key) else { return };
        let status = self.held_up(slot.method.map(ToString::to_string));
        match slot.state {
            SlotState::Behind | SlotState::Waiting | SlotState::Admitted | SlotState::Queued => {
                self.fail(key, status.not_executed());
            }
            SlotState::Sent => {
                self.resolve_early(key, status);
                self.give_up(key, false);
            }
            SlotState::Arriving(transfer) => {
                self.resolve_early(key, status);
                self.stop_arriving(transfer, Purpose::DiscardFor(key));
                self.give_up_streams(key);
            }
            SlotState::Abandoned | SlotState::Resolved(_) | SlotState::Free => {}
        }
    }

    /// Why a call that holds up other sessions is not made, or its wait for an item ends: the session has been without
    /// a link for too long. `None` if the call may wait.
    pub fn refuse_to_hold_up(&self, call: &ServedCall) -> Option<Status> {
        (self.ends_turns() && call.holds_up_sessions()).then(|| self.held_up(None))
    }

    /// As [`Self::refuse_to_hold_up`], for a call that is to be made. A one-way call may find all that it needs, and
    /// then waits for nothing.
    #[inline]
    pub(super) fn refuse_to_wait(&self, start: &CallStart) -> Option<Status> {
        if !self.resumption.is_detached() || start.oneway {
            return None;
        }
        self.refuse_to_hold_up(start.origin.as_deref()?).map(Status::not_executed)
    }

    fn held_up(&self, call: Option<String>) -> Status {
        let what = call.unwrap_or_else(|| "the call".to_owned());
        Status::unavailable(format!(
            "{what}: the other side has been without a link for {:?} (Config::detached_turn), and the handler that waits \
             has the turn of an object for which other sessions wait",
            self.config.detached_turn()
        ))
    }
}
