//! Timers: keepalive, stalls and the steps of a drain.

use std::time::{Duration, Instant};

use super::{Connection, ConnectionError, SessionTimer, closing::Flush, resumption::Strike};
use crate::{
    error::{ProtocolError, TimeLimit, Timeout},
    proto::{
        link::{BACKLOG, BACKLOG_PROGRESS, MIN_ACKED},
        timers::LinkTimer,
    },
};

/// Memory of large payloads is kept for two of these periods.
const BUFFER_POOL_PERIOD: Duration = Duration::from_millis(500);
/// A session in use frees what it needed for its peaks once in this period.
const TRIM_PERIOD: Duration = Duration::from_secs(5);

impl Connection {
    /// Time has passed. Call it when [`Self::poll_timeout`] has come, and before [`Self::poll_transmit`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.link.get_mut().and_then(|link| link.timers.pop_due(now)) {
            self.handle_link_timer(now, timer);
        }
        while let Some(timer) = self.schedule.timers.pop_due(now) {
            self.handle_session_timer(now, timer);
        }
        if self.queue_due().is_some_and(|due| due <= now) {
            self.judge_queue(now);
        }
        self.time_linger(now);
        self.expire_deadlines(now);
    }

    /// Sets when the identity of the other side expires, and with it the connection; `None` is never.
    pub fn expire_at(&mut self, at: Option<Instant>) {
        match at.filter(|_| !self.life.has_ended()) {
            Some(at) => self.schedule.timers.set(SessionTimer::Expiry, at),
            None => self.schedule.timers.stop(SessionTimer::Expiry),
        }
    }

    /// The machine has slept, and `now` does not tell for how long: the other side is asked for a sign of life at once,
    /// and has little time for it.
    pub fn woke(&mut self, now: Instant) {
        if self.life.is_open() && !self.resumption.is_detached() {
            self.link.wake(now, self.config.wake_check());
        }
    }

    /// Notes that `received` bytes have come in since the link began. `mid_message` says whether a message has begun
    /// and not ended.
    pub fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
        if !self.link.is_there() {
            return;
        }
        let mid_message = mid_message && !self.life.has_ended();
        self.link.handle_activity(now, received, mid_message, self.config.progress_timeout());
    }

    /// Notes whether a write is stuck, and that `sent` bytes have gone out since the link began.
    #[inline]
    pub fn handle_write(&mut self, now: Instant, stuck: bool, sent: u64) {
        if !self.link.is_there() {
            return;
        }
        self.link.progress.note_sent(sent);
        let waiting = self.outbox.bytes() + self.outbox.transfer_bytes();
        // Usually all is written, and no time runs.
        let is_idle = !stuck && !self.link.progress.is_stuck() && waiting <= BACKLOG;
        if !is_idle || self.link.timers.is_set(LinkTimer::Backlog) {
            self.time_write(now, stuck, waiting);
        }
    }

    fn time_write(&mut self, now: Instant, stuck: bool, waiting: usize) {
        let link = &mut self.link;
        link.progress.set_stuck(stuck);
        if !stuck || self.life.has_ended() {
            link.timers.stop(LinkTimer::Write);
        } else if !link.timers.is_set(LinkTimer::Write) {
            link.progress.begin_write();
            link.timers.set(LinkTimer::Write, now + self.config.write_timeout());
        }
        if waiting <= BACKLOG || !self.life.is_open() {
            link.timers.stop(LinkTimer::Backlog);
        } else if !link.timers.is_set(LinkTimer::Backlog) {
            link.progress.begin_backlog();
            link.timers.set(LinkTimer::Backlog, now + self.config.progress_timeout());
        }
    }

    /// Notes that `seen` control frames of the layer below have come in since the link began. False if that is too
    /// many: then the connection has ended.
    #[inline]
    pub fn handle_controls(&mut self, now: Instant, seen: u64) -> bool {
        // Without a link, these are the frames of the last one, which has been judged.
        !self.link.is_there() || !self.link.liveness.has_new_controls(seen) || self.charge_controls(now, seen)
    }

    fn charge_controls(&mut self, now: Instant, seen: u64) -> bool {
        match self.link.charge_controls(now, seen) {
            Ok(()) => true,
            Err(error) => {
                self.give_up_bye();
                self.fail_protocol(error);
                false
            }
        }
    }

    /// The answer to a Ping of this side costs nothing; an unsolicited Pong counts like a Ping.
    pub(super) fn handle_pong(&mut self, now: Instant, token: u64) -> Result<(), ProtocolError> {
        if self.link.liveness.note_pong(token) { Ok(()) } else { self.link.charge_ping(now) }
    }

    pub(super) fn handle_ping(&mut self, now: Instant, token: u64) -> Result<(), ProtocolError> {
        self.link.charge_ping(now)?;
        self.link.answer(token);
        Ok(())
    }

    // A timer that judges the other side by its input, or by the output that it has taken, ends the connection only at
    // the second look.

    fn handle_link_timer(&mut self, now: Instant, timer: LinkTimer) {
        match timer {
            LinkTimer::Handshake => {
                if !self.link.timers.look_again(timer, now) {
                    self.time_out_handshake(now);
                }
            }
            LinkTimer::Ping => {
                // Callers and readers may have taken what they needed long after it came.
                self.trim();
                self.ask_if_silent(now);
            }
            LinkTimer::Silence => self.judge_silence(now),
            LinkTimer::Message => {
                let period = self.config.progress_timeout();
                if self.link.is_message_stuck(now, period) {
                    self.time_out(now, TimeLimit::Message, period);
                }
            }
            LinkTimer::Write => {
                let limit = self.config.write_timeout();
                let has_moved = self.link.progress.has_write_moved();
                if self.link.restart_or_give_up(now, timer, has_moved, limit) {
                    self.time_out(now, TimeLimit::Write, limit);
                }
            }
            LinkTimer::Backlog => {
                let period = self.config.progress_timeout();
                let has_moved = self.link.progress.has_backlog_moved();
                if self.link.restart_or_give_up(now, timer, has_moved, period) {
                    self.time_out(now, TimeLimit::Backlog { waiting: BACKLOG, least: BACKLOG_PROGRESS }, period);
                }
            }
        }
    }

    fn handle_session_timer(&mut self, now: Instant, timer: SessionTimer) {
        match timer {
            SessionTimer::Assembly => self.judge_assembly(now),
            SessionTimer::BufferPool => {
                self.assembly.age_buffer_pool();
                self.watch_buffer_pool(now);
            }
            SessionTimer::Trim => self.trim(),
            SessionTimer::Ack => self.judge_acks(now),
            SessionTimer::DrainGrace => self.stop_handlers(),
            SessionTimer::Drain => self.end(ConnectionError::ShutDown, Flush::Output),
            SessionTimer::Expiry => self.give_up_link(now, ConnectionError::Expired, Flush::Output),
            SessionTimer::DetachedTurn => self.end_turns(),
            SessionTimer::Detached => {
                self.give_up_links();
            }
            SessionTimer::Linger => self.end_bye(),
        }
    }

    /// The payloads that are arriving must have grown.
    fn judge_assembly(&mut self, now: Instant) {
        let period = self.config.progress_timeout();
        let packet = self.link.timers.is_set(LinkTimer::Message).then_some(self.config.max_packet());
        let longest = self.longest_turn();
        if !self.assembly.is_stalled(longest, packet) {
            self.assembly.begin_period();
            self.schedule.timers.set(SessionTimer::Assembly, now + period);
        } else if !self.schedule.timers.look_again(SessionTimer::Assembly, now) {
            let timeout = Timeout::new(TimeLimit::Payloads, period);
            self.strike(now, Strike::Assembly, ConnectionError::TimedOut(timeout));
        }
    }

    /// Enough of the bulk under way must have been acknowledged, and something of what is kept. While bulk waits, the
    /// next attempt to send sets the timer again.
    fn judge_acks(&mut self, now: Instant) {
        let keeps = self.resumption.awaits_acks(self.sequence.acked());
        let is_behind = self.has_bulk() && self.link.is_behind_acks();
        let is_late = is_behind || keeps && self.sequence.acked() <= self.resumption.acked_before();
        if !is_late {
            if keeps {
                self.await_acks(now);
            }
        } else if !self.schedule.timers.look_again(SessionTimer::Ack, now) {
            let timeout = Timeout::new(TimeLimit::Acks { least: MIN_ACKED }, self.config.progress_timeout());
            self.strike(now, Strike::Ack, ConnectionError::TimedOut(timeout));
        }
    }

    /// The most bytes of other payloads that may come between two chunks of one. The sender's transfers take turns, a
    /// chunk each, and its streams take turns too. Streams send three bytes for each byte of a transfer. Four times the
    /// bytes of one round of both is more than enough.
    fn longest_turn(&self) -> usize {
        let streams = self.recv_streams.open_count().saturating_add(1).saturating_mul(self.config.chunk());
        self.config.max_assembly().saturating_add(streams).saturating_mul(4)
    }

    /// Something waits for acks. Unless a period runs already, one begins in which enough of them must come.
    #[inline]
    pub(super) fn await_acks(&mut self, now: Instant) {
        if !self.schedule.timers.is_set(SessionTimer::Ack) {
            self.resumption.begin_ack_period(self.sequence.acked());
            if let Some(link) = self.link.get_mut() {
                link.begin_ack_period();
            }
            self.schedule.timers.set(SessionTimer::Ack, now + self.config.progress_timeout());
        }
    }

    fn time_out_handshake(&mut self, now: Instant) {
        let limit = match self.role {
            super::Role::Client => TimeLimit::Welcome,
            super::Role::Server => TimeLimit::Opening,
        };
        self.time_out(now, limit, self.config.hello_timeout());
    }

    /// Sends a ping if the other side was silent for a ping's interval.
    fn ask_if_silent(&mut self, now: Instant) {
        let interval = self.config.ping_interval();
        let due = self.link.liveness.silent_for(interval);
        if due <= now {
            self.link.ask(now);
        }
        self.link.timers.set(LinkTimer::Ping, if due <= now { now + interval } else { due });
    }

    /// The other side has been silent for long. It is given up if it was asked, and had the second half of this side's
    /// patience for its answer; after a sleep of this machine it has less time.
    fn judge_silence(&mut self, now: Instant) {
        let patience = self.config.keepalive_timeout();
        if !self.link.liveness.has_asked() && self.link.liveness.silent_for(patience) <= now {
            self.link.ask(now);
        }
        let usual = self.link.liveness.give_up_at(patience, now);
        let (due, limit, after) = match self.link.liveness.wake_by() {
            Some(by) if by < usual => (by, TimeLimit::Wake, self.config.wake_check()),
            _ => (usual, TimeLimit::Keepalive, patience),
        };
        if due > now {
            self.link.timers.set(LinkTimer::Silence, due);
        } else if !self.link.timers.look_again(LinkTimer::Silence, now) {
            self.time_out(now, limit, after);
        }
    }

    /// Sets the timer after which memory kept for payloads is freed.
    pub(super) fn watch_buffer_pool(&mut self, now: Instant) {
        if self.assembly.has_pooled_buffers() && !self.schedule.timers.is_set(SessionTimer::BufferPool) {
            self.schedule.timers.set(SessionTimer::BufferPool, now + BUFFER_POOL_PERIOD);
        }
    }

    /// Something goes out, comes in or waits, so that tables grow: when the period is over, they are trimmed. While
    /// nothing happens no period runs, so that a session at rest sleeps.
    #[inline]
    pub(super) fn watch_tables(&mut self, now: Instant) {
        if !self.schedule.timers.is_set(SessionTimer::Trim) {
            self.begin_trim_period(now);
        }
    }

    #[cold]
    fn begin_trim_period(&mut self, now: Instant) {
        // What goes out after the end needs no timer.
        if !self.life.has_ended() {
            self.schedule.timers.set(SessionTimer::Trim, now + TRIM_PERIOD);
        }
    }

    fn time_out(&mut self, now: Instant, limit: TimeLimit, after: Duration) {
        self.give_up_link(now, ConnectionError::TimedOut(Timeout::new(limit, after)), Flush::Nothing);
    }
}
