//! Calls that come in: admission, the chain they belong to, and their completion.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Charges, Connection, DeadlineKey, MAX_EXCESS_CALLS, Served, ServedState, calls::too_deep, counted_arguments,
    memory::call_memory,
};
use crate::{
    error::ProtocolError,
    proto::{
        CallKey, Completion, Event, ServedCall, ServedKey, assembly::Purpose, chain::Origin, outbox::Mark,
        slots::SlotState,
    },
    status::{Execution, Status},
    wire::{
        CallId, ErrorBody, Frame, MetadataPairs, Notify, Payload, Request, Rope, Streams, TransferId, metadata_size,
    },
};

/// What a completion carries.
enum Part {
    /// A result with so many streams.
    Value(usize),
    Fault,
}

/// A call made here in whose handler another one was made.
struct Parent {
    depth: u32,
    deadline: Option<Instant>,
    /// The call in whose handler it was made itself, if it was.
    origin: Option<Origin>,
}

/// What a call that comes in takes of the limits.
struct Cost {
    metadata: usize,
    /// Of `Config::max_arguments`.
    arguments: u64,
    /// Of `Config::session_memory`.
    memory: usize,
}

impl Cost {
    fn of(metadata: &MetadataPairs, payload: &Payload) -> Self {
        let (metadata, len) = (metadata_size(metadata), payload.len());
        Self { metadata, arguments: counted_arguments(len, metadata), memory: call_memory(len, metadata) }
    }
}

/// Memory of so many served calls is kept for others.
const MAX_RETIRED: usize = 64;

impl Connection {
    pub(super) fn handle_request(&mut self, now: Instant, request: Request) -> Result<(), ProtocolError> {
        let Request { id, method, deadline_ms, depth: declared, parent, metadata, payload, streams } = request;
        if self.served.contains_key(&id) {
            return Err(ProtocolError::new(format!("call {id} came while it was still live")));
        }
        let announced = payload.announcement();
        if let Some((transfer, _)) = announced {
            self.assembly.number(transfer)?;
        }
        self.accept_streams(&streams)?;
        let parent = parent.and_then(|parent| self.live_parent(parent));
        let depth = parent.as_ref().map_or(declared, |parent| declared.max(parent.depth.saturating_add(1)));
        let cost = Cost::of(&metadata, &payload);
        let admitted = match self.judge(depth, &cost, &payload) {
            Err(status) => Err(status),
            Ok(()) if !self.has_memory(cost.memory) => Err(self.no_memory("the call").not_executed()),
            Ok(()) if self.terminated => Err(terminated()),
            Ok(()) if self.draining && (parent.is_none() || self.grace_over) => {
                Err(Status::unavailable("the other side is shutting down").not_executed())
            }
            Ok(()) if !self.calls_in.try_acquire(declared) => Err(self.excess("calls", self.config.max_calls)?),
            Ok(()) => Ok(()),
        };
        if let Err(status) = admitted {
            self.discard_announced(now, announced)?;
            self.leave_streams(&streams);
            self.push_status(id, status, Mark::Nothing);
            return Ok(());
        }
        let declared_deadline = deadline_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
        // Nobody waits for it longer than for the call that it is nested in.
        let inherited = parent.as_ref().and_then(|parent| parent.deadline);
        let deadline = declared_deadline.into_iter().chain(inherited).min();
        let origin = parent.and_then(|parent| parent.origin);
        let call = self.place(ServedCall::new(self.id, Some(id), method, depth, deadline, metadata, origin));
        let state = announced.map_or(ServedState::Running, |(transfer, _)| ServedState::Arriving(transfer));
        self.begin_arguments(now, announced, &cost, Purpose::Call(id))?;
        self.served.insert(
            id,
            Served {
                call: call.clone(),
                declared_depth: declared,
                argument_bytes: cost.arguments,
                memory: cost.memory,
                state,
                streams: streams.clone(),
                terminates: false,
            },
        );
        if let Some(deadline) = deadline {
            self.push_deadline(deadline, DeadlineKey::Served(id));
        }
        self.emit_call(ServedKey::Call(id), call, payload, true, streams);
        Ok(())
    }

