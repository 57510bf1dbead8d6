//! Calls that are made here: from a caller's first poll to the outbox, and giving up.

use std::{mem, sync::Arc, task::Waker, time::Instant};

use super::{Connection, DeadlineKey, Role, counted_arguments};
use crate::{
    contract::MethodDescriptor,
    proto::{
        CallKey, DeadlineOrigin, IdleTimeout, Outcome, ServedCall,
        assembly::Purpose,
        deadline_origin::too_late,
        keep_waker,
        out_frame::{OnSent, OutBody, OutTransfer},
        slots::SlotState,
    },
    status::Status,
    wire::{CallId, Frame, MetadataPairs, Notify, Payload, Request, Rope, metadata_size},
};

/// What a caller says when it begins.
#[derive(Debug, Default)]
pub struct CallStart {
    /// The method, for messages that name it.
    pub method: Option<&'static MethodDescriptor>,
    /// Whether the call is one-way, so that no answer comes.
    pub oneway: bool,
    /// How deep the call is nested: one more than `origin`'s depth, or 0.
    pub depth: u32,
    /// The call in whose handler this one is made. [`Connection::begin_call`] takes it.
    pub origin: Option<Arc<ServedCall>>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// What has set the deadline, for messages.
    pub deadline_origin: Option<DeadlineOrigin>,
    /// For a call with streams among its arguments: how long the call may go without an answer while no item of these
    /// streams is produced or read.
    pub idle_timeout: Option<IdleTimeout>,
}

/// Where a call stands, seen from its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum CallProgress {
    /// Nothing to do but wait, for a permit or for the outcome.
    Waiting,
    /// The call has a permit and may be sent.
    Admitted,
    /// The call has ended, and its key is invalid.
    Done(Outcome),
}

/// An encoded call, ready to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The method's number.
    pub method: u32,
    /// Metadata.
    pub metadata: MetadataPairs,
    /// The arguments.
    pub payload: Rope,
    /// How many streams there are among the arguments.
    pub streams: usize,
    /// The parts of the budgets that the caller holds for this call.
    pub charges: Charges,
}

/// The parts of the connection's budgets that a sender holds for one frame; see [`super::Released`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charges {
    /// Bytes of room in the outbox.
    pub room: u32,
    /// Bytes of the budget of transfers.
    pub transfers: u32,
    /// Bytes of the budget of arguments.
    pub arguments: u32,
}

impl Connection {
    /// Begins a call: takes a slot, and a permit if one is free. Otherwise `waker` is woken when the call has got its
    /// permit. The error says why the call cannot be made.
    pub fn begin_call(
        &mut self,
        now: Instant,
        start: &mut CallStart,
        waker: &Waker,
    ) -> Result<(CallKey, CallProgress), Status> {
        let parent = self.live_parent_of(start);
        if let Some(status) = self.refuse_start(now, start, parent.is_some()) {
            return Err(status);
        }
        let behind = self.waits_behind(start.oneway, parent.is_some());
        let is_held_back = behind.is_some() || self.calls.is_held_back(start.origin.is_some());
        let Some((key, slot)) = self.calls.insert(start.oneway, start.depth, is_held_back) else {
            return Err(Status::resource_exhausted("too many calls wait on this session").not_executed());
        };
        (slot.method, slot.oneway, slot.depth) = (start.method, start.oneway, start.depth);
        (slot.parent, slot.origin, slot.deadline) = (parent, start.origin.take(), start.deadline);
        (slot.deadline_origin, slot.packet) = (start.deadline_origin, 0);
        let nested = slot.origin.is_some() && !start.oneway;
        let admitted = slot.state == SlotState::Admitted;
        if !admitted {
            slot.waker = Some(waker.clone());
            if behind.is_some() {
                slot.state = SlotState::Behind;
            }
        }
        slot.idle_timeout = start.idle_timeout.map(|idle_timeout| (idle_timeout, now));
        if let Some(deadline) = start.deadline {
            self.schedule.note_deadline(deadline);
        }
        if let Some(due) = start.idle_timeout.and_then(|idle_timeout| now.checked_add(idle_timeout.time)) {
            self.push_deadline(due, DeadlineKey::Idle(key));
        }
        if !admitted {
            match behind {
                Some(number) => self.calls.enqueue_behind(number, key),
                None => self.calls.enqueue(start.oneway, start.depth, key),
            }
            self.watch_tables(now);
            if nested {
                self.push_deadline(now + self.config.nested_wait(), DeadlineKey::Wait(key));
            }
            self.end_if_it_holds_up(key);
        }
        Ok((key, if admitted { CallProgress::Admitted } else { CallProgress::Waiting }))
    }

