//! Calls that come in: admission, the chain of calls that they belong to, and what stops them.
//!
//! Calls are refused here for limits, permits, memory and a drain. Later `session/dispatch.rs` refuses what is not
//! hosted and too many `no_cancel` handlers, `service/handling.rs` what interceptors, turns and gates do not let
//! through, and `service/arguments.rs` what does not decode; all of that comes back by `answering.rs`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Connection, Served, ServedState, calls::too_deep, counted_arguments, memory::call_memory};
use crate::{
    error::{CallViolation, ProtocolError},
    proto::{
        CallKey, Cancellation, Event, ServedCall, ServedKey,
        assembly::Purpose,
        chain::{NewCall, Origin},
        negotiated::find_window,
        out_frame::OnSent,
        slots::SlotState,
    },
    status::Status,
    wire::{CallId, MetadataPairs, Notify, Payload, Request, RequestHead, Streams, metadata_size},
};

/// A call that was made here, and in whose handler at the other side the call that comes in was made.
struct Parent {
    depth: u32,
    deadline: Option<Instant>,
    /// The call in whose handler here the parent itself was made, if there is one.
    origin: Option<Origin>,
}

/// What a call that comes in counts against the limits.
struct Cost {
    /// Bytes of the arguments.
    payload: u64,
    metadata: usize,
    /// Bytes that count against `Config::max_arguments`.
    arguments: u64,
    /// Bytes that count against `Config::session_memory`.
    memory: usize,
}

/// A call that has been admitted, and what came with it.
struct Admitted {
    key: ServedKey,
    call: Arc<ServedCall>,
    declared_depth: u32,
    cost: Cost,
    payload: Payload,
    streams: Streams,
    /// The window of the streams of its result.
    window: u32,
}

impl Cost {
    fn of(metadata: &MetadataPairs, payload: &Payload) -> Self {
        let (metadata, payload) = (metadata_size(metadata), payload.len());
        let (arguments, memory) = (counted_arguments(payload, metadata), call_memory(payload, metadata));
        Self { payload, metadata, arguments, memory }
    }
}

