//! `AckSchedule`: when packets that have come in are acknowledged, if no other packet that goes out carries the ack.

use std::time::{Duration, Instant};

/// A bare ack is due after this many sequenced packets …
const ACK_PACKETS: u32 = 64;
/// … or this many bytes in them …
const ACK_BYTES: usize = 64 * 1024;
/// … or this long after the first of them.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(200);

/// The packets that one link has taken in and not acknowledged. Every packet that goes out carries an ack, so an ack is
/// due exactly while something has come in since the last packet went out.
#[derive(Debug, Default)]
pub(crate) struct AckSchedule {
    packets: u32,
    bytes: usize,
    due: Option<Instant>,
}

impl AckSchedule {
    /// A sequenced packet of `len` bytes has come in.
    #[inline]
    pub(crate) fn note_received(&mut self, len: usize, now: Instant) {
        self.packets += 1;
        self.bytes += len;
        if self.packets >= ACK_PACKETS || self.bytes >= ACK_BYTES {
            self.due = Some(now);
        } else if self.due.is_none() {
            self.due = Some(now + ACK_DELAY);
        }
    }

    /// An ack is due now, whether something has come or not.
    pub(crate) fn owe(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// A packet goes out, whose header carries the ack.
    #[inline]
    pub(crate) fn note_sent(&mut self) {
        *self = Self::default();
    }

    /// When a bare ack is due, if nothing else is sent before that.
    #[inline]
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_ack_is_due_by_count_bytes_or_time() {
        let now = Instant::now();
        let mut acks = AckSchedule::default();
        acks.note_received(10, now);
        assert_eq!(acks.due(), Some(now + ACK_DELAY));
        for _ in 2..=64 {
            acks.note_received(10, now);
        }
        assert_eq!(acks.due(), Some(now), "64 packets");
        acks.note_sent();
        assert_eq!(acks.due(), None);
        acks.note_received(ACK_BYTES, now);
        assert_eq!(acks.due(), Some(now), "64 KiB");
    }

    #[test]
    fn later_packets_do_not_put_an_ack_off() {
        let now = Instant::now();
        let mut acks = AckSchedule::default();
        acks.note_received(10, now);
        acks.note_received(10, now + ACK_DELAY / 2);
        assert_eq!(acks.due(), Some(now + ACK_DELAY));
    }
}
