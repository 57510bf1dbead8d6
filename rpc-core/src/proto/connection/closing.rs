//! The end of a connection, and the drain before it.

use std::time::{Duration, Instant};

use super::{
    Connection, ConnectionError, Event, Phase, ServedKey, ServedState, SessionTimer, lifecycle::shutting_down,
    state::LostCalls,
};
use crate::{
    error::{MemoryLimit, Overload, ProtocolError},
    proto::{
        Cancellation, Outcome,
        assembly::Purpose,
        out_frame::OnSent,
        slots::{CallKey, SlotState},
    },
    status::{Execution, Status},
    wire::Frame,
};

/// What happens to output that waits when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// The output is thrown away, because the other side would not read it.
    Nothing,
    /// One-way calls and completions still go out.
    Output,
}

impl Connection {
    /// Ends the connection from this side. Pending calls resolve, and the shell is told to stop the handlers. One-way
    /// calls and completions that wait still go out. Does nothing after the end.
    pub fn close(&mut self) {
        self.end(ConnectionError::ClosedLocally, Flush::Output);
    }

    /// As [`Self::close`], and the other side is told that this one shuts down.
    pub fn shut_down(&mut self) {
        self.end(ConnectionError::ShutDown, Flush::Output);
    }

    /// Throws away all output, once the transport is gone.
    pub fn discard_output(&mut self) {
        self.end_bye();
        if let Some(link) = self.link.get_mut() {
            link.discard_output();
        }
    }

    /// Takes no new calls, lets the running calls and those nested in them finish, and then ends. After the grace that
    /// the configuration sets, handlers are stopped; some time later the connection is closed, even if a handler still
    /// runs.
    pub fn drain(&mut self, now: Instant, message: &str) {
        let (whole, closing) = (self.config.drain_timeout(), self.config.close_timeout());
        // The steps after the goodbye must fit into the time as well.
        let over = whole - whole / 20;
        self.life.set_end_by(now + over);
        match self.life.phase {
            Phase::Ended => return,
            Phase::Handshake => return self.end(ConnectionError::ShutDown, Flush::Output),
            Phase::Open if self.life.draining => return,
            Phase::Open => {}
        }
        self.output.emit(Event::Draining);
        let message = Status::unavailable(message).cut_to(self.negotiated.text).message().to_owned();
        let after_ms = u64::try_from(self.life.ask_back_in().as_millis()).unwrap_or(u64::MAX);
        let goodbye = Frame::GoAway { last_seq: self.sequence.received(), message, after_ms };
        self.life.say_goodbye(goodbye.clone());
        if !self.resumption.is_detached() {
            self.link.unsequenced.push_back(goodbye);
        }
        self.schedule.timers.set(SessionTimer::DrainGrace, now + self.config.drain_grace());
        self.schedule.timers.set(SessionTimer::Drain, now + (over - closing.min(over / 3)));
        self.fail_unsent("this side is shutting down");
    }

    /// As [`Self::drain`], but the connection does not end before [`Self::release`], or before the grace is over, even
    /// if nothing is under way. Until then handlers make calls here, of whichever session they are.
    pub fn drain_held(&mut self, now: Instant, message: &str) {
        self.life.held |= self.life.is_open() && !self.life.draining;
        self.drain(now, message);
    }

    /// Lets a held drain go on.
    pub fn release(&mut self) {
        self.life.held = false;
    }

    /// Whether a call is served here, or a stream of a result is produced.
    pub fn is_serving(&self) -> bool {
        !self.served.is_nothing_awaited(false) || self.send_streams.len() > 0
    }

    /// The number of calls that have been taken in.
    pub fn calls_taken_in(&self) -> u64 {
        self.served.taken_in()
    }

    /// A drain that begins later asks the other side to come back when this time is over; zero asks for nothing.
    pub fn ask_back_in(&mut self, after: Duration) {
        self.life.set_ask_back_in(after);
    }

    /// How long after the end of the session the other side, which has said that it leaves, wants this side to come
    /// back; zero if it has not said that.
    pub fn asked_back_in(&self) -> Duration {
        self.life.asked_back_in()
    }

    pub(super) fn handle_go_away(&mut self, last_seq: u64, message: &str, after_ms: u64) {
        if self.life.note_peer_leaves(last_seq) {
            self.life.set_asked_back_in(Duration::from_millis(after_ms));
            self.output.emit(Event::Draining);
            let why = if message.is_empty() { "the other side is shutting down" } else { message };
            self.fail_unsent(why);
        }
    }

    /// Fails the calls that have not gone out and have no parent at the other side, which would refuse them.
    fn fail_unsent(&mut self, why: &str) {
        let status = Status::unavailable(format!("the call was not made: {why}")).not_executed();
        for key in self.calls.slots.keys() {
            let Some(slot) = self.calls.slots.find(key) else { continue };
            let refused = slot.parent.is_none() && self.life.makes_no_call(slot.origin.is_some());
            if refused && matches!(slot.state, SlotState::Behind | SlotState::Waiting | SlotState::Admitted) {
                self.fail(key, status.clone());
            }
        }
    }

    /// Fails a call that the other side does not know of.
    pub(super) fn fail(&mut self, key: CallKey, status: Status) {
        self.withdraw(key);
        if let Some(slot) = self.calls.slots.find_mut(key) {
            slot.state = SlotState::Resolved(Outcome::Status(status));
            self.output.wakes.extend(slot.waker.take());
        }
    }

