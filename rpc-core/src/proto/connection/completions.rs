//! Completions of calls that were made here, and Chunk, Abort and Stop of any payload: a transfer may be arguments, a
//! result or a long item. A Stop for a stream comes in here too, because streams and transfers share their numbers.

use std::{mem, time::Instant};

use bytes::Bytes;

use super::{Connection, Event, SessionTimer};
use crate::{
    error::ProtocolError,
    proto::{CallKey, Outcome, ServedKey, assembly::Purpose, outbox::OnSent, slots::SlotState},
    status::{Code, Status},
    wire::{CallId, ErrorBody, Frame, Payload, Streams, TransferId},
};

/// What the payload of a completion means.
#[derive(Clone, Copy)]
enum ResultKind {
    Value,
    Fault,
}

impl Connection {
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        id: CallId,
        payload: Payload,
        streams: Streams,
    ) -> Result<(), ProtocolError> {
        self.handle_completion(now, id, payload, ResultKind::Value, streams)
    }

    pub(super) fn handle_error(&mut self, now: Instant, id: CallId, error: ErrorBody) -> Result<(), ProtocolError> {
        match error {
            ErrorBody::Fault(payload) => {
                self.handle_completion(now, id, payload, ResultKind::Fault, Streams::default())
            }
            ErrorBody::Status(status) => match self.calls.expect_completion(id) {
                Some(key) => {
                    self.complete_call(key, Outcome::Status(status));
                    Ok(())
                }
                None => self.calls.count_stray(id),
            },
        }
    }

    fn handle_completion(
        &mut self,
        now: Instant,
        id: CallId,
        payload: Payload,
        kind: ResultKind,
        streams: Streams,
    ) -> Result<(), ProtocolError> {
        let key = self.calls.expect_completion(id);
        match (payload.into_value(), key) {
            (Ok(bytes), Some(key)) => {
                self.accept_streams(&streams)?;
                self.take_result(key, bytes, kind, streams);
                Ok(())
            }
            (Ok(_), None) => {
                self.accept_streams(&streams)?;
                self.leave_streams(&streams);
                self.calls.count_stray(id)
            }
            (Err((transfer, total)), Some(key)) => {
                self.assembly.number(transfer)?;
                self.accept_streams(&streams)?;
                self.begin_result(now, key, (transfer, total), kind, streams)
            }
            (Err((transfer, total)), None) => {
                self.assembly.number(transfer)?;
                self.accept_streams(&streams)?;
                self.leave_streams(&streams);
                self.refuse_transfer(now, transfer, total, Purpose::Discard)?;
                self.calls.count_stray(id)
            }
        }
    }

    /// A result or a fault has come in one frame.
    #[inline]
    fn take_result(&mut self, key: CallKey, bytes: Bytes, kind: ResultKind, streams: Streams) {
        if let Some(status) = self.refuse_result(bytes.len() as u64) {
            self.leave_streams(&streams);
            return self.complete_call(key, Outcome::Status(status));
        }
        let bytes = self.detach_if_crowded(bytes, self.memory.outcomes());
        self.complete_call(key, kind.outcome(bytes, streams));
    }

    /// A result or a fault has been announced, and follows in chunks.
    fn begin_result(
        &mut self,
        now: Instant,
        key: CallKey,
        (transfer, total): (TransferId, u64),
        kind: ResultKind,
        streams: Streams,
    ) -> Result<(), ProtocolError> {
        // If only a part of the arguments has gone out, the rest is of no use now.
        self.abort_arguments(key);
        let refusal = self.refuse_result(total);
        let Some(slot) = self.calls.slots.find_mut(key) else { return Ok(()) };
        slot.completing = true;
        let is_wanted = slot.state == SlotState::Sent;
        match refusal {
            None if is_wanted => {
                slot.state = SlotState::Arriving(transfer);
                slot.result_streams = streams;
                return self.begin_assembly(now, transfer, total, kind.purpose(key));
            }
            Some(status) if is_wanted => self.complete_early(key, status),
            _ => {}
        }
        self.leave_streams(&streams);
        self.refuse_transfer(now, transfer, total, Purpose::DiscardFor(key))
    }

    /// Gives a call its outcome although its completion has not come to an end. The slot stays until it has.
    pub(super) fn complete_early(&mut self, key: CallKey, status: Status) {
        if let Some(slot) = self.calls.slots.find_mut(key) {
            slot.awaiting_completion = true;
            slot.state = SlotState::Completed(Outcome::Status(status));
            self.output.wakes.extend(slot.waker.take());
        }
    }

    /// Why a result or a fault of this length is not taken.
    #[inline]
    fn refuse_result(&mut self, len: u64) -> Option<Status> {
        self.refuse_payload("the result", len, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A call's completion has come to its end: the call gets its outcome, and its permit returns.
    fn complete_call(&mut self, key: CallKey, outcome: Outcome) {
        let Some(slot) = self.calls.slots.find_mut(key) else { return };
        let depth = slot.depth;
        self.output.released.arguments += mem::take(&mut slot.arguments) as usize;
        if slot.transfer.is_some() || !slot.streams.is_empty() {
            self.end_arguments(key, matches!(outcome, Outcome::Value(_) | Outcome::Streaming(..)));
        }
        let Some(slot) = self.calls.slots.find_mut(key) else { return };
        match slot.state {
            SlotState::Abandoned => {
                self.leave_streams(&outcome.streams());
                self.free_slot(key);
            }
            // The deadline passed first, and the caller has yet to take that outcome.
            SlotState::Completed(_) => {
                slot.awaiting_completion = false;
                self.leave_streams(&outcome.streams());
            }
            _ => {
                let streams = outcome.streams();
                self.memory.hold_outcome(&outcome);
                slot.state = SlotState::Completed(outcome);
                self.output.wakes.extend(slot.waker.take());
                self.hand_over_streams(&streams);
            }
        }
        self.calls.release(false, depth, &mut self.output.wakes);
    }

    /// Stops sending the arguments of a call that has ended. Streams among them go on if the call has ended `well`.
    fn end_arguments(&mut self, key: CallKey, well: bool) {
        self.abort_arguments(key);
        if well {
            self.disown_argument_streams(key);
        } else {
            self.stop_argument_streams(key);
        }
    }

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
                self.complete_call(key, ResultKind::Value.outcome(bytes, streams.unwrap_or_default()));
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
                self.refuse_arriving(id, status);
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
            OnSent::Nothing => OnSent::Nothing,
        };
        self.outbox.push_urgent(Frame::Abort { transfer: transfer.id }, on_sent);
    }

    pub(super) fn handle_done(&mut self, depth: u32, count: u64, bytes: u64) -> Result<(), ProtocolError> {
        let reported = self.calls.handle_done(depth, count, bytes, &mut self.output.wakes)?;
        // The bytes were acquired within the budget, so their number fits.
        self.output.released.arguments += usize::try_from(reported.bytes).unwrap_or(usize::MAX);
        Ok(())
    }

    /// Expects the chunks of an announced payload.
    pub(super) fn begin_assembly(
        &mut self,
        now: Instant,
        transfer: TransferId,
        total: u64,
        purpose: Purpose,
    ) -> Result<(), ProtocolError> {
        if !self.assembly.has_room(total, self.config.max_assembly()) {
            return Err(ProtocolError::too_big(format!(
                "transfer {transfer} of {total} bytes exceeds the announced limit of {} for payloads under way",
                self.config.max_assembly()
            )));
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
        transfer: TransferId,
        total: u64,
        purpose: Purpose,
    ) -> Result<(), ProtocolError> {
        self.begin_assembly(now, transfer, total, purpose)?;
        self.outbox.push_urgent(Frame::Stop { transfer }, OnSent::Nothing);
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

impl ResultKind {
    fn outcome(self, bytes: Bytes, streams: Streams) -> Outcome {
        match self {
            Self::Value if streams.is_empty() => Outcome::Value(bytes),
            Self::Value => Outcome::Streaming(bytes, streams),
            Self::Fault => Outcome::Fault(bytes),
        }
    }

    fn purpose(self, key: CallKey) -> Purpose {
        match self {
            Self::Value => Purpose::Value(key),
            Self::Fault => Purpose::Fault(key),
        }
    }
}

fn aborted() -> Outcome {
    Outcome::Status(Status::new(Code::Cancelled, "the other side stopped sending the result"))
}