impl Connection {
    pub(super) fn handle_request(&mut self, now: Instant, request: Request) -> Result<(), ProtocolError> {
        let Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window } = request;
        let head = RequestHead { id, method, deadline_ms, depth, parent };
        self.take_request(now, head, metadata, payload, streams, window)
    }

    /// A call has come without metadata and streams, whose arguments are in the frame.
    pub(super) fn handle_plain_request(
        &mut self,
        now: Instant,
        head: RequestHead,
        arguments: Bytes,
    ) -> Result<(), ProtocolError> {
        self.take_request(now, head, MetadataPairs::new(), Payload::Inline(arguments), Streams::default(), 0)
    }

    // Inlined, so that what a plain call does not have costs it nothing.
    #[inline(always)]
    fn take_request(
        &mut self,
        now: Instant,
        head: RequestHead,
        metadata: MetadataPairs,
        payload: Payload,
        streams: Streams,
        window: u32,
    ) -> Result<(), ProtocolError> {
        let RequestHead { id, method, deadline_ms, depth: declared_depth, parent } = head;
        if self.served.contains(id) {
            return Err(CallViolation::StillLive { call: id }.into());
        }
        self.expect_announced(&payload)?;
        let first_window = if streams.is_empty() { 0 } else { find_window(&self.windows, method) };
        self.accept_streams(&streams, first_window)?;
        if deadline_ms == Some(0) {
            return self.refuse_late(now, id, &payload, &streams);
        }
        let parent = parent.and_then(|parent| self.live_parent(parent));
        let nested = parent.as_ref().map_or(0, |parent| parent.depth.saturating_add(1));
        let depth = declared_depth.max(nested);
        let cost = Cost::of(&metadata, &payload);
        if let Err(status) = self.admit_request(declared_depth, depth, parent.is_some(), &cost)? {
            self.discard_announced(now, &payload)?;
            self.leave_streams(&streams);
            self.push_status(id, status, OnSent::Nothing);
            return Ok(());
        }
        // The caller does not wait longer for this call than the parent's caller does for the parent.
        let inherited = parent.as_ref().and_then(|parent| parent.deadline);
        let came = now.checked_sub(self.link.waited).unwrap_or(now);
        let declared = deadline_ms.and_then(|ms| came.checked_add(Duration::from_millis(ms)));
        let deadline = declared.into_iter().chain(inherited).min();
        let origin = parent.and_then(|parent| parent.origin);
        let new = NewCall { session: self.id, id: Some(id), method, depth, deadline, metadata, origin, missed: None };
        let call = self.served.share(new);
        self.take_in(now, Admitted { key: ServedKey::Call(id), call, declared_depth, cost, payload, streams, window })
    }

    /// A call has come whose caller does not wait for it any more.
    #[cold]
    fn refuse_late(
        &mut self,
        now: Instant,
        id: CallId,
        payload: &Payload,
        streams: &Streams,
    ) -> Result<(), ProtocolError> {
        self.discard_announced(now, payload)?;
        self.leave_streams(streams);
        let status = Status::deadline_exceeded("the call came after its deadline").not_executed();
        self.push_status(id, status, OnSent::Nothing);
        Ok(())
    }

    pub(super) fn handle_notify(&mut self, now: Instant, notify: Notify) -> Result<(), ProtocolError> {
        let Notify { method, depth, metadata, payload, missed } = notify;
        self.take_notify(now, (method, depth, missed), metadata, payload)
    }

    /// A one-way call has come without metadata, whose arguments are in the frame.
    pub(super) fn handle_plain_notify(
        &mut self,
        now: Instant,
        method: u32,
        depth: u32,
        missed: Option<u64>,
        arguments: Bytes,
    ) -> Result<(), ProtocolError> {
        self.take_notify(now, (method, depth, missed), MetadataPairs::new(), Payload::Inline(arguments))
    }

    // Inlined as `take_request` is.
    #[inline(always)]
    fn take_notify(
        &mut self,
        now: Instant,
        (method, depth, missed): (u32, u32, Option<u64>),
        metadata: MetadataPairs,
        payload: Payload,
    ) -> Result<(), ProtocolError> {
        self.expect_announced(&payload)?;
        let cost = Cost::of(&metadata, &payload);
        if let Err(status) = self.admit_notify(depth, &cost)? {
            // No answer is sent, but the sender's permit must return.
            self.served.refuse_oneway(method, status);
            self.discard_announced(now, &payload)?;
            self.served.count_done(depth, cost.arguments, missed.is_some());
            return Ok(());
        }
        // The call is within the limits, so it may not be dropped: if it is too much, the session ends.
        let _ = self.has_memory(cost.memory);
        let key = ServedKey::Oneway(self.served.next_oneway());
        let new = NewCall { session: self.id, method, depth, metadata, missed, ..NewCall::default() };
        let call = self.served.share(new);
        let streams = Streams::default();
        self.take_in(now, Admitted { key, call, declared_depth: depth, cost, payload, streams, window: 0 })
    }

    /// Serves a call from now on; its handler starts when all of its arguments are there.
    // Inlined, because what comes with a call is large to move.
    #[inline(always)]
    fn take_in(&mut self, now: Instant, admitted: Admitted) -> Result<(), ProtocolError> {
        let Admitted { key, call, declared_depth, cost, payload, streams, window } = admitted;
        let mut state = ServedState::Running;
        if let Some(announced) = payload.announcement() {
            state = ServedState::Arriving(announced.0);
            let purpose = match key {
                ServedKey::Call(id) => Purpose::Call(id),
                ServedKey::Oneway(number) => Purpose::Oneway(number),
            };
            self.begin_assembly(now, announced, purpose)?;
        }
        let deadline = call.deadline;
        self.memory.hold_call(cost.memory);
        let (argument_bytes, memory) = (cost.arguments, cost.memory);
        let served = Served {
            call: call.clone(),
            declared_depth,
            argument_bytes,
            memory,
            state,
            streams: streams.clone(),
            window,
            terminates: false,
        };
        self.served.insert(key, served);
        if let Some(deadline) = deadline {
            self.schedule.note_deadline(deadline);
        }
        self.emit_call(key, call, payload, true, streams);
        Ok(())
    }

    /// The arguments of a call have come in chunks.
    pub(super) fn start_arrived(&mut self, key: ServedKey, arguments: Bytes) {
        let Some(served) = self.served.get_mut(key) else { return };
        served.state = ServedState::Running;
        let (call, streams) = (served.call.clone(), served.streams.clone());
        self.emit_call(key, call, Payload::Inline(arguments), false, streams);
    }

    /// Puts a served call before the shell.
    #[inline]
    fn emit_call(
        &mut self,
        key: ServedKey,
        call: Arc<ServedCall>,
        payload: Payload,
        is_inline: bool,
        streams: Streams,
    ) {
        let event = match payload.into_value() {
            Ok(payload) => {
                self.hand_over_streams(&streams);
                let (payload, buffer) = if is_inline { self.receive_payload(payload) } else { (payload, 0) };
                Event::Call { key, call, payload, buffer, streams }
            }
            Err(_) => Event::Arriving { key, method: call.method },
        };
        self.output.emit(event);
    }

    /// The call made here that has this number, if its caller still waits for it.
    fn live_parent(&self, parent: CallId) -> Option<Parent> {
        let slot = self.calls.slots.find(CallKey::from_id(parent))?;
        let live = matches!(slot.state, SlotState::Sent) && !slot.oneway;
        let origin = slot.origin.clone().map(|call| Origin { call, through: slot.method });
        live.then_some(Parent { depth: slot.depth, deadline: slot.deadline, origin })
    }

    /// Takes a permit for a call that comes in, or says why the call is refused.
    #[inline]
    fn admit_request(
        &mut self,
        declared_depth: u32,
        depth: u32,
        is_nested: bool,
        cost: &Cost,
    ) -> Result<Result<(), Status>, ProtocolError> {
        if !self.is_within_limits(depth, cost) {
            return Ok(Err(self.why_beyond_limits(depth, cost)));
        }
        if let Err(full) = self.has_memory(cost.memory) {
            return Ok(Err(self.no_memory("the call", full).not_executed()));
        }
        if let Some(status) = self.life.refuse_call(is_nested) {
            return Ok(Err(status));
        }
        if self.served.try_acquire(false, declared_depth) {
            return Ok(Ok(()));
        }
        self.served.count_excess(false, self.config.max_calls()).map(Err)
    }

    /// Takes a permit for a one-way call that comes in, or says why the call is refused.
    #[inline]
    fn admit_notify(&mut self, depth: u32, cost: &Cost) -> Result<Result<(), Status>, ProtocolError> {
        if !self.is_within_limits(depth, cost) {
            return Ok(Err(self.why_beyond_limits(depth, cost)));
        }
        if let Some(status) = self.life.refuse_oneway() {
            return Ok(Err(status));
        }
        if self.served.try_acquire(true, depth) {
            return Ok(Ok(()));
        }
        self.served.count_excess(true, self.config.max_oneway_calls()).map(Err)
    }

    /// Whether a call may be taken in, apart from permits and memory.
    #[inline]
    fn is_within_limits(&self, depth: u32, cost: &Cost) -> bool {
        let config = &self.config;
        depth <= config.max_depth()
            && cost.metadata <= config.max_metadata()
            && cost.payload <= config.max_payload() as u64
            && self.served.has_room(cost.arguments, config.max_arguments() as u64)
    }

    #[cold]
    fn why_beyond_limits(&self, depth: u32, cost: &Cost) -> Status {
        let config = &self.config;
        let (max_metadata, max_payload) = (config.max_metadata(), config.max_payload());
        let Cost { payload, metadata, arguments, .. } = *cost;
        let status = if depth > config.max_depth() {
            return too_deep(config.max_depth());
        } else if metadata > max_metadata {
            Status::invalid_argument(format!(
                "the metadata take {metadata} bytes or more; the other side takes {max_metadata} at most (Config::max_metadata)"
            ))
        } else if payload > max_payload as u64 {
            Status::out_of_range(format!(
                "the arguments are {payload} bytes long; the other side takes {max_payload} at most (Config::max_payload)"
            ))
        } else if arguments > config.max_arguments() as u64 {
            // To try again would not help.
            Status::out_of_range(format!(
                "the arguments and metadata are {arguments} bytes long; the other side takes {} at most, also of a call \
                 alone (Config::max_arguments)",
                config.max_arguments()
            ))
        } else {
            Status::resource_exhausted(format!(
                "the arguments of unfinished calls would exceed {} bytes (Config::max_arguments)",
                config.max_arguments()
            ))
        };
        status.not_executed()
    }

    /// Checks the transfer's number if the payload follows in chunks.
    #[inline]
    fn expect_announced(&mut self, payload: &Payload) -> Result<(), ProtocolError> {
        match payload.announcement() {
            Some((transfer, _)) => self.assembly.number(transfer),
            None => Ok(()),
        }
    }

    /// Stops the arguments of a call that is refused, if they follow in chunks.
    fn discard_announced(&mut self, now: Instant, payload: &Payload) -> Result<(), ProtocolError> {
        match payload.announcement() {
            Some(announced) => self.refuse_transfer(now, announced, Purpose::Discard),
            None => Ok(()),
        }
    }

    pub(super) fn handle_cancel(&mut self, id: CallId, expired: bool) {
        let Some(served) = self.served.call_mut(id) else { return };
        match served.state {
            ServedState::Running => {
                served.state = ServedState::Cancelled;
                let why = if expired { Cancellation::Deadline } else { Cancellation::Caller };
                self.stop_handler(ServedKey::Call(id), why);
            }
            ServedState::Arriving(transfer) => {
                self.assembly.discard(transfer, Purpose::Discard);
                self.end_arriving(id, Status::cancelled("the caller gave the call up").not_executed());
            }
            ServedState::Cancelled | ServedState::Expired | ServedState::Completing => {}
        }
    }

    /// The deadline `at` of the call with this number has passed.
    pub(super) fn expire_served(&mut self, at: Instant, id: CallId) {
        let Some(served) = self.served.call_mut(id).filter(|served| served.call.deadline == Some(at)) else { return };
        match served.state {
            ServedState::Running => {
                served.state = ServedState::Expired;
                self.stop_handler(ServedKey::Call(id), Cancellation::Deadline);
            }
            ServedState::Arriving(transfer) => {
                self.stop_arriving(transfer, Purpose::Discard);
                let status =
                    Status::deadline_exceeded("the deadline passed before the arguments had arrived").not_executed();
                self.end_arriving(id, status);
            }
            ServedState::Cancelled | ServedState::Expired | ServedState::Completing => {}
        }
    }

    /// Tells the shell to stop a handler.
    pub(super) fn stop_handler(&mut self, key: ServedKey, why: Cancellation) {
        if let Some(served) = self.served.get(key) {
            served.call.cancel(why, &mut self.output.wakes);
            self.output.emit(Event::Cancel { key });
        }
    }

    /// Completes a call whose arguments were still arriving, so that its handler never started: also where its caller
    /// has given it up or its deadline has passed.
    pub(super) fn end_arriving(&mut self, id: CallId, status: Status) {
        if let Some(served) = self.served.call_mut(id) {
            served.state = ServedState::Completing;
            let streams = std::mem::take(&mut served.streams);
            self.leave_streams(&streams);
            self.push_status(id, status, OnSent::Completion(id));
            self.output.emit(Event::Withdrawn { key: ServedKey::Call(id) });
        }
    }
}
