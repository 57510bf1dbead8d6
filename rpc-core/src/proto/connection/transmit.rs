//! Output, packet by packet.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, Phase};
use crate::{
    proto::{
        out_frame::{LeftOver, OnSent, OutTransfer},
        outbox::BulkEntry,
        slots::SlotState,
        streams::{Credit, TurnLimits, TurnOutput, TurnResult},
        writer::CHUNK_FRAME,
    },
    wire::{Frame, TransferId},
};

/// A packet takes frames until it has this many bytes …
const PACKET_BYTES: usize = 64 * 1024;
/// … or this many frames. While the other side may have nothing to do, a packet takes half of what waits, and at
/// least [`BATCH_FRAMES`], so that the other side works on them while this side goes on with the rest.
const PACKET_FRAMES: usize = 64;
/// The least number of frames for which a packet of their own pays.
const BATCH_FRAMES: usize = PACKET_FRAMES / 2;
/// With this many calls under way, each side has full packets before it while it works on the next ones.
const BUSY_CALLS: usize = 2 * PACKET_FRAMES;
/// After this many rounds of reading in a row that left something unread, the other side is ahead of this one. One such
/// round says nothing, because packets of [`BATCH_FRAMES`] that meet on the way fill a round as well.
const BUSY_ROUNDS: u32 = 2;
/// A packet takes this many chunks and items: items are small, and each costs its reader little.
const BULK_FRAMES: usize = 512;
/// The longest Done or Credit.
const SMALL_FRAME: usize = 48;

