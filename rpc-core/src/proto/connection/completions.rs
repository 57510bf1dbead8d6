//! Completions of calls that were made here.

use std::{mem, time::Instant};

use bytes::Bytes;

use super::Connection;
use crate::{
    error::ProtocolError,
    proto::{CallKey, Outcome, assembly::Purpose, slots::SlotState},
    status::{Code, Status},
    wire::{CallId, ErrorBody, Payload, Streams, TransferId},
};

/// What the payload of a completion means.
#[derive(Clone, Copy)]
pub(super) enum AnswerKind {
    Value,
    Fault,
}

impl AnswerKind {
    pub(super) fn outcome(self, bytes: Bytes, streams: Streams) -> Outcome {
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

impl Connection {
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        id: CallId,
        payload: Payload,
        streams: Streams,
    ) -> Result<(), ProtocolError> {
        self.handle_completion(now, id, payload, AnswerKind::Value, streams)
    }

    /// A result has come without streams, in one frame.
    pub(super) fn handle_plain_response(&mut self, id: CallId, result: Bytes) -> Result<(), ProtocolError> {
        match self.calls.expect_completion(id) {
            Some(key) => {
                self.take_result(key, result, AnswerKind::Value, Streams::default());
                Ok(())
            }
            None => self.calls.count_stray(id),
        }
    }

    pub(super) fn handle_error(&mut self, now: Instant, id: CallId, error: ErrorBody) -> Result<(), ProtocolError> {
        match error {
            ErrorBody::Fault(payload) => {
                self.handle_completion(now, id, payload, AnswerKind::Fault, Streams::default())
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
        kind: AnswerKind,
        streams: Streams,
    ) -> Result<(), ProtocolError> {
        let key = self.calls.expect_completion(id);
        let window = if streams.is_empty() { 0 } else { self.window_of(key) };
        match (payload.into_value(), key) {
            (Ok(bytes), Some(key)) => {
                self.accept_streams(&streams, window)?;
                self.take_result(key, bytes, kind, streams);
                Ok(())
            }
            (Ok(_), None) => {
                self.accept_streams(&streams, window)?;
                self.leave_streams(&streams);
                self.calls.count_stray(id)
            }
            (Err(announced), Some(key)) => {
                self.assembly.number(announced.0)?;
                self.accept_streams(&streams, window)?;
                self.begin_result(now, key, announced, kind, streams)
            }
            (Err(announced), None) => {
                self.assembly.number(announced.0)?;
                self.accept_streams(&streams, window)?;
                self.leave_streams(&streams);
                self.refuse_transfer(now, announced, Purpose::Discard)?;
                self.calls.count_stray(id)
            }
        }
    }

    /// The window that the call's Request asked for the streams of its result.
    fn window_of(&self, key: Option<CallKey>) -> u32 {
        let slot = key.and_then(|key| self.calls.slots.find(key));
        self.result_window(slot.and_then(|slot| slot.method))
    }

    /// A result or a fault has come in one frame.
    #[inline]
    fn take_result(&mut self, key: CallKey, bytes: Bytes, kind: AnswerKind, streams: Streams) {
        if let Some(status) = self.refuse_result(bytes.len() as u64) {
            self.leave_streams(&streams);
            return self.complete_call(key, Outcome::Status(status));
        }
        let (bytes, buffer) = self.receive_payload(bytes);
        self.kept_outcomes.note(key, buffer);
        self.complete_call(key, kind.outcome(bytes, streams));
    }

    /// A result or a fault has been announced, and follows in chunks.
    fn begin_result(
        &mut self,
        now: Instant,
        key: CallKey,
        announced: (TransferId, u64),
        kind: AnswerKind,
        streams: Streams,
    ) -> Result<(), ProtocolError> {
        // If only a part of the arguments has gone out, the callee does not need the rest any more.
        self.abort_arguments(key);
        let refusal = self.refuse_result(announced.1);
        let Some(slot) = self.calls.slots.find_mut(key) else { return Ok(()) };
        slot.completing = true;
        let is_wanted = slot.state == SlotState::Sent;
        match refusal {
            None if is_wanted => {
                slot.state = SlotState::Arriving(announced.0);
                slot.result_streams = streams;
                return self.begin_assembly(now, announced, kind.purpose(key));
            }
            Some(status) if is_wanted => self.resolve_early(key, status),
            _ => {}
        }
        self.leave_streams(&streams);
        self.refuse_transfer(now, announced, Purpose::DiscardFor(key))
    }

    /// Gives a call its outcome although its completion has not come to an end. The slot stays until it has.
    pub(super) fn resolve_early(&mut self, key: CallKey, status: Status) {
        if let Some(slot) = self.calls.slots.find_mut(key) {
            slot.awaiting_completion = true;
            slot.state = SlotState::Resolved(Outcome::Status(status));
            self.output.wakes.extend(slot.waker.take());
        }
    }

    /// Why a result or a fault of this length is not taken.
    #[inline]
    fn refuse_result(&mut self, len: u64) -> Option<Status> {
        self.refuse_payload("the result", len, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A call's completion has come to its end: the call gets its outcome, and its permit returns.
    pub(super) fn complete_call(&mut self, key: CallKey, outcome: Outcome) {
        let Some(mut slot) = self.calls.slots.find_mut(key) else { return };
        let depth = slot.depth;
        if slot.method.is_some_and(|method| method.is_terminating()) {
            self.life.terminated_there |= matches!(outcome, Outcome::Value(_) | Outcome::Streaming(..));
        }
        self.output.released.arguments += mem::take(&mut slot.arguments) as usize;
        if slot.transfer.is_some() || !slot.streams.is_empty() {
            self.end_arguments(key, matches!(outcome, Outcome::Value(_) | Outcome::Streaming(..)));
            let Some(same) = self.calls.slots.find_mut(key) else { return };
            slot = same;
        }
        match slot.state {
            SlotState::Abandoned => {
                self.leave_streams(&outcome.streams());
                self.free_slot(key);
            }
            // The deadline passed first, and the caller has yet to take that outcome.
            SlotState::Resolved(_) => {
                slot.awaiting_completion = false;
                self.leave_streams(&outcome.streams());
            }
            _ => {
                let streams = outcome.streams();
                self.memory.hold_outcome(&outcome);
                slot.state = SlotState::Resolved(outcome);
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

    pub(super) fn handle_done(&mut self, depth: u32, count: u64, bytes: u64, marked: u64) -> Result<(), ProtocolError> {
        if marked > 0 {
            self.queue.handle_done(marked)?;
        }
        let reported = self.calls.handle_done(depth, count, bytes, &mut self.output.wakes)?;
        if self.calls.oneway_pending() == 0 {
            self.queue.all_done();
        }
        // The bytes were acquired within the budget, so their number fits.
        self.output.released.arguments += usize::try_from(reported.bytes).unwrap_or(usize::MAX);
        Ok(())
    }
}

/// The outcome of a call whose completion the other side stopped sending.
pub(super) fn aborted() -> Outcome {
    Outcome::Status(Status::new(Code::Cancelled, "the other side stopped sending the result"))
}
