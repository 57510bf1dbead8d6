//! Sequence numbers and acknowledgements of one connection.

use std::time::{Duration, Instant};

use super::bulk::BulkWindow;
use crate::{error::ProtocolError, wire::PacketHeader};

/// A bare ack is due after so many sequenced packets …
const ACK_PACKETS: u32 = 64;
/// … or so many bytes in them …
const ACK_BYTES: usize = 64 * 1024;
/// … or so long after the first of them.
const ACK_DELAY: Duration = Duration::from_millis(200);

/// Counts sequenced packets in both directions.
#[derive(Debug)]
pub(crate) struct Sequence {
    next: u64,
    acked: u64,
    received: u64,
    unacked_packets: u32,
    unacked_bytes: usize,
    ack_at: Option<Instant>,
    bulk: BulkWindow,
}

impl Sequence {
    pub(crate) fn new(bulk_limit: usize, bulk_max: usize) -> Self {
        Self {
            next: 1,
            acked: 0,
            received: 0,
            unacked_packets: 0,
            unacked_bytes: 0,
            ack_at: None,
            bulk: BulkWindow::new(bulk_limit, bulk_max),
        }
    }

    /// Checks and counts a packet that came in. Whether it is sequenced follows from its number.
    pub(crate) fn handle(&mut self, header: PacketHeader, len: usize, now: Instant) -> Result<(), ProtocolError> {
        self.handle_ack(header.ack, now)?;
        if header.seq == 0 {
            return Ok(());
        }
        if header.seq != self.received + 1 {
            return Err(ProtocolError::new(format!(
                "packet {} came where packet {} was expected",
                header.seq,
                self.received + 1
            )));
        }
        self.received = header.seq;
        self.unacked_packets += 1;
        self.unacked_bytes += len;
        if self.unacked_packets >= ACK_PACKETS || self.unacked_bytes >= ACK_BYTES {
            self.ack_at = Some(now);
        } else if self.ack_at.is_none() {
            self.ack_at = Some(now + ACK_DELAY);
        }
        Ok(())
    }

    fn handle_ack(&mut self, ack: u64, now: Instant) -> Result<(), ProtocolError> {
        if ack >= self.next {
            return Err(ProtocolError::new(format!(
                "packet {ack} was acknowledged, but the last one sent is {}",
                self.next - 1
            )));
        }
        if ack <= self.acked {
            return Ok(());
        }
        self.acked = ack;
        self.bulk.handle_ack(ack, now);
        Ok(())
    }

    /// The header of a sequenced packet that is about to be sent.
    pub(crate) fn next_header(&mut self) -> PacketHeader {
        let seq = self.next;
        self.next += 1;
        PacketHeader { seq, ack: self.take_ack() }
    }

    /// The number of the next sequenced packet.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// The packet of the last header carries so many bytes of chunks and items.
    pub(crate) fn count_bulk(&mut self, bytes: usize, now: Instant) {
        self.bulk.count(self.next - 1, bytes, now);
    }

    /// The header of an unsequenced packet.
    pub(crate) fn unsequenced_header(&mut self) -> PacketHeader {
        PacketHeader { seq: 0, ack: self.take_ack() }
    }

    fn take_ack(&mut self) -> u64 {
        self.unacked_packets = 0;
        self.unacked_bytes = 0;
        self.ack_at = None;
        self.received
    }

    /// Whether one more chunk may be under way. Call it only when the socket could take one: a refusal is remembered as
    /// a stall.
    pub(crate) fn allows_bulk(&mut self) -> bool {
        self.bulk.allows()
    }

    /// When a bare ack is due, if nothing else is sent before.
    pub(crate) fn ack_due(&self) -> Option<Instant> {
        self.ack_at
    }

    /// The last sequenced packet taken in.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The last packet that the other side has acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// Bytes of chunks and items that have been acknowledged since the beginning.
    pub(crate) fn bulk_acked(&self) -> u64 {
        self.bulk.acked()
    }

    /// Bytes of chunks and items sent and not acknowledged.
    pub(crate) fn bulk_under_way(&self) -> usize {
        self.bulk.under_way()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u64, ack: u64) -> PacketHeader {
        PacketHeader { seq, ack }
    }

    #[test]
    fn gaps_repeats_and_impossible_acks_are_refused() {
        let now = Instant::now();
        let mut sequence = Sequence::new(1, 1);
        sequence.handle(header(1, 0), 10, now).unwrap();
        assert!(sequence.handle(header(3, 0), 10, now).is_err(), "a gap");
        assert!(sequence.handle(header(1, 0), 10, now).is_err(), "a repeat");
        assert!(sequence.handle(header(2, 1), 10, now).is_err(), "an ack for what was never sent");
        assert_eq!(sequence.next_header(), header(1, 1));
        sequence.handle(header(2, 1), 10, now).unwrap();
        sequence.handle(header(0, 0), 10, now).unwrap();
        assert_eq!(sequence.acked(), 1, "a lower ack is without effect");
    }

    #[test]
    fn a_bare_ack_is_due_by_count_bytes_or_time() {
        let now = Instant::now();
        let mut sequence = Sequence::new(1, 1);
        sequence.handle(header(1, 0), 10, now).unwrap();
        assert_eq!(sequence.ack_due(), Some(now + ACK_DELAY));
        for seq in 2..=64 {
            sequence.handle(header(seq, 0), 10, now).unwrap();
        }
        assert_eq!(sequence.ack_due(), Some(now), "64 packets");
        assert_eq!(sequence.unsequenced_header(), header(0, 64));
        assert_eq!(sequence.ack_due(), None);
        sequence.handle(header(65, 0), ACK_BYTES, now).unwrap();
        assert_eq!(sequence.ack_due(), Some(now), "64 KiB");
        sequence.handle(header(0, 0), ACK_BYTES, now).unwrap();
        assert_eq!(sequence.received(), 65, "unsequenced packets are not counted");
    }
}
