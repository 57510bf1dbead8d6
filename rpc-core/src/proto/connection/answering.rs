//! The ends of calls that came in: their completions, and what they took of the limits.

use std::sync::Arc;

use super::{Charges, Connection, ServedState};
use crate::{
    proto::{Completion, ServedCall, ServedKey, outbox::OnSent},
    status::{Execution, Status},
    wire::{CallId, ErrorBody, Frame, Rope, Streams},
};

/// What a completion carries.
enum AnswerKind {
    /// A result, and how many streams it has.
    Value(usize),
    Fault,
}

/// The memory of at most this many served calls is kept for others.
const MAX_RETIRED: usize = 64;

impl Connection {
    /// The session ends when the reply of this call has gone, if it is one: a status or a fault changes nothing.
    pub fn end_after(&mut self, key: ServedKey) {
        if let ServedKey::Call(id) = key {
            if let Some(served) = self.served.get_mut(&id) {
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
                self.release_charges(charges);
                self.judge_oneway(number, completion);
                self.finish_oneway(number);
                return Streams::default();
            }
            ServedKey::Call(id) => id,
        };
        let Some(served) = self.served.get_mut(&id) else {
            self.release_charges(charges);
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
            (_, Completion::Stopped) if self.draining => {
                Status::unavailable("the method was stopped because the other side is shutting down")
            }
            (_, Completion::Stopped) => Status::cancelled("the method was stopped before its end"),
        };
        self.release_charges(charges);
        self.fail_served(id, status);
        self.check_outbox();
        Streams::default()
    }

    /// A call ends with a status, and the streams among its arguments with it.
    fn fail_served(&mut self, id: CallId, status: Status) {
        if let Some(served) = self.served.get_mut(&id) {
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
        if let Some(served) = self.served_oneway.get(&number) {
            let method = served.call.method;
            self.refused_oneway(method, status);
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
            self.release_charges(charges);
            self.fail_served(id, status);
            return Streams::default();
        }
        self.terminated |= self.served.get(&id).is_some_and(|served| served.terminates);
        let on_sent = OnSent::Completion(id);
        let (payload, transfer) = self.split_payload(bytes, charges.transfers, on_sent);
        let (frame, streams) = match kind {
            AnswerKind::Value(count) => {
                let streams = self.open_streams(count, None);
                (Frame::Response { id, payload, streams: streams.clone() }, streams)
            }
            AnswerKind::Fault => {
                let streams = self.served.get_mut(&id).map(|served| std::mem::take(&mut served.streams));
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
    pub(super) fn finish_served(&mut self, id: CallId) {
        if let Some(served) = self.served.remove(&id) {
            self.retire(served.call);
            self.calls_in.release(served.declared_depth);
            self.argument_bytes_in -= served.argument_bytes;
            self.served_bytes -= served.memory;
            if served.terminates {
                self.close();
            }
        }
    }

    pub(super) fn finish_oneway(&mut self, number: u64) {
        if let Some(served) = self.served_oneway.remove(&number) {
            self.retire(served.call);
            self.oneway_in.release(served.declared_depth);
            self.argument_bytes_in -= served.argument_bytes;
            self.served_bytes -= served.memory;
            self.count_done(served.declared_depth, served.argument_bytes);
        }
    }

    pub(super) fn count_done(&mut self, depth: u32, bytes: u64) {
        // A depth beyond the limit was refused, and its sender did not count it either.
        let Some(done) = self.done_counts.get_mut(depth as usize) else { return };
        done.count += 1;
        // Only a peer that breaks the rules announces lengths that add up to more than 64 bits hold.
        done.bytes = done.bytes.saturating_add(bytes);
        if !self.done_dirty.contains(&depth) {
            self.done_dirty.push(depth);
        }
    }

    /// A served call is over.
    fn retire(&mut self, mut call: Arc<ServedCall>) {
        // Work that the handler has left behind may wait for that.
        call.end(&mut self.wakes);
        if self.retired.len() < MAX_RETIRED && call.retire() {
            self.retired.push(call);
        }
    }
}
