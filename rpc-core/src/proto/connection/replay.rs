//! Packets that were handed to a link which is gone, and that the other side has not taken in: they go again, over the
//! next link. Their bytes may change, because the other side has not seen them: each is encoded anew, with today's ack
//! and with what is left of its calls' deadlines.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, transmit::milliseconds_left};
use crate::{
    proto::{kept_packets::AgainPacket, slots::SlotState},
    wire::{CallId, Frame, PacketHeader, put_frame, put_header, read_packet},
};

impl Connection {
    /// The next packet to be sent again, if the other side takes its bulk.
    #[cold]
    pub(super) fn next_again(&mut self, now: Instant) -> Option<Bytes> {
        let has_bulk = self.resumption.kept()?.next_bulk()? > 0;
        if has_bulk && !self.link.bulk.allows() {
            return None;
        }
        let AgainPacket { seq, bytes, bulk } = self.resumption.kept_mut()?.next_again()?;
        let Ok((_, frames)) = read_packet(bytes) else {
            debug_assert!(false, "what this side has written can be read");
            return None;
        };
        put_header(&mut self.link.packet, PacketHeader { seq, ack: self.sequence.received() });
        for mut frame in frames.flatten() {
            if let Frame::Request(request) = &mut frame {
                request.deadline_ms = self.time_left(now, request.id);
            }
            put_frame(&mut self.link.packet, &frame);
        }
        self.link.acks.note_sent();
        if has_bulk {
            self.link.bulk.count_again(seq, bulk, now);
        }
        Some(self.link.take_packet())
    }

    /// What is left of the time of a call whose Request goes again: nothing if its caller has given up.
    fn time_left(&self, now: Instant, id: CallId) -> Option<u64> {
        let slot = self.calls.slots.find(crate::proto::CallKey::from_id(id));
        match slot.filter(|slot| slot.state == SlotState::Sent) {
            Some(slot) => slot.deadline.map(|deadline| milliseconds_left(now, deadline)),
            None => Some(0),
        }
    }
}
