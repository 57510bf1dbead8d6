//! The ends of calls that came in: their completions, and what they took of the limits.

use super::{Charges, Connection, ServedState};
use crate::{
    proto::{Completion, ServedKey, outbox::OnSent},
    status::{Execution, Status},
    wire::{CallId, ErrorBody, Frame, Rope, Streams},
};

/// What a completion carries.
enum AnswerKind {
    /// A result, and how many streams it has.
    Value(usize),
    Fault,
}

impl Connection {
    /// The session ends when the reply of this call has gone, if it is one: a status or a fault changes nothing.
    pub fn end_after(&mut self, key: ServedKey) {
        if let ServedKey::Call(id) = key {
            if let Some(served) = self.served.call_mut(id) {
                served.terminates = true;
            }
        }
    }

    /// A handler has ended, or will never start. `charges` are what its completion holds of the budgets. Gives the
    /// numbers of the streams of its result, to be produced with [`Self::poll_stream`] and [`Self::push_items`]; none
    /// if it has none or they are not wanted.
    pub fn complete(&mut self, key: ServedKey, completion: Completion, charges: Charges) -> Streams {
        let id = match key {
            ServedKey::Oneway(number) => {
                self.output.release(charges);
                self.judge_oneway(number, completion);
                self.finish_oneway(number);
                return Streams::default();
            }
            ServedKey::Call(id) => id,
        };
        let Some(served) = self.served.call_mut(id) else {
            self.output.release(charges);
            return Streams::default();
        };
        let was = std::mem::replace(&mut served.state, ServedState::Completing);
        let succeeded = matches!(completion, Completion::Value(_) | Completion::Streaming(..));
        served.terminates &= was == ServedState::Running && succeeded;
        let status = match (was, completion) {
            (ServedState::Cancelled, Completion::NotStarted) => {
                Status::cancelled("the call was cancelled by its caller before its turn had come").not_executed()
            }
            (ServedState::Expired, Completion::NotStarted) => {
                Status::deadline_exceeded("the deadline passed before the call's turn had come").not_executed()
            }
            (ServedState::Cancelled, _) => Status::cancelled("the call was cancelled by its caller"),
            (ServedState::Expired, _) => Status::deadline_exceeded("the deadline passed while the method ran"),
            (_, Completion::Value(bytes)) => return self.push_payload(id, bytes, charges, AnswerKind::Value(0)),
            (_, Completion::Streaming(bytes, streams)) => {
                return self.push_payload(id, bytes, charges, AnswerKind::Value(streams));
            }
            (_, Completion::Fault(bytes)) => return self.push_payload(id, bytes, charges, AnswerKind::Fault),
            (_, Completion::Status(status)) => status,
            (_, Completion::NotStarted) => {
                Status::unavailable("the call was turned away before it started: the session is ending").not_executed()
            }
            (_, Completion::Stopped) if self.life.draining => {
                Status::unavailable("the method was stopped because the other side is shutting down")
            }
            (_, Completion::Stopped) => Status::cancelled("the method was stopped before its end"),
        };
        self.output.release(charges);
        self.fail_served(id, status);
        self.check_outbox();
        Streams::default()
    }

    /// A call ends with a status, and the streams among its arguments with it.
    fn fail_served(&mut self, id: CallId, status: Status) {
        if let Some(served) = self.served.call_mut(id) {
            served.terminates = false;
            let streams = std::mem::take(&mut served.streams);
            self.fail_streams(&streams);
        }
        self.push_status(id, status, OnSent::Completion(id));
    }

    /// A one-way call that was not run is refused: its caller hears nothing of it.
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

    fn push_payload(&mut self, id: CallId, bytes: Rope, charges: Charges, kind: AnswerKind) -> Streams {
        let limit = self.negotiated.limits.payload;
        let fits = if bytes.len() as u64 > limit {
            Err(Status::out_of_range(format!(
                "the result is {} bytes long, and its caller takes {limit} at most: \
                 answer with less at once, or with a stream, or raise Config::max_payload at the caller",
                bytes.len()
            )))
        } else if let AnswerKind::Value(streams) = kind {
            self.check_streams(streams)
        } else {
            Ok(())
        };
        if let Err(status) = fits {
            self.output.release(charges);
            self.fail_served(id, status);
            return Streams::default();
        }
        self.life.terminated |= self.served.call(id).is_some_and(|served| served.terminates);
        let on_sent = OnSent::Completion(id);
        let (payload, transfer) = self.split_payload(bytes, charges.transfers, on_sent);
        let (frame, streams) = match kind {
            AnswerKind::Value(count) => {
                let streams = self.open_streams(count, None);
                (Frame::Response { id, payload, streams: streams.clone() }, streams)
            }
            AnswerKind::Fault => {
                let streams = self.served.call_mut(id).map(|served| std::mem::take(&mut served.streams));
                self.fail_streams(&streams.unwrap_or_default());
                (Frame::Error { id, error: ErrorBody::Fault(payload) }, Streams::default())
            }
        };
        self.outbox.push(frame, charges.room, on_sent, transfer);
        streams
    }

    pub(super) fn push_status(&mut self, id: CallId, status: Status, on_sent: OnSent) {
        let status = status.cut_to(self.negotiated.text);
        self.outbox.push_urgent(Frame::Error { id, error: ErrorBody::Status(status) }, on_sent);
    }

    /// The completion of a call has gone: its permit returns.
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
