//! What tests and fuzzers see of a connection.

use super::Connection;
#[cfg(test)]
use crate::proto::kept_packets::KeptPackets;

impl Connection {
    /// Panics unless all counts agree with what is there.
    pub fn check(&self) {
        self.outbox.check();
        self.send_streams.check();
        self.recv_streams.check();
        if let Some(kept) = self.resumption.kept() {
            kept.check(self.sequence.acked(), self.sequence.next_number());
        }
        assert!(!self.resumption.is_detached() || !self.link.is_there(), "a link that is not there takes no memory");
    }
}

#[cfg(test)]
impl Connection {
    /// The last packet that was forgotten; 0 if none was.
    pub(crate) fn forgotten(&self) -> u64 {
        self.resumption.kept().map_or(0, KeptPackets::forgotten)
    }

    /// Whether packets have to be sent again.
    pub(crate) fn has_again(&self) -> bool {
        self.resumption.has_again()
    }

    /// The last packet taken in, the last one that the other side has acknowledged, and the next one to be sent.
    pub(crate) fn positions(&self) -> (u64, u64, u64) {
        (self.sequence.received(), self.sequence.acked(), self.sequence.next_number())
    }

    pub(crate) fn chunk(&self) -> usize {
        self.negotiated.chunk
    }

    /// How many calls of this end there is memory for.
    pub(crate) fn room_for_calls(&self) -> usize {
        self.calls.slots.room()
    }

    /// The capacity of the table of streams that are read here.
    pub(crate) fn room_for_streams(&self) -> usize {
        self.recv_streams.room()
    }

    /// The parts that are there, of those that most sessions do not need. The link and what is kept to be resumed are
    /// not among them.
    pub(crate) fn rare_parts(&self) -> Vec<&'static str> {
        let parts = [
            ("streams that are produced", self.send_streams.is_there()),
            ("streams that are read", self.recv_streams.is_there()),
            ("payloads that arrive", self.assembly.is_there()),
            ("deadlines of waits", self.schedule.deadlines.is_there()),
        ];
        parts.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
    }
}
