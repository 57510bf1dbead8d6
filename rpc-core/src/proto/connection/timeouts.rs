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
const BUFFER_POOL_PERIOD: Duration = Duration::from_millis(500);
/// While more bytes than this wait to be written, the other side must take some of them …
const BACKLOG: usize = 64 * 1024;
/// … namely this many in each [`Config::progress_timeout`](crate::Config::progress_timeout).
const BACKLOG_PROGRESS: u64 = 64 * 1024;

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
                DeadlineKey::Idle(key) => self.expire_idle(now, key),
                DeadlineKey::Served(id) => self.expire_served(at, id),
            }
        }
    }

    /// `received` bytes have come in since the beginning; `mid_message` says whether a message has begun and not ended.
    pub fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
        if received > self.seen_received {
            self.seen_received = received;
            self.note_received(now);
        }
        if !mid_message || self.phase == Phase::Ended {
            self.timers.stop(Timer::Message);
        } else if !self.timers.is_set(Timer::Message) {
            self.message_baseline = received;
            self.timers.set(Timer::Message, now + self.config.progress_timeout);
        }
    }

    /// Whether a write is stuck, and how many bytes have gone out since the beginning.
    #[inline]
    pub fn handle_write(&mut self, now: Instant, stuck: bool, sent: u64) {
        self.seen_sent = sent;
        let waiting = self.outbox.bytes() + self.outbox.transfer_bytes();
        // Mostly all is written, and nothing is timed.
        if stuck || self.stuck || waiting > BACKLOG || self.timers.is_set(Timer::Backlog) {
            self.time_write(now, stuck, sent, waiting);
        }
    }

    fn time_write(&mut self, now: Instant, stuck: bool, sent: u64, waiting: usize) {
        self.stuck = stuck;
        if !stuck || self.phase == Phase::Ended {
            self.timers.stop(Timer::Write);
        } else if !self.timers.is_set(Timer::Write) {
            self.write_baseline = sent;
            self.timers.set(Timer::Write, now + self.config.write_timeout);
        }
        let is_watched = self.timers.is_set(Timer::Backlog);
        if waiting <= BACKLOG || self.phase != Phase::Open {
            if is_watched {
                self.timers.stop(Timer::Backlog);
            }
        } else if !is_watched {
            self.backlog_baseline = sent;
            self.timers.set(Timer::Backlog, now + self.config.progress_timeout);
        }
    }

    /// The other side lives.
    pub(super) fn note_received(&mut self, now: Instant) {
        self.last_received = now;
        self.asked = None;
    }

    /// How many control frames of the layer below have come in since the beginning. False if that is more than may
    /// come; the connection has ended then.
    #[inline]
    pub fn handle_controls(&mut self, now: Instant, seen: u64) -> bool {
        seen == self.seen_controls || self.charge_controls(now, seen)
    }

    fn charge_controls(&mut self, now: Instant, seen: u64) -> bool {
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

    /// The answer to a Ping of this side costs nothing; an unsolicited Pong is as much work as a Ping.
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

    /// Times that judge the other side by what has come from it, or by what it has taken, are over only at the second
    /// look.
    fn handle_timer(&mut self, now: Instant, timer: Timer) {
        let period = self.config.progress_timeout;
        match timer {
            Timer::Handshake => {
                if !self.timers.look_again(timer, now) {
                    self.time_out_handshake();
                }
            }
            Timer::Ping => {
                let due = self.last_received + self.config.ping_interval();
                if due <= now {
                    self.ask(now);
                    self.timers.set(Timer::Ping, now + self.config.ping_interval());
                } else {
                    self.timers.set(Timer::Ping, due);
                }
            }
            Timer::Silence => self.judge_silence(now),
            Timer::Message => {
                if self.seen_received - self.message_baseline >= MIN_PROGRESS {
                    self.message_baseline = self.seen_received;
                    self.timers.set(timer, now + period);
                } else if !self.timers.look_again(timer, now) {
                    self.time_out(format!(
                        "a message began and did not end within {period:?} (Config::progress_timeout)"
                    ));
                }
            }
            Timer::Assembly => {
                let packet = self.timers.is_set(Timer::Message).then_some(self.config.max_packet);
                if !self.assembly.is_stalled(self.longest_turn(), packet) {
                    self.assembly.begin_period();
                    self.timers.set(timer, now + period);
                } else if !self.timers.look_again(timer, now) {
                    self.time_out(format!(
                        "the payloads that were arriving made no progress within {period:?} (Config::progress_timeout)"
                    ));
                }
            }
            Timer::BufferPool => {
                self.assembly.age_buffer_pool();
                self.watch_buffer_pool(now);
            }
            Timer::Write => {
                let limit = self.config.write_timeout;
                if self.seen_sent != self.write_baseline {
                    self.write_baseline = self.seen_sent;
                    self.timers.set(timer, now + limit);
                } else if !self.timers.look_again(timer, now) {
                    self.time_out(format!("a write made no progress within {limit:?} (Config::write_timeout)"));
                }
            }
            Timer::Backlog => {
                if self.seen_sent - self.backlog_baseline >= BACKLOG_PROGRESS {
                    self.backlog_baseline = self.seen_sent;
                    self.timers.set(timer, now + period);
                } else if !self.timers.look_again(timer, now) {
                    self.time_out(format!(
                        "more than {BACKLOG} bytes wait to be written, and the other side took less than {BACKLOG_PROGRESS} of them within {period:?} (Config::progress_timeout)"
                    ));
                }
            }
            // If they still wait, the next attempt to send sets it again.
            Timer::Ack => {
                let late = self.has_bulk() && self.sequence.bulk_acked() < self.ack_goal;
                if late && !self.timers.look_again(timer, now) {
                    self.time_out(format!(
                        "payloads wait for the other side, which acknowledged less than {} KiB of them within {period:?} (Config::progress_timeout)",
                        MIN_ACKED / 1024
                    ));
                }
            }
            Timer::DrainGrace => self.stop_handlers(),
            Timer::Drain => self.end(ConnectionError::ShutDown, Flush::Output),
        }
    }

    /// Bytes of other payloads that may come between two chunks of one, at most. Its sender's transfers take turns, a
    /// chunk each, and so do its streams; streams have three bytes for each of a transfer's. So four times what one
    /// round of either may take is more than enough.
    fn longest_turn(&self) -> usize {
        let streams = self.recv_streams.open_count().saturating_add(1).saturating_mul(self.config.chunk);
        self.config.max_assembly.saturating_add(streams).saturating_mul(4)
    }

    /// Bulk waits for acks: enough of them must come in the period that begins now, unless it has begun already.
    pub(super) fn await_acks(&mut self, now: Instant) {
        if !self.timers.is_set(Timer::Ack) {
            let under_way = self.sequence.bulk_under_way().min(MIN_ACKED);
            self.ack_goal = self.sequence.bulk_acked() + under_way as u64;
            self.timers.set(Timer::Ack, now + self.config.progress_timeout);
        }
    }

    fn time_out_handshake(&mut self) {
        let limit = self.config.hello_timeout;
        self.time_out(match self.role {
            super::Role::Client => {
                format!("no Welcome came from the server within {limit:?} (Config::hello_timeout)")
            }
            super::Role::Server if self.phase == Phase::AwaitingDecision => format!(
                "the server's `opened` hooks and the session's objects took longer than {limit:?} (Config::hello_timeout)"
            ),
            super::Role::Server => format!("no Hello came from the client within {limit:?} (Config::hello_timeout)"),
        });
    }

    fn ask(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
        // More of them than this would tell nothing new, and could come in all at once where the link has stalled for a
        // while.
        if self.next_ping - self.answered_ping < MAX_UNANSWERED_PINGS {
            self.next_ping += 1;
            self.unsequenced.push_back(Frame::Ping { token: self.next_ping });
        }
    }

    /// The other side has been silent for long. It is given up if it was asked, and had the second half of this side's
    /// patience for its answer.
    fn judge_silence(&mut self, now: Instant) {
        let patience = self.config.keepalive_timeout;
        if self.asked.is_none() && self.last_received + patience <= now {
            self.ask(now);
        }
        let due = (self.last_received + patience).max(self.asked.map_or(now, |asked| asked + patience / 2));
        if due > now {
            self.timers.set(Timer::Silence, due);
        } else if !self.timers.look_again(Timer::Silence, now) {
            self.time_out(format!(
                "nothing was heard from the other side for {patience:?} (Config::keepalive_timeout)"
            ));
        }
    }

    /// Sees to it that memory kept for payloads is not kept for long.
    pub(super) fn watch_buffer_pool(&mut self, now: Instant) {
        if self.assembly.has_pooled_buffers() && !self.timers.is_set(Timer::BufferPool) {
            self.timers.set(Timer::BufferPool, now + BUFFER_POOL_PERIOD);
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
                let oneway = slot.oneway;
                let busy = self.busy(oneway);
                self.fail(key, passed(&format!("while the call waited: {busy}")).not_executed());
            }
            SlotState::Admitted | SlotState::Queued => {
                self.fail(key, passed("before the call could be sent: others go before it, and what may wait or run at once is limited \
                     (Config::outbox_soft here, Config::max_arguments and Config::max_assembly at the other side)")
                    .not_executed());
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
                "{}; a call made inside a handler waits {:?} at most for that to change (Config::nested_wait)",
                self.busy(false),
                self.config.nested_wait
            ));
            self.fail(key, status.not_executed());
        }
    }

    /// Why a call has no permit.
    fn busy(&self, oneway: bool) -> String {
        let (what, limit, name) = match oneway {
            true => ("one-way calls", self.negotiated.limits.notifies, "max_oneway_calls"),
            false => ("calls", self.negotiated.limits.calls, "max_calls"),
        };
        if self.is_open() {
            format!("the other side is busy with the {limit} {what} that it takes at once (Config::{name} there)")
        } else {
            "the session is not open yet".to_owned()
        }
    }
}