    pub(super) fn handle_notify(&mut self, now: Instant, notify: Notify) -> Result<(), ProtocolError> {
        let Notify { method, depth, metadata, payload } = notify;
        let announced = payload.announcement();
        if let Some((transfer, _)) = announced {
            self.assembly.number(transfer)?;
        }
        let cost = Cost::of(&metadata, &payload);
        let admitted = match self.judge(depth, &cost, &payload) {
            Err(status) => Err(status),
            Ok(()) if self.terminated => Err(terminated()),
            Ok(()) if self.grace_over => Err(Status::unavailable("the other side is shutting down")),
            Ok(()) if !self.notifies_in.try_acquire(depth) => {
                Err(self.excess("one-way calls", self.config.max_notifies)?)
            }
            Ok(()) => Ok(()),
        };
        if let Err(status) = admitted {
            // Nobody waits for an answer, but the sender's permit must return.
            self.refused_notify(method, status);
            self.discard_announced(now, announced)?;
            self.count_done(depth, cost.arguments);
            return Ok(());
        }
        let number = self.next_notify;
        self.next_notify += 1;
        let call = self.place(ServedCall::new(self.id, None, method, depth, None, metadata, None));
        let state = announced.map_or(ServedState::Running, |(transfer, _)| ServedState::Arriving(transfer));
        // It was within the limits, so it may not be dropped: if it is too much, the session ends.
        self.has_memory(cost.memory);
        self.begin_arguments(now, announced, &cost, Purpose::Notify(number))?;
        self.notified.insert(
            number,
            Served {
                call: call.clone(),
                declared_depth: depth,
                argument_bytes: cost.arguments,
                memory: cost.memory,
                state,
                streams: Streams::default(),
                terminates: false,
            },
        );
        self.emit_call(ServedKey::Notify(number), call, payload, true, Streams::default());
        Ok(())
    }

    /// Shares a call, in memory that an earlier one has left if there is some.
    fn place(&mut self, call: ServedCall) -> Arc<ServedCall> {
        if let Some(mut place) = self.retired.pop() {
            if let Some(old) = Arc::get_mut(&mut place) {
                *old = call;
                return place;
            }
        }
        Arc::new(call)
    }

    /// A served call is over.
    fn retire(&mut self, mut call: Arc<ServedCall>) {
        // Work that the handler has left behind may wait for that.
        call.end(&mut self.wakes);
        if self.retired.len() < MAX_RETIRED && call.retire() {
            self.retired.push(call);
        }
    }

    /// What a call made here passes on to the calls that its handler makes; `None` if it is not live.
    fn live_parent(&self, parent: CallId) -> Option<Parent> {
        let slot = self.slots.find(CallKey::from_id(parent))?;
        let live = matches!(slot.state, SlotState::Sent) && !slot.oneway;
        let origin = slot.origin.clone().map(|call| Origin { call, through: slot.method });
        live.then_some(Parent { depth: slot.depth, deadline: slot.deadline, origin })
    }

    /// Whether a call may be taken in, apart from permits.
    fn judge(&self, depth: u32, cost: &Cost, payload: &Payload) -> Result<(), Status> {
        if depth > self.config.max_depth {
            return Err(too_deep(self.config.max_depth));
        }
        let metadata = cost.metadata;
        if metadata > self.config.max_metadata {
            return Err(Status::invalid_argument(format!(
                "the metadata take {metadata} bytes or more; the other side takes {} at most (Config::max_metadata)",
                self.config.max_metadata
            ))
            .not_executed());
        }
        let len = payload.len();
        if len > self.config.max_payload as u64 {
            return Err(Status::out_of_range(format!(
                "the arguments are {len} bytes long; the other side takes {} at most (Config::max_payload)",
                self.config.max_payload
            ))
            .not_executed());
        }
        let counted = cost.arguments;
        if counted > 0 && self.argument_bytes_in + counted > self.config.max_arguments as u64 {
            return Err(Status::resource_exhausted(format!(
                "the arguments of unfinished calls would exceed {} bytes (Config::max_arguments)",
                self.config.max_arguments
            ))
            .not_executed());
        }
        Ok(())
    }

