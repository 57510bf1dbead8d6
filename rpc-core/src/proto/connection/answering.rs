//! Completions of calls that were served here, and the return of what the calls took of the limits. The completions of
//! calls that were made here come in through `completions`.

use std::mem;

use super::{Charges, Connection, ServedState, completions::AnswerKind};
use crate::{
    proto::{
        Completion, ServedKey,
        out_frame::{OnSent, OutBody},
    },
    status::{Execution, Status},
    wire::{CallId, ErrorBody, Frame, Rope, Streams},
};

impl Connection {
    /// Ends the session when the reply of this call has gone out. If the call ends with a status or a fault instead,
    /// the session goes on.
    pub fn end_after(&mut self, key: ServedKey) {
        if let ServedKey::Call(id) = key {
            if let Some(served) = self.served.call_mut(id) {
                served.terminates = true;
            }
        }
    }

    /// A handler has ended, or will never start. `charges` are what its completion holds of the budgets. Gives the
    /// numbers of the streams in its result, to be produced with [`Self::poll_stream`] and [`Self::push_items`]; there
    /// are none if the caller does not want them.
    pub fn complete(&mut self, key: ServedKey, completion: Completion, charges: Charges) -> Streams {
        match key {
            ServedKey::Call(id) => self.answer(id, completion, charges),
            ServedKey::Oneway(number) => {
                self.output.release(charges);
                self.judge_oneway(number, completion);
                self.finish_oneway(number);
                Streams::default()
            }
        }
    }

    /// Takes a result without streams and puts it into the outbox, if nothing else is to be done for it. Otherwise this
    /// gives false and leaves the result, for [`Self::complete`].
    #[inline]
    pub fn complete_plain(&mut self, id: CallId, result: &mut Rope, room: u32) -> bool {
        let is_short = self.is_taken_inline(result);
        match self.served.call_mut(id) {
            Some(served) if is_short && served.state == ServedState::Running && !served.terminates => {
                served.state = ServedState::Completing;
                let on_sent = OnSent::Completion(id);
                self.outbox.push_plain(mem::take(result), room, on_sent, |result| OutBody::Response { id, result });
                true
            }
            _ => false,
        }
    }

    /// Puts the completion of a call into the outbox.
    fn answer(&mut self, id: CallId, completion: Completion, charges: Charges) -> Streams {
        let Some(served) = self.served.call_mut(id) else {
            self.output.release(charges);
            return Streams::default();
        };
        let was = mem::replace(&mut served.state, ServedState::Completing);
        let succeeded = matches!(completion, Completion::Value(_) | Completion::Streaming(..));
        served.terminates &= was == ServedState::Running && succeeded;
        let started = !matches!(completion, Completion::NotStarted);
        let status = match (given_up(was, started), completion) {
            (Some(status), _) | (None, Completion::Status(status)) => status,
            (None, Completion::Value(bytes)) => return self.push_answer(id, AnswerKind::Value, bytes, 0, charges),
            (None, Completion::Streaming(bytes, streams)) => {
                return self.push_answer(id, AnswerKind::Value, bytes, streams, charges);
            }
            (None, Completion::Fault(bytes)) => return self.push_answer(id, AnswerKind::Fault, bytes, 0, charges),
            (None, Completion::Stopped) => self.why_stopped(),
            (None, Completion::NotStarted) => {
                Status::unavailable("the call was turned away before it started: the session is ending").not_executed()
            }
        };
        self.output.release(charges);
        self.fail_served(id, status);
        self.check_outbox();
        Streams::default()
    }

    /// The status of a call whose handler was stopped before its end.
    fn why_stopped(&self) -> Status {
        if self.life.draining {
            Status::unavailable("the method was stopped because the other side is shutting down")
        } else {
            Status::cancelled("the method was stopped before its end")
        }
    }

    /// Ends a call with a status, and the streams among its arguments as well.
    fn fail_served(&mut self, id: CallId, status: Status) {
        if let Some(served) = self.served.call_mut(id) {
            served.terminates = false;
            let streams = mem::take(&mut served.streams);
            self.fail_streams(&streams);
        }
        self.push_status(id, status, OnSent::Completion(id));
    }

