//! The end of a connection, and the drain before it.

use std::time::Instant;

use super::{Connection, ConnectionError, Event, Permits, Phase, ServedKey, ServedState};
use crate::{
    error::ProtocolError,
    proto::{
        Outcome,
        assembly::Purpose,
        outbox::OnSent,
        slots::{CallKey, SlotState},
        timers::SessionTimer,
    },
    status::{Execution, Status},
    wire::Frame,
};

/// What happens to output that waits when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// It is thrown away: nobody would read it.
    Nothing,
    /// One-way calls and completions still go.
    Output,
}

impl Connection {
    /// Ends the connection from this side. Pending calls resolve, handlers are to be stopped; one-way calls and
    /// completions that wait still go. Does nothing after the end.
    pub fn close(&mut self) {
        self.end(ConnectionError::ClosedLocally, Flush::Output);
    }

    /// As [`Self::close`], and tells the other side that this one shuts down.
    pub fn shut_down(&mut self) {
        self.end(ConnectionError::ShutDown, Flush::Output);
    }

    /// The transport has ended.
    pub fn handle_lost(&mut self, error: ConnectionError) {
        self.end(error, Flush::Nothing);
        self.outbox.clear();
    }

    /// Throws away what has not been sent, once the transport is gone.
    pub fn discard_output(&mut self) {
        self.outbox.clear();
        self.link.discard_output();
    }

    /// Takes no new calls, lets the running ones and those nested in them finish, and ends. Handlers are stopped after
    /// the grace that the configuration sets, and the connection is closed some time later whatever runs.
    pub fn drain(&mut self, now: Instant, message: &str) {
        let (whole, closing) = (self.config.drain_timeout, self.config.close_timeout);
        // What comes after the goodbye has to fit as well.
        let over = whole - whole / 20;
        if self.end_by.is_none() {
            self.end_by = Some(now + over);
        }
        match self.phase {
            Phase::Ended => return,
            Phase::Handshake | Phase::AwaitingDecision => return self.end(ConnectionError::ShutDown, Flush::Output),
            Phase::Open if self.draining => return,
            Phase::Open => {}
        }
        self.draining = true;
        self.events.push_back(Event::Draining);
        let message = Status::unavailable(message).cut_to(self.negotiated.text).message().to_owned();
        self.link.unsequenced.push_back(Frame::GoAway { last_seq: self.sequence.received(), message });
        self.timers.set(SessionTimer::DrainGrace, now + self.config.drain_grace);
        self.timers.set(SessionTimer::Drain, now + (over - closing.min(over / 3)));
        self.fail_unsent("this side is shutting down");
    }

    pub(super) fn handle_go_away(&mut self, last_seq: u64, message: &str) {
        if !self.peer_leaving {
            self.peer_leaving = true;
            self.peer_last_seq = Some(last_seq);
            self.events.push_back(Event::Draining);
            let why = if message.is_empty() { "the other side is shutting down" } else { message };
            self.fail_unsent(why);
        }
    }

    /// Calls that have not gone out and have no parent there would be refused.
    fn fail_unsent(&mut self, why: &str) {
        let status = Status::unavailable(format!("the call was not made: {why}")).not_executed();
        for key in self.slots.keys() {
            let Some(slot) = self.slots.find(key) else { continue };
            if slot.parent.is_none() && matches!(slot.state, SlotState::Waiting | SlotState::Admitted) {
                self.fail(key, status.clone());
            }
        }
    }

    /// Ends a call that the other side does not know of.
    pub(super) fn fail(&mut self, key: CallKey, status: Status) {
        self.withdraw(key);
        if let Some(slot) = self.slots.find_mut(key) {
            slot.state = SlotState::Completed(Outcome::Status(status));
            self.wakes.extend(slot.waker.take());
        }
    }

    /// The drain's grace is over: handlers are stopped, and what would start now is refused.
    pub(super) fn stop_handlers(&mut self) {
        self.grace_over = true;
        let calls = self.served.iter().map(|(id, served)| (ServedKey::Call(*id), served.state));
        let notifies = self.served_oneway.iter().map(|(number, served)| (ServedKey::Oneway(*number), served.state));
        for (key, state) in calls.chain(notifies).collect::<Vec<_>>() {
            match (key, state) {
                (_, ServedState::Running) => self.stop_handler(key),
                (ServedKey::Call(id), ServedState::Arriving(transfer)) => {
                    self.stop_arriving(transfer, Purpose::Discard);
                    self.refuse_arriving(id, Status::unavailable("the other side is shutting down").not_executed());
                }
                (ServedKey::Oneway(number), ServedState::Arriving(transfer)) => {
                    self.stop_arriving(transfer, Purpose::Discard);
                    if let Some(served) = self.served_oneway.get(&number) {
                        let method = served.call.method;
                        self.refused_oneway(method, Status::unavailable("this side is shutting down"));
                    }
                    self.finish_oneway(number);
                    self.events.push_back(Event::Withdrawn { key });
                }
                _ => {}
            }
        }
        self.stop_streams();
    }

