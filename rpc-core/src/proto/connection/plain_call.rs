//! Plain calls, which are made in one step: a plain call finds a permit, and its arguments are in its frame.

use std::{mem, task::Waker, time::Instant};

use super::{CallStart, Connection};
use crate::{
    proto::{
        CallKey,
        out_frame::{OnSent, OutBody},
        slots::SlotState,
    },
    wire::Rope,
};

/// What a plain call sends: arguments that count against no budget but the room.
#[derive(Debug)]
pub struct PlainArguments<'a> {
    /// The method's number.
    pub method: u32,
    /// The arguments, encoded, which are taken when the call begins.
    pub bytes: &'a mut Rope,
    /// Bytes of room that the caller holds for the call.
    pub room: u32,
}

/// How a plain call began.
#[derive(Debug)]
pub enum PlainStart {
    /// It is one-way, and done.
    Oneway,
    /// It waits for its outcome.
    TwoWay(CallKey),
    /// It has not begun. [`Connection::begin_call`] says why, or lets it wait.
    Refused,
}

impl Connection {
    /// Begins and queues a call that has no metadata, no streams and no idle timeout, if it finds a permit. `waker` is
    /// woken when the call has its outcome.
    pub fn start_plain(
        &mut self,
        now: Instant,
        start: &mut CallStart,
        arguments: PlainArguments<'_>,
        waker: &Waker,
    ) -> PlainStart {
        let PlainArguments { method, bytes, room } = arguments;
        let parent = self.live_parent_of(start);
        let is_plain = self.is_taken_inline(bytes) && self.result_window(start.method) == 0;
        let is_held_back = self.calls.is_held_back(start.origin.is_some())
            || self.waits_behind(start.oneway, parent.is_some()).is_some();
        if !is_plain || is_held_back || self.refuse_start(now, start, parent.is_some()).is_some() {
            return PlainStart::Refused;
        }
        let depth = start.depth;
        if start.oneway {
            if !self.calls.try_acquire_oneway(depth) {
                return PlainStart::Refused;
            }
            self.calls.count_oneway(depth, 0);
            let body = |arguments| OutBody::Notify { method, depth, arguments };
            self.outbox.push_plain(mem::take(bytes), room, OnSent::Nothing, body);
            return PlainStart::Oneway;
        }
        let Some((key, slot)) = self.calls.insert_admitted(depth) else { return PlainStart::Refused };
        slot.state = SlotState::Queued;
        (slot.method, slot.oneway, slot.depth) = (start.method, false, depth);
        (slot.parent, slot.origin, slot.deadline) = (parent, start.origin.take(), start.deadline);
        (slot.deadline_origin, slot.packet) = (start.deadline_origin, 0);
        slot.waker = Some(waker.clone());
        if let Some(deadline) = start.deadline {
            self.schedule.note_deadline(deadline);
        }
        let body = |arguments| OutBody::Request { method, depth, parent, arguments };
        self.outbox.push_plain(mem::take(bytes), room, OnSent::Request(key), body);
        PlainStart::TwoWay(key)
    }
}
