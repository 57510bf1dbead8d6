//! Sequence numbers and acknowledgements of one connection, and how much bulk is under way.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{error::ProtocolError, wire::PacketHeader};

/// A bare ack is due after so many sequenced packets …
const ACK_PACKETS: u32 = 64;
/// … or so many bytes in them …
const ACK_BYTES: usize = 64 * 1024;
/// Less bulk under way than this would wait for acks that come by time alone.
const MIN_BULK: usize = 2 * ACK_BYTES;
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
    bulk: VecDeque<(u64, usize)>,
    bulk_under_way: usize,
    bulk_limit: usize,
    bulk_max: usize,
    bulk_stalled: bool,
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
            bulk: VecDeque::new(),
            bulk_under_way: 0,
            bulk_limit: bulk_limit.max(MIN_BULK),
            bulk_max: bulk_max.max(MIN_BULK),
            bulk_stalled: false,
        }
    }

    /// Checks and counts a packet that came in. Whether it is sequenced follows from its number.
    pub(crate) fn handle(&mut self, header: PacketHeader, len: usize, now: Instant) -> Result<(), ProtocolError> {
        self.handle_ack(header.ack)?;
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

    fn handle_ack(&mut self, ack: u64) -> Result<(), ProtocolError> {
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
        while let Some(&(seq, bytes)) = self.bulk.front() {
            if seq > ack {
                break;
            }
            self.bulk.pop_front();
            self.bulk_under_way -= bytes;
        }
        if self.bulk_stalled {
            // The limit, not the socket, held the sender up: the path holds more than we thought.
            self.bulk_stalled = false;
            self.bulk_limit = (self.bulk_limit * 2).min(self.bulk_max);
        }
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

    /// The packet of the last header carries so many bytes of chunks.
    pub(crate) fn count_bulk(&mut self, bytes: usize) {
        self.bulk.push_back((self.next - 1, bytes));
        self.bulk_under_way += bytes;
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

    /// Whether one more chunk may be under way. Call it only when the socket could take one: a refusal is remembered as a stall.
    pub(crate) fn allows_bulk(&mut self) -> bool {
        let allowed = self.bulk_under_way < self.bulk_limit;
        self.bulk_stalled |= !allowed;
        allowed
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

    /// Bytes of chunks sent and not acknowledged.
    pub(crate) fn bulk_under_way(&self) -> usize {
        self.bulk_under_way
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

    #[test]
    fn the_bulk_limit_is_worth_two_acks_at_least() {
        let mut sequence = Sequence::new(1, 1);
        sequence.next_header();
        sequence.count_bulk(MIN_BULK - 1);
        assert!(sequence.allows_bulk());
        sequence.count_bulk(1);
        assert!(!sequence.allows_bulk());
    }

    #[test]
    fn the_bulk_limit_doubles_only_while_it_is_what_stalls() {
        const KIB: usize = 1024;
        let now = Instant::now();
        let mut sequence = Sequence::new(200 * KIB, 800 * KIB);
        assert!(sequence.allows_bulk());
        sequence.next_header();
        sequence.count_bulk(60);
        sequence.handle(header(0, 1), 0, now).unwrap();
        assert_eq!((sequence.bulk_limit, sequence.bulk_under_way()), (200 * KIB, 0), "no stall, no growth");
        for (seq, limit) in [(2, 400), (3, 800), (4, 800)] {
            sequence.next_header();
            sequence.count_bulk(1000 * KIB);
            assert!(!sequence.allows_bulk());
            sequence.handle(header(0, seq), 0, now).unwrap();
            assert_eq!(sequence.bulk_limit, limit * KIB);
        }
    }
}
