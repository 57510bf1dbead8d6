//! The last words of a session that can be resumed. Were they lost with a link, the other side would resume a session
//! that is over; so they are counted and acknowledged like any other frame.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Connection, ConnectionError, SessionTimer, closing::Flush, resumption::Bye};
use crate::{
    error::{CloseCode, HandshakeViolation, ProtocolError},
    status::Status,
    text::{MAX_PEER_TEXT, cut},
    wire::{Frame, read_packet},
};

/// How long the last words may take to be acknowledged, over as many links as it takes.
const LINGER: Duration = Duration::from_secs(10);
/// The time that they have at least, if the machine has slept for longer than the drain may take.
const LEAST_LINGER: Duration = Duration::from_millis(500);

impl Connection {
    /// How long the last words of this session may take; zero if it says none.
    pub fn linger(&self) -> Duration {
        if self.resumption.is_granted() { LINGER } else { Duration::ZERO }
    }

    /// Whether the session has ended, and its last words have not been acknowledged yet. Until then it needs its link,
    /// or another one.
    pub fn is_lingering(&self) -> bool {
        matches!(self.resumption.bye(), Bye::Waits | Bye::Sent(_))
    }

    /// The session ends in order: Bye goes behind all that still goes.
    pub(super) fn begin_bye(&mut self) {
        if self.resumption.bye() == Bye::None {
            self.resumption.set_bye(Bye::Waits);
        }
    }

    /// Puts Bye into the packet with this number, for which there is no other frame. Bulk that is held up goes first.
    pub(super) fn put_bye(&mut self, number: u64) -> bool {
        if self.resumption.bye() != Bye::Waits || self.has_bulk() {
            return false;
        }
        let Some(error) = self.life.ended() else { return false };
        let message = Status::unavailable(error.close_reason()).cut_to(self.negotiated.text).message().to_owned();
        let bye = Frame::Bye { code: error.close_code().0, message };
        self.link.writer(&mut self.sequence).put(&bye);
        self.resumption.set_bye(Bye::Sent(number));
        true
    }

    /// When the time of the last words has to be set, because it is not.
    pub(super) fn linger_due(&self) -> Option<Instant> {
        let is_timed = self.schedule.timers.is_set(SessionTimer::Linger);
        (self.is_lingering() && !is_timed).then_some(self.opened_at)
    }

    /// Sets the time that the last words may take.
    pub(super) fn time_linger(&mut self, now: Instant) {
        if self.linger_due().is_some() {
            let until = now + LINGER;
            let until = self.life.end_by().map_or(until, |end| end.clamp(now + LEAST_LINGER, until));
            self.schedule.timers.set(SessionTimer::Linger, until);
        }
    }

    /// Packets have been acknowledged, perhaps.
    #[inline]
    pub(super) fn handle_acked(&mut self) {
        let acked = self.sequence.acked();
        if let Some(kept) = self.resumption.kept_mut() {
            kept.handle_ack(acked);
        }
        if matches!(self.resumption.bye(), Bye::Sent(number) if number <= acked) {
            self.end_bye();
        }
    }

    /// Whether the session has ended, and an ack is due that the other side may wait for.
    pub(super) fn owes_last_ack(&self) -> bool {
        self.life.has_ended() && self.resumption.is_granted() && self.link.acks.due().is_some()
    }

    /// Nothing more is said, and nothing is awaited.
    pub(super) fn end_bye(&mut self) {
        self.resumption.set_bye(Bye::Over);
        if let Some(kept) = self.resumption.kept_mut() {
            kept.clear();
        }
        self.outbox.clear();
        if let Some(link) = self.link.get_mut() {
            link.bulk.forget();
        }
        self.leave_replay_pool();
        self.schedule.timers.stop(SessionTimer::Linger);
        self.schedule.timers.stop(SessionTimer::Ack);
    }

    /// The other side breaks a rule after the end, and gets no last words.
    pub(super) fn give_up_bye(&mut self) {
        if self.is_lingering() {
            self.end_bye();
        }
    }

    /// The other side has said its last word, so that this side is over as well.
    pub(super) fn handle_bye(&mut self, now: Instant, code: u16, message: &str) -> Result<(), ProtocolError> {
        if !self.resumption.is_granted() {
            return Err(HandshakeViolation::UnexpectedBye.into());
        }
        let (code, reason) = (CloseCode(code), cut(message, MAX_PEER_TEXT).into());
        let error = self.as_terminated(ConnectionError::ClosedByPeer { code, reason });
        if self.is_lingering() {
            self.life.set_ended(error);
        } else {
            self.end(error, Flush::Nothing);
        }
        self.end_bye();
        self.link.acks.owe(now);
        Ok(())
    }

    /// Takes a packet in that has come after the end: what still goes out may wait for its ack, and the other side may
    /// have ended as well. Pings are not answered any more, and cost the other side as much as before.
    pub(super) fn handle_late_packet(&mut self, now: Instant, packet: Bytes) {
        let len = packet.len();
        let Ok((header, frames)) = read_packet(packet) else { return };
        let is_next = self.link.handle_header(&mut self.sequence, header, len, now).is_ok();
        // A packet that is not the next one may have acknowledged others.
        self.handle_acked();
        let has_words = is_next && self.resumption.is_granted() && header.seq != 0;
        for frame in frames.map_while(Result::ok) {
            let charged = match frame {
                Frame::Bye { code, message } if has_words => self.handle_bye(now, code, &message),
                Frame::Ping { .. } => self.link.charge_ping(now),
                Frame::Pong { token } => self.handle_pong(now, token),
                _ => Ok(()),
            };
            if charged.is_err() {
                return self.give_up_bye();
            }
        }
    }
}
