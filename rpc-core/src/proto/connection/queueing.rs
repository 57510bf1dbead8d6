//! One-way calls with a policy: into the queue, and out of it into the outbox, as far as the other side keeps up.

use std::{sync::Arc, time::Instant};

use super::{CallStart, Charges, Connection, ConnectionError, closing::Flush, counted_arguments};
use crate::{
    error::{MemoryLimit, Overload, TimeLimit, Timeout},
    proto::{
        QueuedCall,
        out_frame::OnSent,
        queue::{Enqueued, Leaving, Overflowing, QueueNeed},
    },
    status::Status,
    wire::{Frame, Notify, metadata_size},
};

/// The queue gives calls to the outbox while fewer bytes than this wait there …
const FEED_BYTES: usize = 64 * 1024;
/// … and fewer frames. What waits in the outbox is no longer under a policy.
const FEED_FRAMES: usize = 64;

impl Connection {
    /// Gives a one-way call to the queue, which does with it what the call's policy says.
    ///
    /// # Errors
    ///
    /// If the call cannot be made, or has ended the session, because the queue has too many bytes.
    pub fn queue_call(&mut self, now: Instant, start: &CallStart, call: &Arc<QueuedCall>) -> Result<Enqueued, Status> {
        let has_parent = self.live_parent_of(start).is_some();
        if let Some(status) = self.refuse_start(now, start, has_parent) {
            return Err(status);
        }
        let enqueued = match self.queue.push(now, call, &self.config) {
            Ok(enqueued) => enqueued,
            Err(Overflowing { held }) => return Err(self.overflow(held)),
        };
        self.settle_charges();
        // What was dropped may have been all that others wait behind.
        self.pass_queue();
        self.count_memory();
        self.watch_tables(now);
        Ok(enqueued)
    }

    /// The other side does not keep up, and a policy says that the session ends.
    #[cold]
    fn overflow(&mut self, held: usize) -> Status {
        let overload = Overload::new(MemoryLimit::Queue, self.config.max_queued_bytes(), held);
        self.overload(overload);
        let why = ConnectionError::Overloaded(overload);
        Status::unavailable(format!("the call was not made: {why}")).not_executed()
    }

    /// What a call waits for before it gets a permit, if there is something: for a link, or until the calls of the
    /// queue have gone up to the one with the returned number. Two-way calls that belong to a call of the other side
    /// pass the queue.
    #[inline]
    pub(super) fn waits_behind(&self, oneway: bool, has_parent: bool) -> Option<u64> {
        let waits = !self.queue.is_empty() && (oneway || !has_parent);
        waits.then(|| self.queue.last())
    }

    /// Lets calls of the queue go into the outbox.
    #[inline]
    pub(super) fn feed(&mut self, now: Instant) {
        if !self.queue.is_empty() {
            self.feed_outbox(now);
        }
    }

    fn feed_outbox(&mut self, now: Instant) {
        self.queue.drop_late(now);
        while self.outbox.bytes() < FEED_BYTES && self.outbox.waiting() < FEED_FRAMES && self.feed_one() {
            self.queue.drop_late(now);
        }
        self.settle_charges();
        self.pass_queue();
    }

    /// The calls behind the queue wait for a permit from now on, as far as the queue has come.
    fn pass_queue(&mut self) {
        self.calls.pass(self.queue.gone(), &mut self.output.wakes);
    }

    /// Lets the next call go; false if it may not.
    fn feed_one(&mut self) -> bool {
        let Some(call) = self.queue.front() else { return false };
        let (depth, need) = (call.depth, self.need_of(call));
        let is_short = need.is_some_and(|need| !self.queue.has_charges(need));
        if is_short || !self.calls.try_acquire_oneway(depth) {
            return false;
        }
        let transfers = self.queue.take_charges().map_or(0, |charges| charges.transfers);
        let Some(Leaving { call, missed }) = self.queue.pop() else { return false };
        self.calls.count_oneway(depth, counted(&call));
        let on_sent = OnSent::Queued(call.sent_len());
        if call.metadata.is_empty() && self.is_inline(&call.arguments) {
            self.output.released.transfers += transfers as usize;
            self.outbox.push_queued(call, missed, on_sent);
        } else {
            let (payload, transfer) = self.split_payload(call.arguments.clone(), transfers, on_sent);
            let (method, metadata) = (call.method.id(), call.metadata.clone());
            let frame = Frame::Notify(Notify { method, depth, metadata, payload, missed });
            self.outbox.push(frame, 0, on_sent, transfer);
        }
        true
    }

