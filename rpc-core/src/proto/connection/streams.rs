//! Streams: items and credit in both directions, and the ends of streams.

use std::{collections::VecDeque, task::Waker, time::Instant};

use bytes::Bytes;

use super::Connection;
use crate::{
    contract::MethodDescriptor,
    error::{ProtocolError, StreamViolation},
    proto::{
        CallKey, ITEM, Reading, StreamEnd, StreamError, StreamRoom, Taken,
        assembly::Purpose,
        out_frame::OnSent,
        streams::{Credit, LongState, RecvStreams},
    },
    status::Status,
    wire::{ErrorBody, Frame, Payload, Rope, Streams, TransferId},
};

/// A call or a result has at most this many streams. The limit bounds the streams that have ended: they stay until
/// their call is served and their reader has come to the end.
const MAX_CALL_STREAMS: usize = 128;

impl Connection {
    // Streams that are produced here.

    /// The streams among the arguments of a call that has been sent.
    pub fn argument_streams(&self, key: CallKey) -> Streams {
        self.calls.slots.find(key).map(|slot| slot.streams.clone()).unwrap_or_default()
    }

    /// The room that a stream has now. It is reserved for the producer until that calls [`Self::push_items`] or
    /// [`Self::idle_stream`]. `waker` is woken when a stream without room gets some, and when the stream ends. `None`
    /// if it has ended.
    pub fn poll_stream(&mut self, id: TransferId, waker: &Waker) -> Option<StreamRoom> {
        self.send_streams.poll(id, waker, &mut self.output.stale_wakers, &mut self.output.wakes)
    }

    /// The producer of a stream has nothing to queue at the moment. `waker` is woken when the stream ends. False if the
    /// stream has ended.
    pub fn idle_stream(&mut self, id: TransferId, waker: &Waker) -> bool {
        self.send_streams.idle(id, waker, &mut self.output.stale_wakers, &mut self.output.wakes)
    }

    /// Whether the reader wants more of a stream. `waker` is woken when the stream ends.
    pub fn watch_stream(&mut self, id: TransferId, waker: &Waker) -> bool {
        self.send_streams.watch(id, waker, &mut self.output.stale_wakers)
    }

    /// As [`Self::poll_stream`], for one item that is longer than a chunk. False if the item has to wait.
    pub fn poll_long_item(&mut self, id: TransferId, len: usize, waker: &Waker) -> Option<bool> {
        self.send_streams.claim_long(id, len, waker, &mut self.output.stale_wakers, &mut self.output.wakes)
    }

    /// Queues items of a stream, each with the bytes that its producer holds of the budget of transfers. Takes the
    /// items that [`Self::poll_stream`] or [`Self::poll_long_item`] have promised to take, and more while there is
    /// room; the others stay in `items`. False if the stream has ended.
    pub fn push_items(&mut self, now: Instant, id: TransferId, items: &mut VecDeque<(Rope, u32)>) -> bool {
        let Some(turn) = self.send_streams.push(id, items, &mut self.output.wakes) else { return false };
        if turn {
            self.outbox.push_stream(id);
        }
        self.renew_idle_timeout(now, id);
        true
    }

    /// How far the long item that was queued last has got. `waker` is woken when that changes. `None` if the stream has
    /// ended.
    pub fn poll_long(&mut self, id: TransferId, waker: &Waker) -> Option<LongState> {
        self.send_streams.poll_long(id, waker, &mut self.output.stale_wakers)
    }

    /// Ends a stream after the items that have been queued.
    pub fn finish_stream(&mut self, now: Instant, id: TransferId, end: StreamEnd) {
        let limit = self.negotiated.text;
        let most = self.negotiated.stream_fault;
        let end = end.map_err(|error| match error {
            StreamError::Status(status) => StreamError::Status(status.cut_to(limit)),
            StreamError::Fault(bytes) if bytes.len() > most => StreamError::Status(Status::out_of_range(format!(
                "the fault that the stream ended with is {} bytes long, and {most} may be sent (Config::chunk, or Config::max_payload of the other side): say less in it",
                bytes.len()
            ))),
            fault => fault,
        });
        self.renew_idle_timeout(now, id);
        if self.send_streams.finish(id, end, &mut self.output.wakes) {
            self.outbox.push_stream(id);
        }
    }

    /// Gives numbers to streams that go out with a frame. `window` is what their reader has announced for them, or 0.
    /// Their items wait until the frame has gone out.
    #[inline]
    pub(super) fn open_streams(&mut self, count: usize, owner: Option<CallKey>, window: u32) -> Streams {
        if count == 0 { Streams::default() } else { self.open_some(count, owner, window) }
    }

    fn open_some(&mut self, count: usize, owner: Option<CallKey>, window: u32) -> Streams {
        let mut streams = Vec::new();
        for _ in 0..count {
            let id = self.outbox.next_transfer_id();
            self.send_streams.open(id, owner, &self.negotiated.limits, window);
            streams.push(id);
        }
        streams.into()
    }

