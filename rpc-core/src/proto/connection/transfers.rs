//! Transfers that come in: Chunk and Abort of any payload, which may be arguments, a result or a long item. A Stop ends
//! what goes out, a transfer or a stream, because the two share their numbers.

use std::{mem, time::Instant};

use bytes::Bytes;

use super::{
    Connection, Event, SessionTimer,
    completions::{AnswerKind, aborted},
};
use crate::{
    error::{ProtocolError, TransferViolation},
    proto::{Outcome, ServedKey, assembly::Purpose, out_frame::OnSent},
    status::Status,
    wire::{Frame, TransferId},
};

impl Connection {
    pub(super) fn handle_chunk(
        &mut self,
        now: Instant,
        transfer: TransferId,
        data: &Bytes,
    ) -> Result<(), ProtocolError> {
        let Some((purpose, bytes)) = self.assembly.handle_chunk(transfer, data)? else { return Ok(()) };
        self.end_assembly();
        self.watch_buffer_pool(now);
        match purpose {
            Purpose::Call(id) => self.start_arrived(ServedKey::Call(id), bytes),
            Purpose::Oneway(number) => self.start_arrived(ServedKey::Oneway(number), bytes),
            Purpose::Value(key) => {
                let streams = self.calls.slots.find_mut(key).map(|slot| mem::take(&mut slot.result_streams));
                self.complete_call(key, AnswerKind::Value.outcome(bytes, streams.unwrap_or_default()));
            }
            Purpose::Item(id) => self.recv_streams.end_item(id, bytes, false, &mut self.output.wakes),
            Purpose::DiscardItem(id) => self.recv_streams.drop_item(id),
            Purpose::Fault(key) => self.complete_call(key, Outcome::Fault(bytes)),
            Purpose::Discard => {}
            Purpose::DiscardFor(key) => self.complete_call(key, aborted()),
        }
        Ok(())
    }

    pub(super) fn handle_abort(&mut self, transfer: TransferId) -> Result<(), ProtocolError> {
        let purpose = self.assembly.handle_abort(transfer)?;
        self.end_assembly();
        match purpose {
            Purpose::Call(id) => {
                let status = Status::cancelled("the caller stopped sending the arguments").not_executed();
                self.end_arriving(id, status);
            }
            Purpose::Oneway(number) => {
                self.finish_oneway(number);
                self.output.emit(Event::Withdrawn { key: ServedKey::Oneway(number) });
            }
            Purpose::Value(key) | Purpose::Fault(key) | Purpose::DiscardFor(key) => {
                self.give_up_streams(key);
                self.complete_call(key, aborted());
            }
            Purpose::Item(id) | Purpose::DiscardItem(id) => self.recv_streams.drop_item(id),
            Purpose::Discard => {}
        }
        Ok(())
    }

    /// The receiver wants no more of a transfer. The transfer's end goes out in any case: it is the last chunk, if that
    /// has gone, or else an Abort.
    pub(super) fn handle_stop(&mut self, transfer: TransferId) {
        let Some(transfer) = self.outbox.remove_transfer(transfer) else {
            // This is the number of a stream. Its reader has left and does not see how the stream ends.
            return self.stop_sending(transfer, Ok(()));
        };
        self.output.released.transfers += transfer.charge as usize;
        let on_sent = match transfer.on_sent {
            OnSent::Completion(id) => OnSent::Completion(id),
            OnSent::Request(key) => {
                if let Some(slot) = self.calls.slots.find_mut(key) {
                    slot.transfer = None;
                }
                OnSent::Nothing
            }
            OnSent::Queued(len) => {
                self.queue.note_withdrawn(len as usize);
                OnSent::Nothing
            }
            OnSent::Nothing => OnSent::Nothing,
        };
        self.outbox.push_urgent(Frame::Abort { transfer: transfer.id }, on_sent);
    }

    /// Expects the chunks of an announced payload, by its number and its length in bytes.
    pub(super) fn begin_assembly(
        &mut self,
        now: Instant,
        (transfer, total): (TransferId, u64),
        purpose: Purpose,
    ) -> Result<(), ProtocolError> {
        let max = self.config.max_assembly();
        if !self.assembly.has_room(total, max) {
            return Err(TransferViolation::TooLong { transfer, len: total, max }.into());
        }
        self.assembly.begin(transfer, total, purpose)?;
        if !self.schedule.timers.is_set(SessionTimer::Assembly) {
            self.assembly.begin_period();
            self.schedule.timers.set(SessionTimer::Assembly, now + self.config.progress_timeout());
        }
        Ok(())
    }

    /// Stops a payload that was announced and is not wanted. Chunks that still come are dropped.
    pub(super) fn refuse_transfer(
        &mut self,
        now: Instant,
        announced: (TransferId, u64),
        purpose: Purpose,
    ) -> Result<(), ProtocolError> {
        self.begin_assembly(now, announced, purpose)?;
        self.outbox.push_urgent(Frame::Stop { transfer: announced.0 }, OnSent::Nothing);
        Ok(())
    }

    /// Stops a payload that is arriving. Chunks that still come are dropped.
    pub(super) fn stop_arriving(&mut self, transfer: TransferId, purpose: Purpose) {
        self.assembly.discard(transfer, purpose);
        self.outbox.push_urgent(Frame::Stop { transfer }, OnSent::Nothing);
    }

    fn end_assembly(&mut self) {
        if self.assembly.len() == 0 {
            self.schedule.timers.stop(SessionTimer::Assembly);
        }
    }
}