    /// Whether a call of the queue may go now.
    #[inline]
    pub(super) fn may_feed(&self) -> bool {
        !self.queue.is_empty() && self.may_front_go()
    }

    fn may_front_go(&self) -> bool {
        let Some(call) = self.queue.front() else { return false };
        self.life.is_open()
            && !self.resumption.is_detached()
            && self.calls.has_oneway_permit(call.depth)
            && self.need_of(call).is_none_or(|need| self.queue.has_charges(need))
    }

    /// What the first call of the queue needs of the budgets, if it is large.
    fn need_of(&self, call: &QueuedCall) -> Option<QueueNeed> {
        let (len, arguments) = (call.arguments.len(), counted(call));
        let is_large = len > self.negotiated.chunk || arguments > 0;
        let arguments = u32::try_from(arguments).unwrap_or(u32::MAX);
        is_large.then(|| QueueNeed { number: self.queue.gone() + 1, len, arguments })
    }

    /// What the next call of the queue needs, if that is all it lacks. Reserve it, and give it to
    /// [`Self::charge_queue`].
    pub fn queue_need(&self) -> Option<QueueNeed> {
        let need = self.need_of(self.queue.front()?)?;
        let is_missing = !self.queue.has_charges(need) && self.life.is_open() && !self.resumption.is_detached();
        is_missing.then_some(need)
    }

    /// The parts of the budgets that the call of this need needs. They return if that call is not the next any more.
    pub fn charge_queue(&mut self, need: QueueNeed, charges: Charges) {
        if self.queue_need() == Some(need) {
            // Room is for senders that do not wait in the queue.
            self.output.released.room += charges.room as usize;
            self.queue.charge(need, Charges { room: 0, ..charges });
        } else {
            self.output.release(charges);
        }
    }

    /// Gives back what is reserved for a call that is not the next any more.
    fn settle_charges(&mut self) {
        let need = self.queue.front().and_then(|call| self.need_of(call));
        if need.is_none_or(|need| !self.queue.has_charges(need)) {
            if let Some(charges) = self.queue.take_charges() {
                self.output.release(charges);
            }
        }
    }

    /// The other side does not keep up, if a call waits in the queue that must not wait that long.
    pub(super) fn judge_queue(&mut self, now: Instant) {
        let timeout = self.config.queue_timeout();
        if !self.resumption.is_detached() && self.queue.is_overdue(now, timeout) {
            let timeout = Timeout::new(TimeLimit::Queue, timeout);
            self.end(ConnectionError::TimedOut(timeout), Flush::Nothing);
        }
    }

    /// When [`Self::judge_queue`] has something to judge.
    #[inline]
    pub(super) fn queue_due(&self) -> Option<Instant> {
        if self.queue.is_empty() || self.resumption.is_detached() {
            return None;
        }
        self.queue.due(self.config.queue_timeout())
    }

    /// The session ends in order, and the calls that wait still go, as far as there are permits for them. Large calls
    /// do not, for which nothing is reserved. Gives the number of calls that do not go.
    pub(super) fn flush_queue(&mut self) -> usize {
        self.queue.open_window();
        let mut lost = 0;
        while let Some(call) = self.queue.front() {
            let is_short = self.need_of(call).is_some_and(|need| !self.queue.has_charges(need));
            if is_short {
                self.queue.skip();
                lost += 1;
            } else if !self.feed_one() {
                break;
            }
        }
        lost
    }

    /// Drops the calls that wait. Gives their number.
    pub(super) fn clear_queue(&mut self) -> usize {
        if let Some(charges) = self.queue.take_charges() {
            self.output.release(charges);
        }
        self.queue.clear()
    }
}

fn counted(call: &QueuedCall) -> u64 {
    counted_arguments(call.arguments.len() as u64, metadata_size(&call.metadata))
}
