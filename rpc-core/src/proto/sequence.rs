//! `Sequence`: the numbers of a session's packets, and what of them has been acknowledged.

use crate::{error::ProtocolError, wire::PacketHeader};

/// Counts sequenced packets in both directions, from 1. The other side has taken in what is up to `acked`, and
/// `acked < next`; this side has taken in what is up to `received`, without a gap.
#[derive(Debug)]
pub(crate) struct Sequence {
    next: u64,
    acked: u64,
    received: u64,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self { next: 1, acked: 0, received: 0 }
    }

    /// The other side has taken in all packets up to this one. An ack that is lower than an earlier one is without
    /// effect.
    #[inline]
    pub(crate) fn handle_ack(&mut self, ack: u64) -> Result<(), ProtocolError> {
        if ack >= self.next {
            return Err(ProtocolError::AckOfUnsent { ack, last: self.last_number() });
        }
        self.acked = self.acked.max(ack);
        Ok(())
    }

    /// Whether the packet with this number can be the last one that the other side has taken in.
    pub(crate) fn may_be_received(&self, number: u64) -> bool {
        self.acked <= number && number < self.next
    }

    /// The other side has taken in all packets up to this one, as it says on a new link.
    pub(crate) fn note_taken_in(&mut self, number: u64) {
        debug_assert!(self.may_be_received(number));
        self.acked = number;
    }

    /// A sequenced packet has come in: it must be the next one.
    #[inline]
    pub(crate) fn handle_number(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if seq != self.received + 1 {
            return Err(ProtocolError::OutOfSequence { seq, expected: self.received + 1 });
        }
        self.received = seq;
        Ok(())
    }

    /// The header of a sequenced packet that is about to be sent.
    #[inline]
    pub(crate) fn next_header(&mut self) -> PacketHeader {
        let seq = self.next;
        self.next += 1;
        PacketHeader { seq, ack: self.received }
    }

    /// The number of the next sequenced packet.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// The number of the last sequenced packet that was sent, 0 before the first.
    pub(crate) fn last_number(&self) -> u64 {
        self.next - 1
    }

    /// The last sequenced packet taken in.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The last packet that the other side has acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_repeats_and_impossible_acks_are_refused() {
        let mut sequence = Sequence::new();
        sequence.handle_number(1).unwrap();
        for seq in [3, 1] {
            assert_eq!(sequence.handle_number(seq), Err(ProtocolError::OutOfSequence { seq, expected: 2 }));
        }
        assert_eq!(sequence.handle_ack(1), Err(ProtocolError::AckOfUnsent { ack: 1, last: 0 }));
        assert_eq!(sequence.next_header(), PacketHeader { seq: 1, ack: 1 });
        sequence.handle_ack(1).unwrap();
        sequence.handle_number(2).unwrap();
        sequence.handle_ack(0).unwrap();
        assert_eq!(sequence.acked(), 1, "a lower ack is without effect");
        assert_eq!((sequence.received(), sequence.last_number(), sequence.next_number()), (2, 1, 2));
    }

    #[test]
    fn a_position_is_possible_from_the_last_ack_to_the_last_packet() {
        let mut sequence = Sequence::new();
        assert!(sequence.may_be_received(0) && !sequence.may_be_received(1));
        for seq in 1..=3 {
            assert_eq!(sequence.next_header(), PacketHeader { seq, ack: 0 });
        }
        sequence.handle_ack(1).unwrap();
        let possible =
            |sequence: &Sequence| (0..5).filter(|number| sequence.may_be_received(*number)).collect::<Vec<_>>();
        assert_eq!(possible(&sequence), [1, 2, 3]);
        sequence.note_taken_in(2);
        assert_eq!((sequence.acked(), possible(&sequence)), (2, vec![2, 3]));
    }
}
