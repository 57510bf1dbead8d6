//! `PlainCall`: the usual call. It has no metadata and no streams, its arguments are short, and at its first poll it
//! finds a permit and room. Any other call goes through `sending`, which also says why a call cannot be made.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use serde::Serialize;

use super::{
    call::CallInput,
    current::{current, is_opening},
    encode::encode_rope,
    options::CallOptions,
    shared::SessionShared,
};
use crate::{
    contract::MethodDescriptor,
    proto::{CallKey, CallProgress, CallStart, DeadlineOrigin, DeadlineSetting, Outcome, PlainArguments, PlainStart},
    status::Status,
    wire::Rope,
};

/// The most bytes of arguments of a usual call, which count against no budget but the room in the outbox.
const MOST: usize = 4 * 1024;
/// The largest number of bytes that the frame of a usual call takes beside its arguments.
const FRAME: u32 = 64;

/// A usual call that has been sent.
pub(super) enum Sent<'a> {
    /// It is one-way, and done.
    Oneway,
    TwoWay(PlainCall<'a>),
}

/// Waits for the outcome of a usual call. Dropping it gives the call up.
pub(super) struct PlainCall<'a> {
    shared: &'a Arc<SessionShared>,
    /// `None` when the outcome has been taken.
    key: Option<CallKey>,
    /// The call has the waker of the task that is polling it.
    has_waker: bool,
}

/// Sends a call if it is a usual one; otherwise nothing has happened.
#[inline(always)]
pub(super) fn send<'a, A: Serialize>(
    shared: &'a Arc<SessionShared>,
    options: Option<&CallOptions>,
    method: &'static MethodDescriptor,
    input: &mut CallInput<A>,
    begun: Instant,
    waker: &Waker,
) -> Option<Sent<'a>> {
    let is_plain = input.streams.is_empty()
        && options.is_none_or(|options| options.metadata_pairs().is_empty())
        && shared.has_fast_path()
        && !is_opening(shared.id.number());
    if !is_plain {
        return None;
    }
    let arguments = encode_rope(&input.arguments).ok()?;
    let start = start_of(shared, options, method, begun);
    send_encoded(shared, method, start, arguments, waker)
}

/// What the call says when it begins.
#[inline]
fn start_of(
    shared: &SessionShared,
    options: Option<&CallOptions>,
    method: &'static MethodDescriptor,
    begun: Instant,
) -> CallStart {
    let origin = current();
    let (timeout, setting) =
        CallOptions::explicit(options, method).unwrap_or((shared.config.call_timeout(), DeadlineSetting::Config));
    let (deadline, is_inherited) = CallOptions::deadline(begun, timeout, origin.as_ref());
    let setting = if is_inherited { DeadlineSetting::Served } else { setting };
    CallStart {
        method: Some(method),
        oneway: method.is_oneway(),
        depth: origin.as_ref().map_or(0, |origin| origin.call.depth.saturating_add(1)),
        origin: origin.map(|origin| origin.call),
        deadline,
        deadline_origin: Some(DeadlineOrigin { begun, setting }),
        idle_timeout: None,
    }
}

fn send_encoded<'a>(
    shared: &'a Arc<SessionShared>,
    method: &'static MethodDescriptor,
    mut start: CallStart,
    arguments: Rope,
    waker: &Waker,
) -> Option<Sent<'a>> {
    let len = arguments.len();
    if len > MOST.min(shared.chunk()) {
        return None;
    }
    // The length is far below u32::MAX.
    let room = u32::try_from(len).unwrap_or(u32::MAX).saturating_add(FRAME);
    shared.room.try_acquire_many(room).ok()?.forget();
    let begun = start.deadline_origin?.begun;
    let arguments = PlainArguments { method: method.id(), bytes: arguments, room };
    let started = shared.lean(|connection| connection.start_plain(begun, &mut start, arguments, waker));
    match started {
        PlainStart::Oneway => Some(Sent::Oneway),
        PlainStart::TwoWay(key) => Some(Sent::TwoWay(PlainCall { shared, key: Some(key), has_waker: true })),
        PlainStart::Refused(_arguments) => {
            shared.room.add_permits(room as usize);
            None
        }
    }
}

impl Future for PlainCall<'_> {
    type Output = Outcome;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if std::mem::take(&mut self.has_waker) {
            return Poll::Pending;
        }
        let Some(key) = self.key else {
            return Poll::Ready(Outcome::Status(Status::internal("a call was polled after its end")));
        };
        match self.shared.poll_call(key, cx.waker()) {
            CallProgress::Done(outcome) => {
                self.key = None;
                Poll::Ready(outcome)
            }
            CallProgress::Waiting | CallProgress::Admitted => Poll::Pending,
        }
    }
}

impl Drop for PlainCall<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.act(|connection| connection.cancel_call(key));
        }
    }
}