    /// Whether the other side takes `count` more streams.
    pub(super) fn check_streams(&self, count: usize) -> Result<(), Status> {
        let limit = self.negotiated.streams;
        if count > 0 && self.send_streams.len() + count > limit {
            return Err(Status::resource_exhausted(format!(
                "{limit} streams may be open at a time in one direction of the session (Config::max_streams, the lower one of both sides)"
            )));
        }
        Ok(())
    }

    /// The frame that lists these streams goes out: their items may follow.
    pub(super) fn announce_streams(&mut self, streams: &Streams) {
        for id in streams {
            if self.send_streams.announce(*id) {
                self.outbox.push_stream(*id);
            }
        }
    }

    /// The frame that would have listed a call's streams will not go out.
    pub(super) fn forget_argument_streams(&mut self, key: CallKey) {
        for id in &self.take_argument_streams(key) {
            let (transfers, waker) = self.send_streams.forget(*id);
            self.output.released.transfers += transfers;
            self.output.wakes.extend(waker);
            // Other streams may use the room and the credit that this one held.
            self.send_streams.pass_on(&mut self.output.wakes);
        }
    }

    /// A call has ended well: the streams among its arguments go on without it.
    pub(super) fn disown_argument_streams(&mut self, key: CallKey) {
        for id in &self.take_argument_streams(key) {
            self.send_streams.disown(*id);
        }
    }

    /// A call has failed or was given up: the streams among its arguments end.
    pub(super) fn stop_argument_streams(&mut self, key: CallKey) {
        for id in &self.take_argument_streams(key) {
            self.stop_sending(
                *id,
                Err(StreamError::Status(Status::cancelled("the call that the stream belongs to has ended"))),
            );
        }
    }

    fn take_argument_streams(&mut self, key: CallKey) -> Streams {
        self.calls.slots.find_mut(key).map(|slot| std::mem::take(&mut slot.streams)).unwrap_or_default()
    }

    /// Ends a stream that is produced here, and throws away the items that wait.
    pub(super) fn stop_sending(&mut self, id: TransferId, end: StreamEnd) {
        let Some(stopped) = self.send_streams.get_mut().and_then(|streams| streams.stop(id, end)) else { return };
        self.output.released.transfers += stopped.transfers;
        self.output.wakes.extend(stopped.waker);
        self.send_streams.pass_on(&mut self.output.wakes);
        if stopped.under_way {
            self.outbox.push_urgent(Frame::Abort { transfer: id }, OnSent::Nothing);
        }
        if stopped.turn {
            self.outbox.push_stream(id);
        }
    }

    pub(super) fn handle_credit(&mut self, now: Instant, id: TransferId, credit: Credit) -> Result<(), ProtocolError> {
        let granted = self.send_streams.grant(id, credit, self.outbox.last_transfer_id())?;
        if granted.progress {
            self.renew_idle_timeout(now, id);
        }
        for id in granted.turns {
            self.outbox.push_stream(id);
        }
        self.output.wakes.extend(granted.waker);
        self.send_streams.pass_on(&mut self.output.wakes);
        Ok(())
    }

    // Streams that are read here.

    /// Moves the items that have come to the reader of a stream. `read` is what the reader has read since its last
    /// report. `waker` is woken when there is more. After [`Taken::End`] the stream is gone.
    pub fn take_items(&mut self, id: TransferId, read: Reading, into: &mut VecDeque<Bytes>, waker: &Waker) -> Taken {
        self.recv_streams.take(id, read, into, self.sequence.acked(), waker, &mut self.output.stale_wakers)
    }

    /// Whether there is credit to send for items that were read.
    pub fn has_credit(&self) -> bool {
        self.life.is_open() && self.owes_credit()
    }

    /// A reader has read this much since its last report.
    pub fn count_read(&mut self, id: TransferId, read: Reading) {
        self.recv_streams.count_read(id, read);
    }

