//! One attempt at a call, at its caller: encode the arguments, send them, wait for the answer. The waits for slot,
//! permit and room are in `sending`, and the budgets in `budget`.

use std::{mem, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    current::CurrentCall,
    encode::Arguments,
    overflow_key::OverflowKey,
    queued_call::{self, Policy},
    sending::Sending,
    shared::SessionShared,
    streams::{self, StreamReaders, StreamWatch, StreamWriters},
};
use crate::{
    contract::MethodDescriptor,
    proto::{CallStart, DeadlineOrigin, IdleTimeout, Outcome},
    status::Status,
    wire::{MetadataPairs, Rope, WireError},
};

/// The parameters of a call that are settled before it begins.
pub(super) struct CallParams {
    pub(super) begun: Instant,
    pub(super) origin: Option<CurrentCall>,
    pub(super) metadata: MetadataPairs,
    pub(super) deadline: Option<Instant>,
    pub(super) deadline_origin: DeadlineOrigin,
    pub(super) idle_timeout: Option<IdleTimeout>,
    /// Whether the call fails if there is no session for it now.
    pub(super) fail_fast: bool,
    /// For a one-way call: what happens to it if the other side does not keep up.
    pub(super) policy: Policy,
}

/// What a call says when it begins that is made in the handler of `origin`.
#[inline(always)]
pub(super) fn call_start(
    method: &'static MethodDescriptor,
    origin: Option<CurrentCall>,
    (deadline, deadline_origin): (Option<Instant>, DeadlineOrigin),
    idle_timeout: Option<IdleTimeout>,
) -> CallStart {
    CallStart {
        method: Some(method),
        oneway: method.is_oneway(),
        depth: origin.as_ref().map_or(0, |origin| origin.call.depth.saturating_add(1)),
        origin: origin.map(|origin| origin.call),
        deadline,
        deadline_origin: Some(deadline_origin),
        idle_timeout,
    }
}

/// A completed call.
pub(crate) enum Answer {
    Value(Bytes, StreamReaders),
    Fault(Bytes),
}

impl Answer {
    /// What a one-way call gives.
    pub(super) fn nothing() -> Self {
        Self::Value(Bytes::new(), StreamReaders::default())
    }

    /// With what watches the stream of the result.
    pub(super) fn watched(mut self, watch: StreamWatch) -> Self {
        match &mut self {
            Self::Value(_, streams) => streams.watch(watch),
            Self::Fault(_) => watch.forget(),
        }
        self
    }
}

/// The input of a call: its arguments, and the streams among them.
pub(crate) struct CallInput<A> {
    pub(crate) arguments: A,
    pub(crate) streams: StreamWriters,
    /// What tells calls apart that replace each other.
    pub(crate) key: Option<OverflowKey>,
    /// The encoded arguments, if the call was tried as a plain one a moment ago.
    pub(crate) encoded: Option<Rope>,
}

impl<A> CallInput<A> {
    pub(crate) fn new(arguments: A, streams: StreamWriters) -> Self {
        Self { arguments, streams, key: None, encoded: None }
    }
}

/// Makes a call once, in this session. The streams are taken out of `input` when they begin to be produced. `input` is
/// lent exclusively because the arguments need not be `Sync`.
pub(super) async fn attempt<A: Arguments>(
    shared: &Arc<SessionShared>,
    method: &'static MethodDescriptor,
    params: &mut CallParams,
    input: &mut CallInput<A>,
) -> Result<Answer, Status> {
    if params.policy.is_queued() && shared.limits().is_some() {
        return queued_call::send(shared, method, params, input).await;
    }
    let CallInput { arguments, streams: writers, encoded, .. } = input;
    let mut sending = Sending::new(shared, method, params, writers.len())?;
    let sent = sending.send(encoded.take(), || encode(method, arguments)).await?;
    if sent && method.is_oneway() {
        sending.forget();
        return Ok(Answer::nothing());
    }
    if sent && !writers.is_empty() {
        streams::start(shared, &sending.argument_streams(), mem::take(writers));
    }
    answer_of(shared, sending.outcome(sent).await)
}

/// What the caller gets of an outcome.
#[inline]
pub(super) fn answer_of(shared: &Arc<SessionShared>, outcome: Outcome) -> Result<Answer, Status> {
    match outcome {
        Outcome::Value(bytes) => Ok(Answer::Value(bytes, StreamReaders::default())),
        Outcome::Streaming(bytes, streams) => Ok(Answer::Value(bytes, StreamReaders::new(shared, &streams))),
        Outcome::Fault(bytes) => Ok(Answer::Fault(bytes)),
        Outcome::Status(status) => Err(status),
    }
}

/// Encodes the arguments of a call.
#[inline]
pub(super) fn encode<A: Arguments>(method: &MethodDescriptor, arguments: &mut A) -> Result<Rope, Status> {
    arguments.to_rope().map_err(|why| unencodable(method, &why))
}

/// The status for a received result or fault that does not fit the contract.
pub(crate) fn mismatch(method: &MethodDescriptor, what: &str, error: &WireError) -> Status {
    unfit(&format!("{what} of {method}"), error)
}

/// The status for received data that does not fit the contract, or exceeds this side's limits.
pub(super) fn unfit(what: &str, error: &WireError) -> Status {
    match error.limit() {
        Some(_) => beyond_limit(what, "this side", error),
        None => Status::internal(format!("{what} does not fit this side's contract: {error}")),
    }
}

/// The status for a payload that is short enough, but holds more than `side` accepts. The message names `side`.
pub(crate) fn beyond_limit(what: &str, side: &str, error: &WireError) -> Status {
    let (name, cure) = error.limit().map_or(("Config", ""), |limit| (limit.name(), limit.cure()));
    Status::out_of_range(format!("{what}: {error}, beyond {name} of {side}: {cure}, or raise it there"))
}

pub(crate) fn unencodable(method: &MethodDescriptor, why: &str) -> Status {
    let (contract, name) = (method.contract(), method.name());
    Status::invalid_argument(format!("the arguments of {contract}.{name} do not serialize: {why}")).not_executed()
}
