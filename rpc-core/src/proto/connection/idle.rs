//! The time in which a call with streams among its arguments must come a step further.

use std::time::Instant;

use super::{Connection, DeadlineKey};
use crate::{
    proto::{CallKey, streams::WaitsFor},
    status::Status,
    wire::TransferId,
};

impl Connection {
    /// Something of a stream was produced or read: that keeps the call alive whose argument it is.
    pub(super) fn renew_gap(&mut self, now: Instant, id: TransferId) {
        let slot = self.send_streams.owner(id).and_then(|key| self.calls.slots.find_mut(key));
        if let Some((_, last)) = slot.and_then(|slot| slot.idle_timeout.as_mut()) {
            *last = now;
        }
    }

    /// The time in which something had to move for a call may be over.
    pub(super) fn expire_idle(&mut self, at: Instant, key: CallKey) {
        let Some(slot) = self.calls.slots.find(key) else { return };
        let Some((idle_timeout, last)) = slot.idle_timeout else { return };
        match last.checked_add(idle_timeout) {
            Some(due) if due > at => self.push_deadline(due, DeadlineKey::Idle(key)),
            Some(_) => {
                let mut waits = slot.streams.iter().filter_map(|id| self.send_streams.waits_for(*id));
                let first = waits.next();
                let whole = first.filter(|first| waits.all(|other| other == *first));
                let what = match (first, whole) {
                    (None, _) => "the streams among the arguments have been read, and no answer has come",
                    (_, Some(WaitsFor::Reader)) => {
                        "the other side has not gone on reading the streams among the arguments"
                    }
                    (_, Some(WaitsFor::Producer)) => {
                        "no item was produced for the streams among the arguments, nor their end: a StreamSender ends its stream by `finish`"
                    }
                    _ => "nothing was produced and read of the streams among the arguments",
                };
                let status = Status::deadline_exceeded(format!(
                    "for {idle_timeout:?} {what} (Config::call_timeout; a call that may pause for longer takes a timeout of its own)"
                ));
                self.expire_call(key, Some(status));
            }
            None => {}
        }
    }
}