impl Connection {
    /// The next packet to hand to the transport, if there is one. Call it only when the transport can take a packet.
    /// When a frame is given out, the sender's room returns, and with the end of a completion also the permit of the
    /// call that was served here. (The permit of a call that was made here returns with its completion.) After the end
    /// it still gives packets, until all frames that may go have gone.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let Some(link) = self.link.get_mut() else {
            self.rest(now);
            return None;
        };
        let handshake = link.write_handshake();
        if handshake.is_some() || self.life.phase == Phase::Handshake {
            return handshake;
        }
        let unsequenced = self.link.write_unsequenced(self.sequence.received());
        if unsequenced.is_some() {
            return unsequenced;
        }
        let again = self.resumption.has_again();
        let packet = if again { self.next_again(now) } else { self.next_sequenced(now) };
        if packet.is_none() || !self.may_transmit(now) {
            self.rest(now);
        }
        packet.or_else(|| self.link.write_ack(self.sequence.received(), now))
    }

    /// All that can go has gone.
    fn rest(&mut self, now: Instant) {
        self.count_memory();
        self.check_drained();
        self.time_linger(now);
    }

    /// Whether [`Self::poll_transmit`] may give another packet. False only if the packet that it gave last was the last
    /// one, so that it need not be called again. During a drain it is called once more, and ends the connection if
    /// nothing is left to do.
    pub fn may_transmit(&self, now: Instant) -> bool {
        !self.life.is_open()
            || self.life.draining
            || self.has_output()
            || self.may_feed()
            || self.served.owes_done()
            || self.owes_credit()
            || self.link.acks.due().is_some_and(|due| due <= now)
    }

    /// Whether the session is open over a link, has no events, and [`Self::poll_transmit`] would give no packet.
    pub fn is_settled(&self, now: Instant) -> bool {
        !self.resumption.is_detached() && !self.has_events() && !self.may_transmit(now)
    }

    fn next_sequenced(&mut self, now: Instant) -> Option<Bytes> {
        if self.resumption.is_silent() {
            return None;
        }
        self.feed(now);
        let largest = self.negotiated.packet;
        let budget = PACKET_BYTES.min(largest);
        let number = self.sequence.next_number();
        let most = (self.outbox.waiting() / 2).clamp(self.batch(), PACKET_FRAMES);
        let (mut frames, mut written) = (0, self.link.packet.len());
        while frames < most {
            if !self.put_next(now, number, written, budget) {
                break;
            }
            written = self.link.packet.len();
            frames += 1;
        }
        let before_bulk = written;
        if self.has_bulk() {
            if self.link.bulk.allows() {
                frames += self.put_bulk(now, largest);
            } else {
                self.await_acks(now);
            }
        }
        if frames == 0 && !self.put_bye(number) {
            return None;
        }
        self.watch_tables(now);
        let bulk = self.link.packet.len() - before_bulk;
        let packet = self.link.take_packet();
        if self.resumption.keep(number, &packet, bulk) {
            self.await_acks(now);
        }
        Some(packet)
    }

    /// How many frames of one kind are handled or written together, before the other side gets to work on what has
    /// come of them.
    pub fn batch(&self) -> usize {
        let is_busy = self.link.was_busy || self.has_many_calls() || self.link.full_rounds >= BUSY_ROUNDS;
        if is_busy { PACKET_FRAMES } else { BATCH_FRAMES }
    }

    /// Notes that a round of reading is over, so that callers are about to be woken. `full` says that the round has
    /// left something unread.
    pub fn handle_round(&mut self, full: bool) {
        self.kept_outcomes.end_round();
        let was_busy = self.has_many_calls();
        if let Some(link) = self.link.get_mut() {
            link.full_rounds = if full { link.full_rounds.saturating_add(1) } else { 0 };
            // The calls of the round are served and answered in batches of one size, although they become fewer.
            link.was_busy = was_busy;
        }
    }

    fn has_many_calls(&self) -> bool {
        self.calls.slots.live() + self.served.two_way_len() >= BUSY_CALLS
    }

    /// Whether a transfer or stream has something to send, credit allowing.
    pub(super) fn has_bulk(&self) -> bool {
        self.outbox.has_bulk() || self.send_streams.get().is_some_and(|streams| streams.has_unblocked())
    }

    /// Puts about a chunk's worth of transfers and streams into the packet, in turn. Gives the number of frames.
    fn put_bulk(&mut self, now: Instant, largest: usize) -> usize {
        let (before, chunk) = (self.link.packet.len(), self.negotiated.chunk);
        let mut gone = TurnOutput::default();
        loop {
            let len = self.link.packet.len();
            let taken = len - before;
            if gone.frames >= BULK_FRAMES || taken >= chunk {
                break;
            }
            let left = (chunk + CHUNK_FRAME).saturating_sub(taken).min(largest.saturating_sub(len));
            let fits = match self.next_turn() {
                Some(BulkEntry::Transfer(transfer)) => self.put_chunk(transfer, left, &mut gone),
                Some(BulkEntry::Stream(id)) => self.put_items(id, left, &mut gone),
                None => break,
            };
            if !fits {
                break;
            }
        }
        self.output.released.transfers += gone.transfers;
        if let Some(streams) = self.send_streams.get_mut() {
            streams.pass_on(&mut self.output.wakes);
        }
        if gone.frames > 0 {
            let bulk = self.link.packet.len() - before;
            self.link.bulk.count(self.sequence.last_number(), bulk, now);
        }
        gone.frames
    }

    /// The transfer or stream whose turn it is to send. If the streams that the last credit let go have left some of
    /// the credit, another stream that was blocked has its turn.
    fn next_turn(&mut self) -> Option<BulkEntry> {
        self.outbox.next_turn().or_else(|| self.send_streams.get_mut()?.unblock().map(BulkEntry::Stream))
    }

    /// Puts the next chunk of a transfer into the packet; false if the chunk is longer than `left` bytes, so that it
    /// has to wait for the next packet.
    fn put_chunk(&mut self, mut transfer: Box<OutTransfer>, left: usize, gone: &mut TurnOutput) -> bool {
        let (begin, chunk) = (self.link.packet.len(), self.negotiated.chunk);
        if begin > 0 && transfer.rest.len().min(chunk) + CHUNK_FRAME > left {
            self.outbox.put_back(BulkEntry::Transfer(transfer));
            return false;
        }
        let frame = self.outbox.split_chunk(&mut transfer, chunk);
        self.link.writer(&mut self.sequence).put(&frame);
        gone.frames += 1;
        let over = transfer.rest.is_empty();
        if over {
            self.end_transfer(&transfer);
        }
        self.outbox.end_turn(self.link.packet.len() - begin, BulkEntry::Transfer(transfer), !over);
        true
    }

    /// Puts the next items of a stream into the packet; false if the first is longer than `left` bytes, so that the
    /// stream has to wait for the next packet.
    fn put_items(&mut self, id: TransferId, left: usize, gone: &mut TurnOutput) -> bool {
        let begin = self.link.packet.len();
        let limits = TurnLimits { left, chunk: self.negotiated.chunk, frames: BULK_FRAMES, first: begin == 0 };
        let mut writer = self.link.writer(&mut self.sequence);
        let put = self.send_streams.put(id, &mut writer, limits, gone);
        self.output.wakes.extend(gone.wake.take());
        let sent = self.link.packet.len() - begin;
        if put == TurnResult::Full && sent == 0 {
            self.outbox.put_back(BulkEntry::Stream(id));
            return false;
        }
        self.outbox.end_turn(sent, BulkEntry::Stream(id), matches!(put, TurnResult::More | TurnResult::Full));
        true
    }

    /// The last chunk of a transfer has gone out.
    fn end_transfer(&mut self, transfer: &OutTransfer) {
        self.output.released.transfers += transfer.charge as usize;
        match transfer.on_sent {
            OnSent::Nothing => {}
            OnSent::Request(key) => {
                if let Some(slot) = self.calls.slots.find_mut(key) {
                    slot.transfer = None;
                }
            }
            OnSent::Completion(id) => self.finish_served(id),
            OnSent::Queued(len) => self.queue.note_sent(self.sequence.last_number(), len as usize),
        }
    }

    /// Puts the next frame into the packet with this number, of which `written` bytes of `budget` are there; false if
    /// there is none that fits.
    fn put_next(&mut self, now: Instant, number: u64, written: usize, budget: usize) -> bool {
        let (left, is_first) = (budget.saturating_sub(written), written == 0);
        if !is_first && left < SMALL_FRAME {
            return false;
        }
        match self.next_report(now, number) {
            Some(report) => {
                self.link.writer(&mut self.sequence).put(&report);
                true
            }
            None => self.put_frame(now, number, left, is_first),
        }
    }

    /// The next frame that reports a sum: of one-way calls that are over, or of items that were read.
    #[inline]
    fn next_report(&mut self, now: Instant, number: u64) -> Option<Frame> {
        if self.served.owes_done() && self.is_done_due(now) {
            return self.served.next_done();
        }
        if !self.owes_credit() {
            return None;
        }
        let (stream, credit) = self.recv_streams.next_credit(number, self.sequence.acked())?;
        let Credit { items, bytes, read } = credit;
        Some(Frame::Credit { stream, items, bytes, read })
    }

    /// Whether finished one-way calls are reported now: with anything else that goes, be it an ack, and to an end that
    /// leaves or is left, which may wait for nothing else.
    #[inline]
    fn is_done_due(&mut self, now: Instant) -> bool {
        let goes_along = !self.link.packet.is_empty() || self.link.acks.due().is_some_and(|due| due <= now);
        self.served.is_done_due(now) || goes_along || self.life.is_leaving() || !self.life.is_open()
    }

    /// Puts the next frame of the outbox into the packet; false if there is none that fits.
    fn put_frame(&mut self, now: Instant, number: u64, left: usize, is_first: bool) -> bool {
        loop {
            // The frame is encoded in its place, because frames are large to move.
            let Some(out) = self.outbox.front(left, is_first) else { return false };
            let mut deadline_ms = None;
            if let OnSent::Request(key) = out.on_sent {
                let Some(slot) = self.calls.slots.find_mut(key).filter(|slot| slot.state == SlotState::Queued) else {
                    // The call's caller has given up meanwhile, or its deadline has passed.
                    self.skip_frame();
                    continue;
                };
                slot.state = SlotState::Sent;
                slot.packet = number;
                deadline_ms = slot.deadline.map(|deadline| milliseconds_left(now, deadline));
            }
            out.put(self.link.writer(&mut self.sequence).begun(), deadline_ms);
            let on_sent = out.on_sent;
            if out.is_plain() {
                self.output.released.room += self.outbox.pop_plain();
                match on_sent {
                    OnSent::Completion(id) => self.finish_served(id),
                    OnSent::Queued(len) => self.queue.note_sent(number, len as usize),
                    OnSent::Request(_) | OnSent::Nothing => {}
                }
                return true;
            }
            let Some(LeftOver { room, streams, transfer }) = self.outbox.pop() else { return true };
            self.output.released.room += room;
            self.announce_streams(&streams);
            match (transfer, on_sent) {
                (Some(transfer), _) => self.outbox.start_transfer(transfer),
                (None, OnSent::Completion(id)) => self.finish_served(id),
                (None, OnSent::Queued(len)) => self.queue.note_sent(number, len as usize),
                (None, OnSent::Request(_) | OnSent::Nothing) => {}
            }
            return true;
        }
    }

    fn skip_frame(&mut self) {
        if let Some(LeftOver { room, transfer, .. }) = self.outbox.pop() {
            self.output.released.room += room;
            self.output.released.transfers += transfer.map_or(0, |transfer| transfer.charge as usize);
        }
    }
}

/// The time that is left until a deadline, as a frame carries it.
#[inline]
pub(super) fn milliseconds_left(now: Instant, deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(now);
    let begun = u64::from(left.subsec_nanos().div_ceil(1_000_000));
    left.as_secs().saturating_mul(1000).saturating_add(begun)
}