    /// Notes a one-way call if it was not run, because its caller does not hear of that.
    fn judge_oneway(&mut self, number: u64, completion: Completion) {
        let status = match completion {
            Completion::Status(status) if status.execution() == Execution::NotExecuted => status,
            Completion::NotStarted => Status::unavailable("the session is ending"),
            _ => return,
        };
        if let Some(served) = self.served.get(ServedKey::Oneway(number)) {
            let method = served.call.method;
            self.served.refuse_oneway(method, status);
        }
    }

    /// Sends a result with this number of streams, or a fault. Gives the numbers of the streams.
    fn push_answer(&mut self, id: CallId, kind: AnswerKind, bytes: Rope, streams: usize, charges: Charges) -> Streams {
        if let Err(status) = self.check_answer(&bytes, streams) {
            self.output.release(charges);
            self.fail_served(id, status);
            return Streams::default();
        }
        self.life.terminated |= self.served.call(id).is_some_and(|served| served.terminates);
        let on_sent = OnSent::Completion(id);
        if matches!(kind, AnswerKind::Value) && streams == 0 && self.is_inline(&bytes) {
            self.queue_plain(bytes, charges, on_sent, |result| OutBody::Response { id, result });
            return Streams::default();
        }
        let (payload, transfer) = self.split_payload(bytes, charges.transfers, on_sent);
        let (frame, streams) = match kind {
            AnswerKind::Value => {
                let window = self.served.call(id).map_or(0, |served| served.window);
                let streams = self.open_streams(streams, None, window);
                (Frame::Response { id, payload, streams: streams.clone() }, streams)
            }
            AnswerKind::Fault => {
                let streams = self.served.call_mut(id).map(|served| mem::take(&mut served.streams));
                self.fail_streams(&streams.unwrap_or_default());
                (Frame::Error { id, error: ErrorBody::Fault(payload) }, Streams::default())
            }
        };
        self.outbox.push(frame, charges.room, on_sent, transfer);
        streams
    }

    /// Whether the caller takes this answer; the error says why not.
    #[inline]
    fn check_answer(&self, bytes: &Rope, streams: usize) -> Result<(), Status> {
        let limit = self.negotiated.limits.payload;
        if bytes.len() as u64 > limit {
            return Err(Status::out_of_range(format!(
                "the result is {} bytes long, and its caller takes {limit} at most: \
                 answer with less at once, or with a stream, or raise Config::max_payload at the caller",
                bytes.len()
            )));
        }
        self.check_streams(streams)
    }

    pub(super) fn push_status(&mut self, id: CallId, status: Status, on_sent: OnSent) {
        let status = status.cut_to(self.negotiated.text);
        self.outbox.push_urgent(Frame::Error { id, error: ErrorBody::Status(status) }, on_sent);
    }

    /// The completion of a call has gone out: its permit returns.
    #[inline]
    pub(super) fn finish_served(&mut self, id: CallId) {
        if let Some(finished) = self.served.finish_call(id, &mut self.output.wakes) {
            self.memory.release_call(finished.memory);
            if finished.terminates {
                self.close();
            }
        }
    }

    #[inline]
    pub(super) fn finish_oneway(&mut self, number: u64) {
        if let Some(finished) = self.served.finish_oneway(number, &mut self.output.wakes) {
            self.memory.release_call(finished.memory);
        }
    }
}

/// The status of a call that its caller has given up, or whose deadline has passed; `None` for any other call.
#[inline]
fn given_up(state: ServedState, started: bool) -> Option<Status> {
    match state {
        ServedState::Cancelled | ServedState::Expired => Some(why_given_up(state, started)),
        ServedState::Arriving(_) | ServedState::Running | ServedState::Completing => None,
    }
}

#[cold]
fn why_given_up(state: ServedState, started: bool) -> Status {
    match (state, started) {
        (ServedState::Expired, true) => Status::deadline_exceeded("the deadline passed while the method ran"),
        (ServedState::Expired, false) => {
            Status::deadline_exceeded("the deadline passed before the call's turn had come").not_executed()
        }
        (_, true) => Status::cancelled("the call was cancelled by its caller"),
        (_, false) => Status::cancelled("the call was cancelled by its caller before its turn had come").not_executed(),
    }
}
