//! Sends plain calls. A plain call has no metadata and no streams, its arguments are short, and it finds a permit and
//! room at its first poll. Any other call goes through `sending`, which also says why a call cannot be made.

use std::{task::Waker, time::Instant};

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
    proto::{CallKey, CallStart, DeadlineSetting, PlainArguments, PlainStart, counted_arguments},
    wire::Rope,
};

/// A plain call that has been sent.
pub(super) enum Sent {
    /// It is one-way, and done.
    Oneway,
    /// Its outcome is awaited. The call has the waker of the task that sent it.
    TwoWay(CallKey),
}

/// Sends a call if it is a plain one; otherwise nothing has happened.
#[inline(always)]
pub(super) fn send<A: Arguments>(
    shared: &SessionShared,
    options: Option<&CallOptions>,
    method: &'static MethodDescriptor,
    input: &mut CallInput<A>,
    begun: Instant,
    waker: &Waker,
) -> Option<Sent> {
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
fn send_encoded(
    shared: &SessionShared,
    mut start: CallStart,
    arguments: &mut Rope,
    (method, begun): (u32, Instant),
    waker: &Waker,
) -> Option<Sent> {
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
        PlainStart::TwoWay(key) => Some(Sent::TwoWay(key)),
        PlainStart::Refused => {
            shared.room.add_permits(room as usize);
            None
        }
    }
}