    /// Whether nobody waits for anything that is served here. Handlers that must not be stopped have the grace, and run
    /// on without the session.
    fn is_nothing_awaited(&self) -> bool {
        let given_up = |state| matches!(state, ServedState::Cancelled | ServedState::Expired);
        if self.grace_over {
            let mut calls = self.served.values();
            let mut notifies = self.served_oneway.values();
            calls.all(|served| given_up(served.state)) && notifies.all(|served| served.call.is_cancelled())
        } else {
            self.served.is_empty() && self.served_oneway.is_empty()
        }
    }

    /// Ends the connection if it drains and there is nothing left to do.
    pub(super) fn check_drained(&mut self) {
        if !self.draining || self.phase != Phase::Open {
            return;
        }
        let idle = self.is_nothing_awaited()
            && self.slots.awaited() == 0
            && !self.outbox.has_frames()
            && !self.has_bulk()
            && self.send_streams.len() == 0
            && self.recv_streams.is_idle()
            && self.link.unsequenced.is_empty()
            && self.events.is_empty();
        if idle {
            self.end(ConnectionError::ShutDown, Flush::Output);
        }
    }

    /// The peer broke the rules.
    pub(super) fn fail_protocol(&mut self, error: ProtocolError) {
        self.end(ConnectionError::Protocol(error), Flush::Nothing);
    }

    /// A peer that makes us answer and does not read.
    pub(super) fn check_outbox(&mut self) {
        let limit = self.config.outbox_hard;
        if self.outbox.memory() > limit && self.phase == Phase::Open {
            let what = format!(
                "more than {limit} bytes wait to be written (Config::outbox_hard); the other side does not read"
            );
            self.end(ConnectionError::Overloaded(what), Flush::Nothing);
        }
    }

    pub(super) fn end(&mut self, error: ConnectionError, flush: Flush) {
        if self.phase == Phase::Ended {
            return;
        }
        self.phase = Phase::Ended;
        self.link.end();
        self.timers.stop_all();
        self.deadlines.clear();
        self.assembly.clear();
        // Many calls may end with it; all share one text.
        let status = Status::unavailable(format!("the call did not complete: {error}"));
        for key in self.slots.keys() {
            self.resolve(key, &status);
        }
        self.outbox.remove_transfers(|on_sent| matches!(on_sent, OnSent::Request(_)));
        if flush == Flush::Nothing {
            self.discard_output();
        }
        for (_, served) in self.served.drain() {
            served.call.cancel(&mut self.wakes);
        }
        for (_, served) in self.served_oneway.drain() {
            served.call.cancel(&mut self.wakes);
        }
        self.argument_bytes_in = 0;
        self.served_bytes = 0;
        self.end_streams(&Status::unavailable(format!("the stream was cut off: {error}")));
        for permits in [&mut self.calls_out, &mut self.oneway_out, &mut self.calls_in, &mut self.oneway_in] {
            *permits = Permits::new(0, 0, 0);
        }
        self.share = None;
        self.ended = Some(error.clone());
        self.events.push_back(Event::Closed(error));
    }

    /// Gives a call made here its outcome when the connection ends.
    fn resolve(&mut self, key: CallKey, status: &Status) {
        let refused_before = self.peer_last_seq;
        let Some(slot) = self.slots.find_mut(key) else { return };
        let execution = match slot.state {
            SlotState::Waiting | SlotState::Admitted | SlotState::Queued => Execution::NotExecuted,
            // Its last byte has not gone.
            SlotState::Sent if slot.transfer.is_some() => Execution::NotExecuted,
            // It came after what the other side took in before it left.
            SlotState::Sent if slot.parent.is_none() && refused_before.is_some_and(|last| slot.packet > last) => {
                Execution::NotExecuted
            }
            SlotState::Sent | SlotState::Arriving(_) => Execution::Unknown,
            SlotState::Completed(_) => {
                slot.awaiting_completion = false;
                return;
            }
            SlotState::Abandoned => return self.free_slot(key),
            SlotState::Free => return,
        };
        slot.state = SlotState::Completed(Outcome::Status(status.clone().with_execution(execution)));
        self.wakes.extend(slot.waker.take());
    }
}