    /// Sets how many bytes of a stream may be under way or wait to be read.
    pub fn set_stream_window(&mut self, id: TransferId, bytes: usize) {
        self.recv_streams.set_window(id, i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The reader leaves a stream. The producer is told.
    pub fn leave_stream(&mut self, id: TransferId) {
        let tell = self.recv_streams.leave(id, &mut self.output.stale_wakers);
        if self.recv_streams.is_arriving(id) {
            self.assembly.discard(id, Purpose::DiscardItem(id));
        }
        if tell && self.life.is_open() {
            self.outbox.push_urgent(Frame::Stop { transfer: id }, OnSent::Nothing);
        }
    }

    pub(super) fn leave_streams(&mut self, streams: &Streams) {
        for id in streams {
            self.leave_stream(*id);
        }
    }

    /// Whether a producer is to get credit.
    #[inline]
    pub(super) fn owes_credit(&self) -> bool {
        self.recv_streams.get().is_some_and(RecvStreams::has_credit)
    }

    /// Opens streams that the other side produces, with this window in bytes if it is not 0.
    #[inline]
    pub(super) fn accept_streams(&mut self, streams: &Streams, window: u32) -> Result<(), ProtocolError> {
        if streams.is_empty() { Ok(()) } else { self.accept_some_streams(streams, window) }
    }

    fn accept_some_streams(&mut self, streams: &Streams, window: u32) -> Result<(), ProtocolError> {
        if streams.len() > MAX_CALL_STREAMS {
            return Err(StreamViolation::TooManyInFrame { count: streams.len(), max: MAX_CALL_STREAMS }.into());
        }
        for id in streams {
            self.assembly.number(*id)?;
            self.recv_streams.open(*id, window)?;
        }
        Ok(())
    }

    /// The window that a call's Request asks for the streams of its result; 0 if the contract sets none, or one that
    /// the handshake gives to every stream anyway.
    #[inline]
    pub(super) fn result_window(&self, method: Option<&MethodDescriptor>) -> u32 {
        let window = method.map_or(0, MethodDescriptor::announced_window);
        if window > 0 && RecvStreams::is_lowered_by(&self.config, window) { window } else { 0 }
    }

    /// The shell is about to hear of the call or the result that these streams came with.
    pub(super) fn hand_over_streams(&mut self, streams: &Streams) {
        for id in streams {
            self.recv_streams.hand_over(*id);
        }
    }

    /// Ends a stream that is read here with a status of this side; false if it had ended before.
    fn fail_stream(&mut self, id: TransferId, status: Status) -> bool {
        let failed = self.recv_streams.fail(id, status, &mut self.output.wakes);
        if failed && self.recv_streams.is_arriving(id) {
            self.assembly.discard(id, Purpose::DiscardItem(id));
        }
        failed
    }

    /// A call that is served here has failed, and the streams among its arguments fail with it. The other side ends
    /// them when it hears of the failure.
    pub(super) fn fail_streams(&mut self, streams: &Streams) {
        for id in streams {
            self.fail_stream(*id, Status::cancelled("the call that the stream belongs to has ended"));
        }
    }

    pub(super) fn handle_item(&mut self, now: Instant, id: TransferId, payload: Payload) -> Result<(), ProtocolError> {
        let len = payload.len();
        let value = payload.into_value();
        let mut wanted = self.recv_streams.begin_item(id, len, value.is_err())?;
        // `begin_item` has counted the item's bytes already.
        if let (true, Some(status)) = (wanted, self.refuse_payload("an item of the stream", len, 0)) {
            if value.is_ok() {
                self.recv_streams.drop_short(id, len);
            }
            self.fail_stream(id, status);
            self.outbox.push_urgent(Frame::Stop { transfer: id }, OnSent::Nothing);
            wanted = false;
        }
        match value {
            Ok(bytes) if wanted => {
                // An item may wait for long, and should not keep much more memory than it counts.
                let copy = self.keeps_more_than(bytes.len() + ITEM);
                self.recv_streams.end_item(id, bytes, copy, &mut self.output.wakes);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err((transfer, _)) if transfer != id => {
                Err(StreamViolation::ItemByOtherNumber { stream: id, transfer }.into())
            }
            Err((_, total)) => {
                let purpose = if wanted { Purpose::Item(id) } else { Purpose::DiscardItem(id) };
                self.begin_assembly(now, (id, total), purpose)
            }
        }
    }

    pub(super) fn handle_end(&mut self, id: TransferId, error: Option<ErrorBody>) -> Result<(), ProtocolError> {
        let end = match error {
            None => Ok(()),
            Some(ErrorBody::Status(status)) => Err(StreamError::Status(status)),
            Some(ErrorBody::Fault(payload)) => {
                let fault = payload.into_value().map_err(|_| StreamViolation::FaultInChunks { stream: id })?;
                Err(StreamError::Fault(self.detach(fault)))
            }
        };
        let end = end.map_err(|error| {
            // The decoder has cut a status to its own limit.
            let payload = if let StreamError::Fault(fault) = &error { fault.len() as u64 } else { 0 };
            let refusal = self.refuse_payload("the error at the end of the stream", payload, error.size());
            refusal.map_or(error, StreamError::Status)
        });
        self.recv_streams.finish(id, end, &mut self.output.wakes)
    }

    // Streams in both directions.

    /// Stops all streams, because the grace of this side's drain is over.
    pub(super) fn stop_streams(&mut self) {
        let stopped = |who: &str| Status::unavailable(format!("the stream was stopped because {who} is shutting down"));
        for id in self.send_streams.ids() {
            self.stop_sending(id, Err(StreamError::Status(stopped("the other side"))));
        }
        for id in self.recv_streams.live() {
            if self.fail_stream(id, stopped("this side")) {
                self.outbox.push_urgent(Frame::Stop { transfer: id }, OnSent::Nothing);
            }
        }
    }

    /// Ends all streams, because the session is over.
    pub(super) fn end_streams(&mut self, status: &Status) {
        if let Some(streams) = self.send_streams.get_mut() {
            streams.clear(&mut self.output.wakes);
        }
        if let Some(streams) = self.recv_streams.get_mut() {
            streams.end(status, &mut self.output.wakes);
        }
    }
}
