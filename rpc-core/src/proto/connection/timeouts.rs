//! Time: deadlines, keepalive, stalls.

use std::time::{Duration, Instant};

use super::{Connection, ConnectionError, DeadlineKey, Phase, Timer, closing::Flush};
use crate::{
    error::ProtocolError,
    proto::{
        CallKey, Outcome,
        assembly::{MIN_PROGRESS, Purpose},
        pings::PING_BURST,
        slots::SlotState,
    },
    status::Status,
    wire::Frame,
};

/// While payloads or items wait for acks, this much must be acknowledged in each period.
const MIN_ACKED: usize = 64 * 1024;
/// Memory of large payloads is kept for two of these.
const SPARES_PERIOD: Duration = Duration::from_millis(500);

/// Pings that may be under way without an answer; well below what the other side takes at once.
const MAX_UNANSWERED_PINGS: u64 = 5;

impl Connection {
    /// Time has passed. Call it when [`Self::poll_timeout`] has come, and before [`Self::poll_transmit`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            self.handle_timer(now, timer);
        }
        while let Some((at, key)) = self.deadlines.pop_due(now) {
            match key {
                DeadlineKey::Call(key) => self.expire_call(key, None),
                DeadlineKey::Wait(key) => self.expire_wait(key),
                DeadlineKey::Gap(key) => self.expire_gap(now, key),
                DeadlineKey::Served(id) => self.expire_served(at, id),
            }
        }
    }

    /// So many bytes have come in since the beginning; `mid_message` says whether a message has begun and not ended.
    pub fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
        if received > self.seen_received {
            self.seen_received = received;
            self.last_heard = now;
        }
        if !mid_message || self.phase == Phase::Ended {
            self.timers.stop(Timer::Message);
        } else if !self.timers.is_set(Timer::Message) {
            self.message_mark = received;
            self.timers.set(Timer::Message, now + self.config.progress_timeout);
        }
    }

    /// Whether a write is stuck, and how many bytes have gone out since the beginning.
    pub fn handle_write(&mut self, now: Instant, stuck: bool, sent: u64) {
        self.seen_sent = sent;
        self.stuck = stuck;
        if !stuck || self.phase == Phase::Ended {
            self.timers.stop(Timer::Write);
        } else if !self.timers.is_set(Timer::Write) {
            self.write_mark = sent;
            self.timers.set(Timer::Write, now + self.config.write_timeout);
        }
    }

    /// So many control frames of the layer below have come in since the beginning. False if that is more than may come; the connection has
    /// ended then.
    pub fn handle_controls(&mut self, now: Instant, seen: u64) -> bool {
        let fresh = seen.saturating_sub(self.seen_controls);
        self.seen_controls = seen;
        for _ in 0..fresh {
            if let Err(error) = self.charge_ping(now) {
                self.fail_protocol(error);
                return false;
            }
        }
        true
    }

    fn charge_ping(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if self.pings.take(now) {
            return Ok(());
        }
        Err(ProtocolError::new(format!(
            "too many pings and pongs came, those of the WebSocket included: {PING_BURST} at once and one a second after that are taken"
        )))
    }

    /// The answer to a Ping of this side costs nothing; a Pong that nobody asked for is as much work as a Ping.
    pub(super) fn handle_pong(&mut self, now: Instant, token: u64) -> Result<(), ProtocolError> {
        if self.answered_ping < token && token <= self.next_ping {
            self.answered_ping = token;
            return Ok(());
        }
        self.charge_ping(now)
    }

    pub(super) fn handle_ping(&mut self, now: Instant, token: u64) -> Result<(), ProtocolError> {
        self.charge_ping(now)?;
        // One that waits already is as good as this one: the other side hears that this one lives.
        self.unsequenced.retain(|frame| !matches!(frame, Frame::Pong { .. }));
        self.unsequenced.push_back(Frame::Pong { token });
        Ok(())
    }

    fn handle_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Handshake => {
                let limit = self.config.hello_timeout;
                self.time_out(match self.role {
                    super::Role::Client => format!("no Welcome came from the server within {limit:?}"),
                    super::Role::Server if self.phase == Phase::Judging => format!(
                        "the server's `opened` hooks and the session's objects took longer than {limit:?} (Config::hello_timeout)"
                    ),
                    super::Role::Server => format!("no Hello came from the client within {limit:?}"),
                });
            }
            Timer::Ping => {
                let due = self.last_heard + self.config.keepalive;
                if due <= now {
                    // More of them than this would tell nothing new, and could come in all at once where the link has stalled for a while.
                    if self.next_ping - self.answered_ping < MAX_UNANSWERED_PINGS {
                        self.next_ping += 1;
                        self.unsequenced.push_back(Frame::Ping { token: self.next_ping });
                    }
                    self.timers.set(Timer::Ping, now + self.config.keepalive);
                } else {
                    self.timers.set(Timer::Ping, due);
                }
            }
            Timer::Silence => {
                let due = self.last_heard + self.config.keepalive_timeout;
                if due <= now {
                    self.time_out(format!(
                        "nothing was heard from the other side for {:?}",
                        self.config.keepalive_timeout
                    ));
                } else {
                    self.timers.set(Timer::Silence, due);
                }
            }
            Timer::Message => {
                if self.seen_received - self.message_mark < MIN_PROGRESS {
                    self.time_out(format!("a message began and did not end within {:?}", self.config.progress_timeout));
                } else {
                    self.message_mark = self.seen_received;
                    self.timers.set(Timer::Message, now + self.config.progress_timeout);
                }
            }
            Timer::Assembly => {
                let period = self.config.progress_timeout;
                let packet = self.timers.is_set(Timer::Message).then_some(self.config.max_packet);
                if self.assembly.is_stalled(self.config.max_assembly, packet) {
                    self.time_out(format!("the payloads that were arriving made no progress within {period:?}"));
                } else {
                    self.assembly.begin_period();
                    self.timers.set(Timer::Assembly, now + period);
                }
            }
            Timer::Spares => {
                self.assembly.age_spares();
                self.watch_spares(now);
            }
            Timer::Write => {
                if self.seen_sent == self.write_mark {
                    self.time_out(format!("a write made no progress within {:?}", self.config.write_timeout));
                } else {
                    self.write_mark = self.seen_sent;
                    self.timers.set(Timer::Write, now + self.config.write_timeout);
                }
            }
            // If they still wait, the next attempt to send sets it again.
            Timer::Ack => {
                if self.has_bulk() && self.sequence.bulk_acked() < self.ack_goal {
                    self.time_out(format!(
                        "payloads wait for the other side, which acknowledged less than {} KiB of them within {:?}",
                        MIN_ACKED / 1024,
                        self.config.progress_timeout
                    ));
                }
            }
            Timer::DrainGrace => self.stop_handlers(),
            Timer::Drain => self.end(ConnectionError::ShutDown, Flush::Output),
        }
    }

    /// Bulk waits for acks: enough of them must come in the period that begins now, unless it has begun already.
    pub(super) fn await_acks(&mut self, now: Instant) {
        if !self.timers.is_set(Timer::Ack) {
            let under_way = self.sequence.bulk_under_way().min(MIN_ACKED);
            self.ack_goal = self.sequence.bulk_acked() + under_way as u64;
            self.timers.set(Timer::Ack, now + self.config.progress_timeout);
        }
    }

    /// Sees to it that memory kept for payloads is not kept for long.
    pub(super) fn watch_spares(&mut self, now: Instant) {
        if self.assembly.has_spares() && !self.timers.is_set(Timer::Spares) {
            self.timers.set(Timer::Spares, now + SPARES_PERIOD);
        }
    }

    fn time_out(&mut self, what: String) {
        self.end(ConnectionError::TimedOut(what), Flush::Nothing);
    }

    /// The deadline of a call made here has passed, or what `why` says of a call that has been sent.
    pub(super) fn expire_call(&mut self, key: CallKey, why: Option<Status>) {
        let Some(slot) = self.slots.find_mut(key) else { return };
        let passed = |what: &str| Status::deadline_exceeded(format!("the deadline passed {what}"));
        match &slot.state {
            SlotState::Waiting => {
                self.fail(
                    key,
                    passed("before the other side took the call: it is busy with as many as it takes at once")
                        .not_executed(),
                );
            }
            SlotState::Admitted | SlotState::Queued => {
                self.fail(key, passed("before the call could be sent").not_executed());
            }
            SlotState::Sent => {
                slot.awaiting_completion = true;
                slot.state =
                    SlotState::Completed(Outcome::Status(why.unwrap_or_else(|| passed("before the answer came"))));
                self.wakes.extend(slot.waker.take());
                self.give_up(key);
            }
            SlotState::Arriving(transfer) => {
                let transfer = *transfer;
                slot.awaiting_completion = true;
                slot.state = SlotState::Completed(Outcome::Status(
                    why.unwrap_or_else(|| passed("while the answer was arriving")),
                ));
                self.wakes.extend(slot.waker.take());
                self.stop_arriving(transfer, Purpose::DiscardFor(key));
                self.give_up_streams(key);
            }
            SlotState::Abandoned | SlotState::Completed(_) | SlotState::Free => {}
        }
    }

    /// A nested call has waited long enough for a permit.
    fn expire_wait(&mut self, key: CallKey) {
        if self.slots.is_waiting(key) {
            let status = Status::resource_exhausted(format!(
                "the other side is busy with as many calls as it takes at once, and a call made inside a handler waits {:?} at most for that to change (Config::nested_wait)",
                self.config.nested_wait
            ));
            self.fail(key, status.not_executed());
        }
    }
}
