//! One-way calls with a policy: they are encoded at once, and wait in the queues of their sessions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    call::{Answer, CallInput, CallParams, encode},
    call_limits::{check_arguments, check_call},
    clock::now,
    current::CurrentCall,
    encode::Arguments,
    options::CallOptions,
    overflow_key::OverflowKey,
    shared::SessionShared,
};
use crate::{
    contract::MethodDescriptor,
    overflow::Overflow,
    proto::{CallStart, Enqueued, QueuedCall},
    status::Status,
    wire::{MetadataPairs, Rope, metadata_size},
};

/// Behind this many calls that wait, a sender lets other tasks run first, among which may be those that write.
const PRESSING: usize = 8;
/// So it does after a call of more bytes than this.
const LONG: usize = 16 * 1024;

/// What happens to a one-way call if the other side does not keep up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    overflow: Overflow,
    ttl: Option<Duration>,
}

impl Policy {
    /// The call waits at its caller.
    pub(crate) const WAIT: Self = Self { overflow: Overflow::Wait, ttl: None };

    /// What the caller or the contract says; where neither says anything, `usual` holds.
    #[inline]
    pub(crate) fn of(options: Option<&CallOptions>, method: &MethodDescriptor, usual: Overflow) -> Self {
        let overflow = CallOptions::overflow_of(options, method).unwrap_or(usual);
        Self { overflow, ttl: CallOptions::ttl_of(options, method) }
    }

    /// Whether the call waits in the queue, and not at its caller.
    #[inline]
    pub(crate) fn is_queued(self) -> bool {
        self.overflow != Overflow::Wait
    }
}

/// A one-way call, ready for the queues of any number of sessions.
pub(crate) struct QueuedCalls {
    call: Arc<QueuedCall>,
    start: CallStart,
    begun: Instant,
}

impl QueuedCalls {
    /// A call with these arguments that begins now. The error says that its key does not serialize.
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        policy: Policy,
        (origin, metadata): (Option<CurrentCall>, MetadataPairs),
        (arguments, key): (Rope, Option<OverflowKey>),
    ) -> Result<Self, Status> {
        let key = key.map(OverflowKey::into_bytes).transpose().map_err(|why| {
            Status::invalid_argument(format!("the key of {method} does not serialize: {why}")).not_executed()
        })?;
        let depth = origin.as_ref().map_or(0, |origin| origin.call.depth.saturating_add(1));
        let (key, Policy { overflow, ttl }) = (key.unwrap_or_default(), policy);
        let call = QueuedCall { method, depth, metadata, arguments, overflow, key, ttl };
        let start = CallStart { method: Some(method), oneway: true, depth, ..CallStart::default() };
        let start = CallStart { origin: origin.map(|origin| origin.call), ..start };
        Ok(Self { call: Arc::new(call), start, begun: now() })
    }

    /// Gives the call to the queue of a session.
    pub(crate) fn queue(&self, shared: &SessionShared) -> Result<Enqueued, Status> {
        let Self { call, start, begun } = self;
        check_arguments(shared, call.method, metadata_size(&call.metadata), call.arguments.len())?;
        shared.act(|connection| connection.queue_call(*begun, start, call))
    }

    /// Whether the sender should let other tasks run before it goes on, after this has become of the call.
    pub(crate) fn is_pressing(&self, enqueued: Enqueued) -> bool {
        match enqueued {
            Enqueued::Queued { waiting, .. } => waiting > PRESSING || self.call.arguments.len() > LONG,
            Enqueued::Dropped => true,
        }
    }
}

/// Sends a one-way call with a policy to the other side of one session.
pub(super) async fn send<A: Arguments>(
    shared: &Arc<SessionShared>,
    method: &'static MethodDescriptor,
    params: &mut CallParams,
    input: &mut CallInput<A>,
) -> Result<Answer, Status> {
    check_call(shared, &params.metadata)?;
    let arguments = match input.encoded.take() {
        Some(encoded) => encoded,
        None => encode(method, &mut input.arguments)?,
    };
    let context = (params.origin.take(), std::mem::take(&mut params.metadata));
    let call = QueuedCalls::new(method, params.policy, context, (arguments, input.key.clone()))?;
    if call.is_pressing(call.queue(shared)?) {
        tokio::task::yield_now().await;
    }
    Ok(Answer::nothing())
}
