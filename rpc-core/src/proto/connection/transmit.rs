//! What goes out, packet by packet.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, Phase};
use crate::{
    proto::{
        CallKey,
        outbox::{Mark, OutFrame, OutTransfer},
        slots::SlotState,
    },
    wire::{Frame, PacketHeader, put_frame, put_header},
};

/// A packet takes frames up to so many bytes …
const PACKET_BYTES: usize = 64 * 1024;
/// … and so many of them.
const PACKET_FRAMES: usize = 64;
/// What a header takes at most.
const HEADER: usize = 18;

impl Connection {
    /// The next packet to hand to the transport, if there is one. Call it only when the transport can take it: permits and room
    /// return for what is given out. Still has packets after the end, until all that may go has gone.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(frame) = self.handshake.take() {
            put_header(&mut self.packet, PacketHeader { seq: 0, ack: 0 });
            put_frame(&mut self.packet, &frame);
            return Some(self.packet.split().freeze());
        }
        if matches!(self.phase, Phase::Handshake | Phase::Judging) {
            return None;
        }
        if !self.unsequenced.is_empty() {
            put_header(&mut self.packet, self.sequence.unsequenced_header());
            for frame in self.unsequenced.drain(..) {
                put_frame(&mut self.packet, &frame);
            }
            return Some(self.packet.split().freeze());
        }
        let packet = self.next_sequenced(now);
        if packet.is_none() {
            self.check_drained();
            if self.sequence.ack_due().is_some_and(|due| due <= now) {
                put_header(&mut self.packet, self.sequence.unsequenced_header());
                return Some(self.packet.split().freeze());
            }
        }
        packet
    }

    fn next_sequenced(&mut self, now: Instant) -> Option<Bytes> {
        let largest = usize::try_from(self.peer.packet).unwrap_or(usize::MAX) - HEADER;
        let budget = PACKET_BYTES.min(largest);
        self.packet_number = self.sequence.next_number();
        let mut frames = 0;
        while frames < PACKET_FRAMES {
            let used = self.packet.len();
            let left = budget.saturating_sub(used);
            let Some(frame) = self.next_frame(now, left, frames == 0) else { break };
            if frames == 0 {
                self.begin_packet();
            }
            frames += 1;
            put_frame(&mut self.packet, &frame);
        }
        let chunk = self.chunk_out.min(budget);
        if self.outbox.has_transfers()
            && (frames == 0 || self.packet.len() + chunk + 32 <= largest)
            && self.sequence.allows_bulk()
        {
            if frames == 0 {
                self.begin_packet();
            }
            frames += 1;
            self.put_chunk(chunk);
        }
        if frames == 0 {
            return None;
        }
        Some(self.packet.split().freeze())
    }

    fn begin_packet(&mut self) {
        let header = self.sequence.next_header();
        put_header(&mut self.packet, header);
    }

    fn put_chunk(&mut self, size: usize) {
        let Some((frame, ended)) = self.outbox.next_chunk(size) else { return };
        let before = self.packet.len();
        put_frame(&mut self.packet, &frame);
        self.sequence.count_bulk(self.packet.len() - before);
        if let Some(transfer) = ended {
            self.end_transfer(&transfer);
        }
    }

    /// The last chunk has gone.
    fn end_transfer(&mut self, transfer: &OutTransfer) {
        self.released.transfers += transfer.charge as usize;
        match transfer.mark {
            Mark::Nothing => {}
            Mark::Request(key, _) => {
                if let Some(slot) = self.slots.find_mut(key) {
                    slot.transfer = None;
                }
            }
            Mark::Completion(id) => self.finish_served(id),
        }
    }

    /// The next frame that fits and still has a purpose.
    fn next_frame(&mut self, now: Instant, left: usize, first: bool) -> Option<Frame> {
        if let Some(depth) = self.done_dirty.pop() {
            let done = self.done_counts[depth as usize];
            return Some(Frame::Done { depth, count: done.count, bytes: done.bytes });
        }
        loop {
            let out = self.outbox.pop(left, first)?;
            self.released.room += out.room as usize;
            match out.mark {
                Mark::Request(key, deadline) => {
                    if let Some(frame) = self.send_request(now, key, deadline, out) {
                        return Some(frame);
                    }
                }
                Mark::Completion(id) if out.transfer.is_none() => {
                    self.finish_served(id);
                    return Some(out.frame);
                }
                Mark::Completion(_) | Mark::Nothing => {
                    if let Some(transfer) = out.transfer {
                        self.outbox.start_transfer(transfer);
                    }
                    return Some(out.frame);
                }
            }
        }
    }

    /// A request goes out, unless its caller has given up or timed out meanwhile.
    fn send_request(&mut self, now: Instant, key: CallKey, deadline: Option<Instant>, out: OutFrame) -> Option<Frame> {
        let Some(slot) = self.slots.find_mut(key).filter(|slot| slot.state == SlotState::Queued) else {
            if let Some(transfer) = out.transfer {
                self.released.transfers += transfer.charge as usize;
            }
            return None;
        };
        slot.state = SlotState::Sent;
        slot.packet = self.packet_number;
        let mut frame = out.frame;
        if let (Frame::Request(request), Some(deadline)) = (&mut frame, deadline) {
            let left = deadline.saturating_duration_since(now).as_nanos().div_ceil(1_000_000);
            request.deadline_ms = Some(u64::try_from(left).unwrap_or(u64::MAX));
        }
        if let Some(transfer) = out.transfer {
            self.outbox.start_transfer(transfer);
        }
        Some(frame)
    }
}