    /// The call of the peer in whose handler a call is made, if the peer still awaits it.
    #[inline]
    pub(super) fn live_parent_of(&self, start: &CallStart) -> Option<CallId> {
        start.origin.as_deref().and_then(|origin| origin.nearest_in(self.id)).filter(|id| self.served.is_live(*id))
    }

    /// Why a call cannot begin, whether there is a permit or not. Calls that have a live parent still go out during a
    /// drain.
    #[inline]
    pub(super) fn refuse_start(&self, now: Instant, start: &CallStart, has_parent: bool) -> Option<Status> {
        let max_depth = self.negotiated.limits.depth;
        if let Some(error) = self.life.ended() {
            // A server cannot make its client come back.
            let cure = match self.role {
                Role::Client => {
                    "; this stub is of that session alone, and a stub of the client (Client::client) goes on in its next \
                     one; connect again for new stubs"
                }
                Role::Server => "",
            };
            return Some(Status::unavailable(format!("the call was not made: {error}{cure}")).not_executed());
        }
        if !has_parent && self.life.makes_no_call(start.origin.is_some()) {
            return Some(self.life.why_no_call());
        }
        if start.depth > max_depth {
            return Some(too_deep(max_depth));
        }
        if let Some(status) = self.refuse_to_wait(start) {
            return Some(status);
        }
        let is_late = start.deadline.is_some_and(|deadline| deadline <= now);
        is_late.then(|| {
            let message = too_late(start.method, start.deadline_origin, start.deadline, "the call was not made");
            Status::deadline_exceeded(message).not_executed()
        })
    }

    /// Begins a call and, if a permit is free, queues it. Otherwise the charges of `call` are released. If the call got
    /// a permit and failed all the same, this gives [`CallProgress::Waiting`], and [`Self::poll_call`] tells the
    /// outcome. A one-way call that is queued at once has no key, because it needs no slot.
    pub fn start_call(
        &mut self,
        now: Instant,
        start: &mut CallStart,
        call: &mut Outgoing,
        waker: &Waker,
    ) -> Result<(Option<CallKey>, CallProgress), Status> {
        if start.oneway && call.streams == 0 && self.try_admit_oneway(now, start) {
            let charges = mem::take(&mut call.charges);
            self.queue_oneway(start.depth, call, charges);
            return Ok((None, CallProgress::Admitted));
        }
        let mut begun = self.begin_call(now, start, waker);
        match &mut begun {
            Ok((key, progress @ CallProgress::Admitted)) => {
                if !self.send_call(*key, call, waker) {
                    *progress = CallProgress::Waiting;
                }
            }
            _ => self.output.release(mem::take(&mut call.charges)),
        }
        begun.map(|(key, progress)| (Some(key), progress))
    }

    /// Takes a permit for a one-way call, if the call can begin and there is one.
    #[inline]
    fn try_admit_oneway(&mut self, now: Instant, start: &CallStart) -> bool {
        let has_parent = self.live_parent_of(start).is_some();
        self.refuse_start(now, start, has_parent).is_none()
            && !self.calls.is_held_back(start.origin.is_some())
            && self.waits_behind(true, has_parent).is_none()
            && self.calls.try_acquire_oneway(start.depth)
    }

    /// Where a call stands. `waker` is woken when that changes.
    pub fn poll_call(&mut self, key: CallKey, waker: &Waker) -> CallProgress {
        if let Some(outcome) = self.take_outcome(key) {
            return CallProgress::Done(outcome);
        }
        let Some(slot) = self.calls.slots.find_mut(key) else {
            return CallProgress::Done(Outcome::Status(Status::internal("the call was polled after its end")));
        };
        keep_waker(&mut slot.waker, waker, &mut self.output.stale_wakers);
        if slot.state == SlotState::Admitted { CallProgress::Admitted } else { CallProgress::Waiting }
    }

    /// Whether a call may be sent; `None` if it has ended.
    #[cfg(test)]
    pub(crate) fn peek_admitted(&self, key: CallKey) -> Option<bool> {
        match self.calls.slots.find(key)?.state {
            SlotState::Admitted => Some(true),
            SlotState::Behind | SlotState::Waiting => Some(false),
            _ => None,
        }
    }