    /// The peer did not wait for a permit. Done often enough that ends the connection.
    fn excess(&mut self, what: &str, limit: u32) -> Result<Status, ProtocolError> {
        self.excess_calls += 1;
        if self.excess_calls > MAX_EXCESS_CALLS {
            return Err(ProtocolError::new(format!(
                "{MAX_EXCESS_CALLS} {what} came beyond the announced limit of {limit}"
            )));
        }
        Ok(Status::resource_exhausted(format!("more {what} came than the announced limit of {limit}")).not_executed())
    }

    fn begin_arguments(
        &mut self,
        now: Instant,
        announced: Option<(TransferId, u64)>,
        cost: &Cost,
        purpose: Purpose,
    ) -> Result<(), ProtocolError> {
        if let Some((transfer, total)) = announced {
            self.begin_assembly(now, transfer, total, purpose)?;
        }
        self.argument_bytes_in += cost.arguments;
        self.served_bytes += cost.memory;
        Ok(())
    }

    fn discard_announced(&mut self, now: Instant, announced: Option<(TransferId, u64)>) -> Result<(), ProtocolError> {
        if let Some((transfer, total)) = announced {
            self.begin_assembly(now, transfer, total, Purpose::Discard)?;
            self.outbox.push_urgent(Frame::Stop { transfer }, Mark::Nothing);
        }
        Ok(())
    }

    pub(super) fn handle_cancel(&mut self, id: CallId) {
        let Some(served) = self.served.get_mut(&id) else { return };
        match served.state {
            ServedState::Running => {
                served.state = ServedState::Cancelled;
                self.stop_handler(ServedKey::Call(id));
            }
            ServedState::Arriving(transfer) => {
                self.assembly.discard(transfer, Purpose::Discard);
                self.refuse_arriving(id, Status::cancelled("the caller gave the call up").not_executed());
            }
            ServedState::Cancelled | ServedState::Expired | ServedState::Completing => {}
        }
    }

    /// A deadline has passed that a call of this number had.
    pub(super) fn expire_served(&mut self, at: Instant, id: CallId) {
        let Some(served) = self.served.get_mut(&id).filter(|served| served.call.deadline == Some(at)) else { return };
        match served.state {
            ServedState::Running => {
                served.state = ServedState::Expired;
                self.stop_handler(ServedKey::Call(id));
            }
            ServedState::Arriving(transfer) => {
                self.stop_arriving(transfer, Purpose::Discard);
                let status =
                    Status::deadline_exceeded("the deadline passed before the arguments had arrived").not_executed();
                self.refuse_arriving(id, status);
            }
            ServedState::Cancelled | ServedState::Expired | ServedState::Completing => {}
        }
    }

    /// Tells a handler that it is not wanted any more.
    pub(super) fn stop_handler(&mut self, key: ServedKey) {
        let served = match key {
            ServedKey::Call(id) => self.served.get(&id),
            ServedKey::Notify(number) => self.notified.get(&number),
        };
        if let Some(served) = served {
            served.call.cancel(&mut self.wakes);
            self.events.push_back(Event::Cancel { key });
        }
    }

    /// Completes a call whose handler never started.
    pub(super) fn refuse_arriving(&mut self, id: CallId, status: Status) {
        if let Some(served) = self.served.get_mut(&id) {
            served.state = ServedState::Completing;
            let streams = std::mem::take(&mut served.streams);
            self.leave_streams(&streams);
            self.push_status(id, status, Mark::Completion(id));
            self.events.push_back(Event::Withdrawn { key: ServedKey::Call(id) });
        }
    }

    /// The session ends when the reply of this call has gone, if it is one: a status or a fault changes nothing.
    pub fn end_after(&mut self, key: ServedKey) {
        if let ServedKey::Call(id) = key {
            if let Some(served) = self.served.get_mut(&id) {
                served.terminates = true;
            }
        }
    }