    /// The drain's grace is over: running handlers are stopped, and calls that would start now are refused.
    pub(super) fn stop_handlers(&mut self) {
        self.life.grace_over = true;
        self.release();
        for (key, state) in self.served.states() {
            match (key, state) {
                (_, ServedState::Running) => self.stop_handler(key, Cancellation::Drain),
                (ServedKey::Call(id), ServedState::Arriving(transfer)) => {
                    self.stop_arriving(transfer, Purpose::Discard);
                    self.end_arriving(id, shutting_down());
                }
                (ServedKey::Oneway(number), ServedState::Arriving(transfer)) => {
                    self.stop_arriving(transfer, Purpose::Discard);
                    if let Some(served) = self.served.get(key) {
                        let method = served.call.method;
                        self.served.refuse_oneway(method, Status::unavailable("this side is shutting down"));
                    }
                    self.finish_oneway(number);
                    self.output.emit(Event::Withdrawn { key });
                }
                _ => {}
            }
        }
        self.stop_streams();
    }

    /// Ends the connection if it drains and there is nothing left to do.
    pub(super) fn check_drained(&mut self) {
        if !self.life.draining || !self.life.is_open() {
            return;
        }
        let idle = !self.life.held
            && self.served.is_nothing_awaited(self.life.grace_over)
            && (self.life.grace_over || self.calls.slots.awaited() == 0)
            && self.queue.is_empty()
            && !self.outbox.has_frames()
            && !self.has_bulk()
            && self.send_streams.len() == 0
            && self.recv_streams.is_idle()
            && self.link.unsequenced.is_empty()
            && self.output.events.is_empty();
        if idle {
            self.end(ConnectionError::ShutDown, Flush::Output);
        } else {
            self.tell_serving();
        }
    }

    /// Tells the shell when the last call that is served here has ended, and when there is one again.
    fn tell_serving(&mut self) {
        let serving = self.is_serving();
        if serving != self.life.told_serving {
            self.life.told_serving = serving;
            self.output.emit(Event::Serving(serving));
        }
    }

    /// Ends the connection because the peer broke the protocol.
    pub(super) fn fail_protocol(&mut self, error: ProtocolError) {
        self.end(ConnectionError::Protocol(error), Flush::Nothing);
    }

    /// Ends the connection if the peer makes this side answer and does not read the answers.
    pub(super) fn check_outbox(&mut self) {
        let (max, held) = (self.config.outbox_hard(), self.outbox.memory());
        if held > max && self.life.is_open() {
            self.overload(Overload::new(MemoryLimit::Outbox, max, held));
        }
    }

    pub(super) fn end(&mut self, error: ConnectionError, flush: Flush) {
        if self.life.has_ended() {
            return;
        }
        let was_open = self.life.is_open();
        self.life.phase = Phase::Ended;
        if let Some(link) = self.link.get_mut() {
            link.end();
        }
        self.schedule.clear();
        if let Some(assembly) = self.assembly.get_mut() {
            assembly.clear();
        }
        // Many calls may end with the connection, and all of them share one text.
        let status = Status::unavailable(format!("the call did not complete: {error}"));
        let lost = if was_open && flush == Flush::Output { self.flush_queue() } else { 0 };
        let not_executed = lost + self.clear_queue();
        *self.life.lost_mut() = LostCalls { unknown: self.calls.oneway_pending(), not_executed };
        for key in self.calls.slots.keys() {
            self.resolve(key, &status);
        }
        self.outbox.remove_transfers(|on_sent| matches!(on_sent, OnSent::Request(_)));
        match flush {
            Flush::Nothing => self.discard_output(),
            Flush::Output if was_open => self.begin_bye(),
            Flush::Output => {}
        }
        self.served.end(&mut self.output.wakes);
        self.end_streams(&Status::unavailable(format!("the stream was cut off: {error}")));
        self.calls.end();
        self.memory.end();
        self.life.set_ended(error.clone());
        self.output.emit(Event::Closed(error));
    }

    /// Gives a call that was made here its outcome when the connection ends.
    fn resolve(&mut self, key: CallKey, status: &Status) {
        let Some(slot) = self.calls.slots.find_mut(key) else { return };
        let execution = match slot.state {
            SlotState::Behind | SlotState::Waiting | SlotState::Admitted | SlotState::Queued => Execution::NotExecuted,
            // The last byte of the call's arguments has not gone out.
            SlotState::Sent if slot.transfer.is_some() => Execution::NotExecuted,
            // The other side had said that it leaves before this packet came.
            SlotState::Sent if slot.parent.is_none() && self.life.came_too_late(slot.packet) => Execution::NotExecuted,
            SlotState::Sent | SlotState::Arriving(_) => Execution::Unknown,
            SlotState::Resolved(_) => {
                slot.awaiting_completion = false;
                return;
            }
            SlotState::Abandoned => return self.free_slot(key),
            SlotState::Free => return,
        };
        let lost = self.life.lost_mut();
        match execution {
            Execution::NotExecuted => lost.not_executed += 1,
            Execution::Unknown => lost.unknown += 1,
        }
        if slot.oneway && slot.state == SlotState::Admitted {
            // It has a permit, and was counted with the one-way calls that were sent.
            lost.unknown = lost.unknown.saturating_sub(1);
        }
        slot.state = SlotState::Resolved(Outcome::Status(status.clone().with_execution(execution)));
        self.output.wakes.extend(slot.waker.take());
    }
}