    /// Queues `call` for a call that has been admitted. `waker` is woken when the call has an outcome. A one-way call
    /// is over as soon as it is queued, and its key is invalid. False if the call has ended meanwhile: then its charges
    /// are released, and [`Self::poll_call`] tells the outcome.
    pub fn send_call(&mut self, key: CallKey, call: &mut Outgoing, waker: &Waker) -> bool {
        let charges = mem::take(&mut call.charges);
        let Some(slot) = self.calls.slots.find_mut(key).filter(|slot| slot.state == SlotState::Admitted) else {
            self.output.release(charges);
            return false;
        };
        let (oneway, depth, parent) = (slot.oneway, slot.depth, slot.parent);
        if let Err(status) = self.check_streams(call.streams) {
            self.output.release(charges);
            self.fail(key, status.not_executed());
            return false;
        }
        if oneway {
            self.queue_oneway(depth, call, charges);
            self.output.stale_wakers.extend(self.calls.slots.remove(key));
        } else {
            self.send_request(key, (depth, parent), call, charges, waker);
        }
        true
    }

    /// Queues a one-way call that holds a permit. No answer is awaited.
    #[inline]
    fn queue_oneway(&mut self, depth: u32, call: &mut Outgoing, charges: Charges) {
        let (payload, metadata) = (mem::take(&mut call.payload), mem::take(&mut call.metadata));
        self.calls.count_oneway(depth, counted_arguments(payload.len() as u64, metadata_size(&metadata)));
        if metadata.is_empty() && self.is_inline(&payload) {
            let body = |arguments| OutBody::Notify { method: call.method, depth, arguments };
            return self.queue_plain(payload, charges, OnSent::Nothing, body);
        }
        let (payload, transfer) = self.split_payload(payload, charges.transfers, OnSent::Nothing);
        let frame = Frame::Notify(Notify { method: call.method, depth, metadata, payload, missed: None });
        self.outbox.push(frame, charges.room, OnSent::Nothing, transfer);
    }

