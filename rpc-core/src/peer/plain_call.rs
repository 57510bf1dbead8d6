//! `PlainCall`: a call without metadata and streams, whose arguments are short, and which finds a permit and room at
//! its first poll. Any other call goes through `sending`, which also says why a call cannot be made.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{
    call::{CallInput, call_start},
    current::{current, is_opening},
    encode::Arguments,
    options::CallOptions,
    queued_call::Policy,
    sending::FRAME,
    shared::SessionShared,
};
use crate::{
    contract::MethodDescriptor,
    overflow::Overflow,
    proto::{
        CallKey, CallProgress, CallStart, DeadlineSetting, Outcome, PlainArguments, PlainStart, counted_arguments,
    },
    status::Status,
    wire::Rope,
};

/// A plain call that has been sent.
pub(super) enum Sent<'a> {
    /// It is one-way, and done.
    Oneway,
    TwoWay(PlainCall<'a>),
}

/// Waits for the outcome of a plain call. Its first poll is in the poll that sent it, whose waker the call has.
/// Dropping it gives the call up.
pub(super) struct PlainCall<'a> {
    shared: &'a Arc<SessionShared>,
    /// `None` when the outcome has been taken.
    key: Option<CallKey>,
    /// The call has the waker of the task that is polling it.
    has_waker: bool,
}

/// Sends a call if it is a plain one; otherwise nothing has happened.
#[inline(always)]
pub(super) fn send<'a, A: Arguments>(
    shared: &'a Arc<SessionShared>,
    options: Option<&CallOptions>,
    method: &'static MethodDescriptor,
    input: &mut CallInput<A>,
    begun: Instant,
    waker: &Waker,
) -> Option<Sent<'a>> {
    let is_plain = shared.interceptors.is_empty()
        && input.streams.is_empty()
        && options.is_none_or(|options| options.metadata_pairs().is_empty())
        && !(method.is_oneway() && Policy::of(options, method, Overflow::Wait).is_queued())
        && shared.has_fast_path()
        && !is_opening(shared.id.number());
    if !is_plain {
        return None;
    }
    let mut arguments = input.arguments.to_rope().ok()?;
    let start = start_of(shared, options, method, begun);
    let sent = send_encoded(shared, start, &mut arguments, (method.id(), begun), waker);
    if sent.is_none() {
        input.encoded = Some(arguments);
    }
    sent
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
    let timeout =
        CallOptions::explicit(options, method).unwrap_or((shared.config.call_timeout(), DeadlineSetting::Config));
    let deadline = CallOptions::deadline(begun, timeout, origin.as_ref());
    call_start(method, origin, deadline, None)
}

/// Sends a call with these arguments, and takes them, or else leaves them.
fn send_encoded<'a>(
    shared: &'a Arc<SessionShared>,
    mut start: CallStart,
    arguments: &mut Rope,
    (method, begun): (u32, Instant),
    waker: &Waker,
) -> Option<Sent<'a>> {
    let len = arguments.len();
    if counted_arguments(len as u64, 0) > 0 {
        return None;
    }
    // Arguments that do not count are short.
    let room = u32::try_from(len + FRAME).unwrap_or(u32::MAX);
    shared.room.try_acquire_many(room).ok()?.forget();
    let arguments = PlainArguments { method, bytes: arguments, room };
    let started = shared.lean(|connection| connection.start_plain(begun, &mut start, arguments, waker));
    match started {
        PlainStart::Oneway => Some(Sent::Oneway),
        PlainStart::TwoWay(key) => Some(Sent::TwoWay(PlainCall { shared, key: Some(key), has_waker: true })),
        PlainStart::Refused => {
            shared.room.add_permits(room as usize);
            None
        }
    }
}

impl<'a> PlainCall<'a> {
    /// The session in which it was sent.
    pub(super) fn shared(&self) -> &'a Arc<SessionShared> {
        self.shared
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
