//! `KeptPackets`: the counted packets of a session that can be resumed, until the other side has acknowledged them.

use std::{collections::VecDeque, mem, sync::LazyLock};

use bytes::Bytes;

use super::{rare::Rarely, shrink::trim_line};

/// What a packet counts beside its bytes, for the memory of its entry.
const ENTRY: usize = 64;
/// Packets up to this length are copied: as a part of the block in which it was written, a packet of 30 bytes would
/// keep 64 KiB.
const SHORT: usize = 4096;

/// Packets that have been handed to a transport, in the order of their numbers and without a gap. Those from
/// `again.index` on have not been handed to the transport of this link.
#[derive(Debug, Default)]
pub(crate) struct KeptPackets {
    entries: VecDeque<Entry>,
    /// The bytes of all short packets, in their order.
    short: VecDeque<u8>,
    /// The number of the first packet.
    first: u64,
    /// Bytes of all packets.
    bytes: usize,
    /// What counts against `most`: bytes that are not bulk, and [`ENTRY`] for each packet.
    counted: usize,
    most: usize,
    again: Position,
    /// The last packet that was forgotten; 0 if none was.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    body: Body,
    /// How many of the bytes are bulk, which the un-acked limit counts.
    bulk: usize,
}

#[derive(Debug)]
enum Body {
    /// This many bytes of [`KeptPackets::short`].
    Short(usize),
    Long(Bytes),
}

/// A packet: its place among the entries, and where its bytes begin, if it is short.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    index: usize,
    short: usize,
}

/// A packet that is to be sent again.
#[derive(Debug)]
pub(crate) struct AgainPacket {
    pub(crate) seq: u64,
    pub(crate) bytes: Bytes,
    pub(crate) bulk: usize,
}

impl Entry {
    fn len(&self) -> usize {
        match &self.body {
            Body::Short(len) => *len,
            Body::Long(bytes) => bytes.len(),
        }
    }

    /// The bytes that the entry has in [`KeptPackets::short`].
    fn short_len(&self) -> usize {
        if let Body::Short(len) = self.body { len } else { 0 }
    }

    fn counted(&self) -> usize {
        ENTRY + self.len() - self.bulk
    }
}

impl Rarely for KeptPackets {
    /// What the packets may count, in bytes.
    type Terms = usize;

    fn none() -> &'static Self {
        static NONE: LazyLock<KeptPackets> = LazyLock::new(KeptPackets::default);
        &NONE
    }

    fn begin(most: &usize) -> Self {
        Self::new(*most)
    }

    fn can_go(&self, _: &mut usize) -> bool {
        self.is_empty() && self.forgotten == 0
    }
}

impl KeptPackets {
    /// Keeps nothing yet. While something is kept, the packets may count `most` bytes before a further one is written.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Keeps a packet that is handed to the transport now; `bulk` of its bytes are bulk.
    #[inline]
    pub(crate) fn keep(&mut self, seq: u64, packet: &Bytes, bulk: usize) {
        debug_assert!(!self.has_again(), "what is new goes behind what is sent again");
        if self.entries.is_empty() {
            self.first = seq;
        }
        let body = if packet.len() <= SHORT {
            self.short.extend(packet);
            Body::Short(packet.len())
        } else {
            Body::Long(packet.clone())
        };
        let entry = Entry { body, bulk: bulk.min(packet.len()) };
        self.bytes += entry.len();
        self.counted += entry.counted();
        self.again.index += 1;
        self.again.short += entry.short_len();
        self.entries.push_back(entry);
    }

    /// Drops the packets up to this one.
    #[inline]
    pub(crate) fn handle_ack(&mut self, acked: u64) {
        while self.first <= acked {
            let Some(entry) = self.entries.pop_front() else { return };
            self.first += 1;
            self.bytes -= entry.len();
            self.counted -= entry.counted();
            self.short.drain(..entry.short_len());
            if self.again.index > 0 {
                self.again.index -= 1;
                self.again.short -= entry.short_len();
            }
        }
    }