    /// A handler has ended, or will never start. `charges` are what its completion holds of the budgets. Gives the numbers of the streams of its result, to be
    /// produced with [`Self::poll_stream`] and [`Self::push_items`]; none if it has none or they are not wanted.
    pub fn complete(&mut self, key: ServedKey, completion: Completion, charges: Charges) -> Streams {
        let id = match key {
            ServedKey::Notify(number) => {
                self.release_charges(charges);
                self.judge_notify(number, completion);
                self.finish_notify(number);
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
            (_, Completion::Value(bytes)) => return self.push_payload(id, bytes, charges, Part::Value(0)),
            (_, Completion::Streaming(bytes, streams)) => {
                return self.push_payload(id, bytes, charges, Part::Value(streams));
            }
            (_, Completion::Fault(bytes)) => return self.push_payload(id, bytes, charges, Part::Fault),
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
        self.push_status(id, status, Mark::Completion(id));
    }

    /// A one-way call that was not run is refused: its caller hears nothing of it.
    fn judge_notify(&mut self, number: u64, completion: Completion) {
        let status = match completion {
            Completion::Status(status) if status.execution() == Execution::NotExecuted => status,
            Completion::NotStarted => Status::unavailable("the session is ending"),
            _ => return,
        };
        if let Some(served) = self.notified.get(&number) {
            let method = served.call.method;
            self.refused_notify(method, status);
        }
    }

    fn push_payload(&mut self, id: CallId, bytes: Rope, charges: Charges, part: Part) -> Streams {
        let limit = self.peer.payload;
        let fits = if bytes.len() as u64 > limit {
            Err(Status::out_of_range(format!(
                "the result is {} bytes long, and the caller takes {limit} at most (Config::max_payload)",
                bytes.len()
            )))
        } else if let Part::Value(streams) = part {
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
        let mark = Mark::Completion(id);
        let (payload, transfer) = self.lay_out(bytes, charges.transfers, mark);
        let (frame, streams) = match part {
            Part::Value(count) => {
                let streams = self.open_streams(count, None);
                (Frame::Response { id, payload, streams: streams.clone() }, streams)
            }
            Part::Fault => {
                let streams = self.served.get_mut(&id).map(|served| std::mem::take(&mut served.streams));
                self.fail_streams(&streams.unwrap_or_default());
                (Frame::Error { id, error: ErrorBody::Fault(payload) }, Streams::default())
            }
        };
        self.outbox.push(frame, charges.room, mark, transfer);
        streams
    }

    fn push_status(&mut self, id: CallId, status: Status, mark: Mark) {
        let status = status.cut_to(self.max_words_out());
        self.outbox.push_urgent(Frame::Error { id, error: ErrorBody::Status(status) }, mark);
    }

    pub(super) fn finish_notify(&mut self, number: u64) {
        if let Some(served) = self.notified.remove(&number) {
            self.retire(served.call);
            self.notifies_in.release(served.declared_depth);
            self.argument_bytes_in -= served.argument_bytes;
            self.served_bytes -= served.memory;
            self.count_done(served.declared_depth, served.argument_bytes);
        }
    }

    fn count_done(&mut self, depth: u32, bytes: u64) {
        // A depth that nobody may use was refused, and its sender did not count it either.
        let Some(done) = self.done_counts.get_mut(depth as usize) else { return };
        done.count += 1;
        // A peer that keeps the rules cannot announce so much that it matters.
        done.bytes = done.bytes.saturating_add(bytes);
        if !self.done_dirty.contains(&depth) {
            self.done_dirty.push(depth);
        }
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

    /// Whether a call is served here and its caller still waits for it.
    pub(super) fn is_live(&self, id: CallId) -> bool {
        self.served.get(&id).is_some_and(|served| served.state == ServedState::Running)
    }
}

fn terminated() -> Status {
    Status::unavailable("the session is ending: a method that ends it has succeeded").not_executed()
}