    /// Queues a two-way call. The time left until its deadline is filled in when the call goes out.
    #[inline]
    fn send_request(
        &mut self,
        key: CallKey,
        (depth, parent): (u32, Option<CallId>),
        call: &mut Outgoing,
        charges: Charges,
        waker: &Waker,
    ) {
        let on_sent = OnSent::Request(key);
        let (payload, metadata) = (mem::take(&mut call.payload), mem::take(&mut call.metadata));
        let window = self.result_window(self.calls.slots.find(key).and_then(|slot| slot.method));
        if let Some(slot) = self.calls.slots.find_mut(key) {
            slot.state = SlotState::Queued;
            keep_waker(&mut slot.waker, waker, &mut self.output.stale_wakers);
            slot.arguments = charges.arguments;
        }
        if metadata.is_empty() && call.streams == 0 && window == 0 && self.is_inline(&payload) {
            let body = |arguments| OutBody::Request { method: call.method, depth, parent, arguments };
            return self.queue_plain(payload, charges, on_sent, body);
        }
        let (payload, transfer) = self.split_payload(payload, charges.transfers, on_sent);
        let first_window = if call.streams > 0 { self.negotiated.argument_window(call.method) } else { 0 };
        let streams = self.open_streams(call.streams, Some(key), first_window);
        if let Some(slot) = self.calls.slots.find_mut(key) {
            slot.transfer = transfer.as_ref().map(|transfer| transfer.id);
            slot.streams = streams.clone();
        }
        let (id, method, deadline_ms) = (key.id(), call.method, None);
        let frame =
            Frame::Request(Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window });
        self.outbox.push(frame, charges.room, on_sent, transfer);
    }

    /// The caller gives up. If the other side may know of the call, it is told, and the slot is freed when the
    /// completion has come.
    pub fn cancel_call(&mut self, key: CallKey) {
        let Some(slot) = self.calls.slots.find_mut(key) else { return };
        self.output.stale_wakers.extend(slot.waker.take());
        match &slot.state {
            SlotState::Behind | SlotState::Waiting | SlotState::Admitted | SlotState::Queued => {
                self.withdraw(key);
                self.free_slot(key);
            }
            SlotState::Sent => {
                slot.state = SlotState::Abandoned;
                self.give_up(key, false);
            }
            SlotState::Arriving(transfer) => {
                let transfer = *transfer;
                slot.state = SlotState::Abandoned;
                self.stop_arriving(transfer, Purpose::DiscardFor(key));
                self.give_up_streams(key);
            }
            SlotState::Resolved(Outcome::Streaming(..)) => {
                if let Some(Outcome::Streaming(_, streams)) = self.take_outcome(key) {
                    self.leave_streams(&streams);
                }
            }
            SlotState::Resolved(_) if slot.awaiting_completion => slot.state = SlotState::Abandoned,
            SlotState::Resolved(_) => self.free_slot(key),
            SlotState::Abandoned | SlotState::Free => {}
        }
    }

    /// Takes back a call that the other side cannot know of: its permit returns. If its frame is in the outbox, the
    /// frame is skipped when its turn comes.
    pub(super) fn withdraw(&mut self, key: CallKey) {
        let Some(slot) = self.calls.slots.find(key) else { return };
        let (oneway, depth) = (slot.oneway, slot.depth);
        match slot.state {
            SlotState::Behind => self.calls.leave_behind(key),
            SlotState::Waiting => self.calls.leave_queue(oneway, key),
            SlotState::Admitted | SlotState::Queued => self.calls.release(oneway, depth, &mut self.output.wakes),
            _ => {}
        }
        self.forget_argument_streams(key);
        self.release_arguments(key);
    }

    /// Tells the other side that the caller of a sent call waits no longer: its time is over, or it has given up.
    pub(super) fn give_up(&mut self, key: CallKey, expired: bool) {
        self.outbox.push_urgent(Frame::Cancel { id: key.id(), expired }, OnSent::Nothing);
        self.abort_arguments(key);
        self.stop_argument_streams(key);
    }

    /// Leaves the streams of a call whose result was arriving when its caller gave up.
    pub(super) fn give_up_streams(&mut self, key: CallKey) {
        self.stop_argument_streams(key);
        let streams = self.calls.slots.find_mut(key).map(|slot| mem::take(&mut slot.result_streams));
        self.leave_streams(&streams.unwrap_or_default());
    }

    /// Stops sending the arguments of a call.
    pub(super) fn abort_arguments(&mut self, key: CallKey) {
        let Some(transfer) = self.calls.slots.find_mut(key).and_then(|slot| slot.transfer.take()) else { return };
        if let Some(transfer) = self.outbox.remove_transfer(transfer) {
            self.output.released.transfers += transfer.charge as usize;
            self.outbox.push_urgent(Frame::Abort { transfer: transfer.id }, OnSent::Nothing);
        }
    }

    /// Whether a payload goes in its frame.
    #[inline]
    pub(super) fn is_inline(&self, payload: &Rope) -> bool {
        payload.len() <= self.negotiated.chunk
    }

    /// Whether a payload goes in its frame, and the other side takes one of this length.
    #[inline]
    pub(super) fn is_taken_inline(&self, payload: &Rope) -> bool {
        self.is_inline(payload) && payload.len() as u64 <= self.negotiated.limits.payload
    }

    /// Queues a plain frame. Its payload is in the frame, and so needs nothing of the budget of transfers.
    #[inline]
    pub(super) fn queue_plain(
        &mut self,
        payload: Rope,
        charges: Charges,
        on_sent: OnSent,
        body: impl FnOnce(Rope) -> OutBody,
    ) {
        self.output.released.transfers += charges.transfers as usize;
        self.outbox.push_plain(payload, charges.room, on_sent, body);
    }

    /// Puts a short payload into its frame. A long one becomes an announcement, and a transfer of chunks.
    #[inline]
    pub(super) fn split_payload(
        &mut self,
        payload: Rope,
        charge: u32,
        on_sent: OnSent,
    ) -> (Payload, Option<Box<OutTransfer>>) {
        if self.is_inline(&payload) {
            self.output.released.transfers += charge as usize;
            return (payload.into(), None);
        }
        let id = self.outbox.next_transfer_id();
        let total = payload.len() as u64;
        (Payload::announced(id, total), Some(Box::new(OutTransfer { id, rest: payload, charge, on_sent })))
    }

    pub(super) fn release_arguments(&mut self, key: CallKey) {
        if let Some(slot) = self.calls.slots.find_mut(key) {
            self.output.released.arguments += mem::take(&mut slot.arguments) as usize;
        }
    }

    /// Frees a slot.
    pub(super) fn free_slot(&mut self, key: CallKey) {
        if let Some(SlotState::Resolved(outcome)) = self.calls.slots.find(key).map(|slot| &slot.state) {
            self.memory.release_outcome(outcome);
        }
        self.output.stale_wakers.extend(self.calls.slots.remove(key));
    }

    /// The outcome of a call, if it has one.
    fn take_outcome(&mut self, key: CallKey) -> Option<Outcome> {
        let (outcome, waker) = self.calls.slots.take_outcome(key)?;
        self.memory.release_outcome(&outcome);
        self.output.stale_wakers.extend(waker);
        self.count_memory();
        Some(outcome)
    }
}

/// The status of a call that is nested too deep, on either side.
pub(super) fn too_deep(limit: u32) -> Status {
    Status::failed_precondition(format!(
        "calls that call back are nested more than {limit} deep (Config::max_depth of the side that is called); \
         the two sides may be calling each other without end"
    ))
    .not_executed()
}