    /// Whether no further packet may be written before the other side has acknowledged some.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.counted >= self.most && !self.entries.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the packets.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that the packets take.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.entries.len() * ENTRY
    }

    /// Drops all packets, which have been handed to the transport of this link, although the other side may not get
    /// them. Gives the memory that they took.
    pub(crate) fn forget(&mut self) -> usize {
        debug_assert!(!self.has_again(), "the other side would wait for what has not gone to this link");
        let memory = self.memory();
        if !self.entries.is_empty() {
            self.forgotten = self.first + self.entries.len() as u64 - 1;
            self.clear();
        }
        memory
    }

    /// The last packet that was forgotten; 0 if none was. An other side that does not have it can never have it.
    #[inline]
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All packets are to be sent again, because the link is a new one.
    pub(crate) fn begin_again(&mut self) {
        self.again = Position::default();
    }

    /// Whether there is a packet to be sent again.
    #[inline]
    pub(crate) fn has_again(&self) -> bool {
        self.again.index < self.entries.len()
    }

    /// How many bytes of the next packet to be sent again are bulk; `None` if there is no such packet.
    pub(crate) fn next_bulk(&self) -> Option<usize> {
        self.entries.get(self.again.index).map(|entry| entry.bulk)
    }

    /// The next packet to be sent again.
    pub(crate) fn next_again(&mut self) -> Option<AgainPacket> {
        let Position { index, short } = self.again;
        let entry = self.entries.get(index)?;
        let bytes = match &entry.body {
            Body::Short(len) => self.short.range(short..short + len).copied().collect(),
            Body::Long(bytes) => bytes.clone(),
        };
        self.again = Position { index: index + 1, short: short + entry.short_len() };
        Some(AgainPacket { seq: self.first + index as u64, bytes, bulk: entry.bulk })
    }

    /// Makes the packets as small as they can be, because they may be kept for long.
    pub(crate) fn shrink(&mut self) {
        for entry in &mut self.entries {
            if let Body::Long(bytes) = &mut entry.body {
                *bytes = Bytes::copy_from_slice(bytes);
            }
        }
        self.short.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// Frees memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        trim_line(&mut self.entries);
        trim_line(&mut self.short);
    }

    /// Drops all packets.
    pub(crate) fn clear(&mut self) {
        let (most, forgotten) = (self.most, self.forgotten);
        drop(mem::replace(self, Self { forgotten, ..Self::new(most) }));
    }

    /// Panics unless the counts match what is kept, and all that is kept is between `acked` and `next`.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self, acked: u64, next: u64) {
        assert_eq!(self.bytes, self.entries.iter().map(Entry::len).sum::<usize>());
        assert_eq!(self.counted, self.entries.iter().map(Entry::counted).sum::<usize>());
        assert_eq!(self.short.len(), self.entries.iter().map(Entry::short_len).sum::<usize>());
        assert!(self.again.index <= self.entries.len());
        if !self.entries.is_empty() {
            let before = acked.max(self.forgotten);
            assert_eq!((self.first, self.first + self.entries.len() as u64), (before + 1, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(len: usize) -> Bytes {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn again(kept: &mut KeptPackets) -> Vec<(u64, usize)> {
        kept.begin_again();
        let mut packets = Vec::new();
        while let Some(AgainPacket { seq, bytes, .. }) = kept.next_again() {
            assert_eq!(bytes, packet(bytes.len()));
            packets.push((seq, bytes.len()));
        }
        packets
    }

    #[test]
    fn packets_are_kept_until_they_are_acknowledged() {
        let mut kept = KeptPackets::new(1 << 20);
        for (seq, len) in [(1, 30), (2, 5000), (3, SHORT), (4, 7)] {
            kept.keep(seq, &packet(len), 0);
            kept.check(0, seq + 1);
        }
        assert!(!kept.has_again(), "all has gone to this link");
        assert_eq!(again(&mut kept), [(1, 30), (2, 5000), (3, SHORT), (4, 7)]);
        kept.handle_ack(2);
        kept.check(2, 5);
        assert_eq!(again(&mut kept), [(3, SHORT), (4, 7)]);
        kept.shrink();
        assert_eq!(again(&mut kept), [(3, SHORT), (4, 7)]);
        kept.handle_ack(4);
        assert!(kept.is_empty() && again(&mut kept).is_empty() && kept.bytes() == 0);
    }

    #[test]
    fn acks_that_come_while_packets_are_sent_again_skip_what_they_cover() {
        let mut kept = KeptPackets::new(1 << 20);
        for seq in 1..=5 {
            kept.keep(seq, &packet(10 * usize::try_from(seq).unwrap()), 0);
        }
        kept.begin_again();
        assert_eq!(kept.next_again().unwrap().seq, 1);
        kept.handle_ack(3);
        let next = kept.next_again().unwrap();
        assert_eq!((next.seq, next.bytes), (4, packet(40)));
        kept.handle_ack(5);
        assert!(!kept.has_again() && kept.next_again().is_none());
        kept.keep(6, &packet(9), 0);
        assert_eq!(again(&mut kept), [(6, 9)]);
    }

    #[test]
    fn what_is_forgotten_is_gone_and_what_follows_is_kept() {
        let mut kept = KeptPackets::new(1);
        for seq in 1..=3 {
            kept.keep(seq, &packet(5000), 0);
        }
        assert_eq!(kept.memory(), 3 * (5000 + ENTRY));
        kept.handle_ack(1);
        assert_eq!((kept.forget(), kept.memory(), kept.forgotten()), (2 * (5000 + ENTRY), 0, 3));
        assert!(!kept.is_full(), "nothing is kept, so something may go");
        assert_eq!(kept.forget(), 0);
        kept.keep(4, &packet(9), 0);
        kept.check(1, 5);
        kept.handle_ack(3);
        kept.check(3, 5);
        assert_eq!((again(&mut kept), kept.forgotten()), (vec![(4, 9)], 3));
    }

    #[test]
    fn bulk_does_not_count_and_each_packet_counts_its_entry() {
        let mut kept = KeptPackets::new(ENTRY + 10);
        kept.keep(1, &packet(70_000), 69_991);
        assert!(!kept.is_full(), "9 bytes");
        kept.handle_ack(1);
        kept.keep(2, &packet(10), 0);
        assert!(kept.is_full());
        kept.handle_ack(2);
        assert!(!kept.is_full(), "something may go while nothing is kept");
    }
}
