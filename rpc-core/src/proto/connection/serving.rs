//! Calls that come in: admission, the chain they belong to, and what stops them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Connection, DeadlineKey, MAX_EXCESS_CALLS, Served, ServedState, calls::too_deep, counted_arguments,
    memory::call_memory,
};
use crate::{
    error::ProtocolError,
    proto::{
        CallKey, Event, ServedCall, ServedKey, assembly::Purpose, chain::Origin, outbox::OnSent, slots::SlotState,
    },
    status::Status,
    wire::{CallId, MetadataPairs, Notify, Payload, Request, Streams, TransferId, metadata_size},
};

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
        let fits = self.judge(depth, &cost, &payload).and_then(|()| {
            let fits = self.has_memory(cost.memory);
            fits.map_err(|full| self.no_memory("the call", full).not_executed())
        });
        let admitted = match fits {
            Err(status) => Err(status),
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
            self.push_status(id, status, OnSent::Nothing);
            return Ok(());
        }
        let declared_deadline = deadline_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
        // Its caller waits no longer for it than for the call that it is nested in.
        let inherited = parent.as_ref().and_then(|parent| parent.deadline);
        let deadline = declared_deadline.into_iter().chain(inherited).min();
        let origin = parent.and_then(|parent| parent.origin);
        let call = self.share_call(ServedCall::new(self.id, Some(id), method, depth, deadline, metadata, origin));
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
            Ok(()) if !self.oneway_in.try_acquire(depth) => {
                Err(self.excess("one-way calls", self.config.max_oneway_calls)?)
            }
            Ok(()) => Ok(()),
        };
        if let Err(status) = admitted {
            // Nobody waits for an answer, but the sender's permit must return.
            self.refused_oneway(method, status);
            self.discard_announced(now, announced)?;
            self.count_done(depth, cost.arguments);
            return Ok(());
        }
        let number = self.next_oneway;
        self.next_oneway += 1;
        let call = self.share_call(ServedCall::new(self.id, None, method, depth, None, metadata, None));
        let state = announced.map_or(ServedState::Running, |(transfer, _)| ServedState::Arriving(transfer));
        // It was within the limits, so it may not be dropped: if it is too much, the session ends.
        let _ = self.has_memory(cost.memory);
        self.begin_arguments(now, announced, &cost, Purpose::Oneway(number))?;
        self.served_oneway.insert(
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
        self.emit_call(ServedKey::Oneway(number), call, payload, true, Streams::default());
        Ok(())
    }

    /// Shares a call, in memory that an earlier one has left if there is some.
    fn share_call(&mut self, call: ServedCall) -> Arc<ServedCall> {
        if let Some(mut place) = self.retired.pop() {
            if let Some(old) = Arc::get_mut(&mut place) {
                *old = call;
                return place;
            }
        }
        Arc::new(call)
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
        let Some((transfer, total)) = announced else { return Ok(()) };
        self.begin_unwanted(now, transfer, total, Purpose::Discard)
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
            ServedKey::Oneway(number) => self.served_oneway.get(&number),
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
            self.push_status(id, status, OnSent::Completion(id));
            self.events.push_back(Event::Withdrawn { key: ServedKey::Call(id) });
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
