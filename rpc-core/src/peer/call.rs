//! The life of one attempt at a call, at its caller: register, wait for a permit and room, encode, send, wait, and give
//! up when dropped.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;

use super::{
    budget::{Need, Reservation},
    current::{CurrentCall, is_opening},
    encode::encode_rope,
    shared::SessionShared,
    streams::{self, StreamReaders, StreamWriters},
};
use crate::{
    config::PACKET_OVERHEAD,
    contract::MethodDescriptor,
    proto::{CallKey, CallProgress, CallStart, Charges, Outcome, Outgoing, counted_arguments},
    status::Status,
    wire::{MetadataPairs, Rope, WireError, metadata_size},
};

/// What a Request or Notify takes beside metadata and payload, at most.
const FRAME: usize = 64;

/// What is settled about a call before it begins.
pub(super) struct CallParams {
    pub(super) begun: Instant,
    pub(super) origin: Option<CurrentCall>,
    pub(super) metadata: MetadataPairs,
    pub(super) deadline: Option<Instant>,
    pub(super) idle_timeout: Option<Duration>,
}

/// A completed call.
pub(crate) enum Answer {
    Value(Bytes, StreamReaders),
    Fault(Bytes),
}

/// What a call sends: its arguments, and the streams among them.
pub(crate) struct CallInput<A> {
    pub(crate) arguments: A,
    pub(crate) streams: StreamWriters,
}

/// Makes a call once. The streams among what is sent are taken out when they begin to go. What is sent is lent
/// exclusively because it need not be `Sync`.
pub(super) async fn attempt<A: Serialize + Send>(
    shared: &Arc<SessionShared>,
    method: &'static MethodDescriptor,
    params: &mut CallParams,
    input: &mut CallInput<A>,
) -> Result<Answer, Status> {
    let CallInput { arguments, streams: writers } = input;
    let streams = writers.len();
    let metadata_len = check(shared, params)?;
    let oneway = method.is_oneway();
    let origin = params.origin.take();
    let depth = origin.as_ref().map_or(0, |origin| origin.call.depth.saturating_add(1));
    // Made where they stay: what has just been written is slow to move.
    let mut call = Call {
        shared,
        method,
        begun: params.begun,
        nested: origin.is_some() && !oneway,
        start: CallStart {
            method: Some(method),
            oneway,
            depth,
            origin: origin.map(|origin| origin.call),
            deadline: params.deadline,
            idle_timeout: params.idle_timeout,
        },
        metadata_len,
        outgoing: Outgoing {
            method: method.id(),
            metadata: mem::take(&mut params.metadata),
            payload: Rope::default(),
            streams,
            charges: Charges::default(),
        },
        reservation: Reservation::new(&**shared),
        key: None,
    };
    let mut standing = call.start(arguments).await?;
    let outcome = loop {
        standing = match standing {
            CallState::Waiting => call.admission().await?,
            CallState::Admitted => {
                call.encode(arguments)?;
                call.offer().await?
            }
            CallState::Short(need) => call.wait_for(need).await?,
            CallState::Sent if method.is_oneway() => {
                call.key = None;
                return Ok(Answer::Value(Bytes::new(), StreamReaders::default()));
            }
            // Sending has left the waker there.
            CallState::Sent => {
                if let (Some(key), false) = (call.key, writers.is_empty()) {
                    let streams = shared.look(|connection| connection.argument_streams(key));
                    streams::start(shared, &streams, mem::take(writers));
                }
                break call.outcome(true).await;
            }
            CallState::Ended => break call.outcome(false).await,
        };
    };
    match outcome {
        Outcome::Value(bytes) => Ok(Answer::Value(bytes, StreamReaders::default())),
        Outcome::Streaming(bytes, streams) => Ok(Answer::Value(bytes, StreamReaders::new(shared, &streams))),
        Outcome::Fault(bytes) => Ok(Answer::Fault(bytes)),
        Outcome::Status(status) => Err(status),
    }
}

/// Whether a call can begin at all. Gives the length of its metadata.
fn check(shared: &SessionShared, params: &CallParams) -> Result<usize, Status> {
    let (len, limit) = (metadata_size(&params.metadata), shared.config.max_metadata);
    if len > limit {
        let message = format!("the metadata of the call take {len} bytes; {limit} may be sent (Config::max_metadata)");
        return Err(Status::invalid_argument(message).not_executed());
    }
    if is_opening(shared.id.number()) && !shared.look(|connection| connection.is_open()) {
        let message = "the session is not open before its `opened` hooks have returned, and this one waits for a call: spawn the call";
        return Err(Status::failed_precondition(message).not_executed());
    }
    Ok(len)
}

/// A result or a fault that came does not fit the contract.
pub(crate) fn mismatch(method: &MethodDescriptor, what: &str, error: &WireError) -> Status {
    unfit(&format!("{what} of {method}"), error)
}

/// What came does not fit the contract, or is more than this side takes.
pub(super) fn unfit(what: &str, error: &WireError) -> Status {
    match error.limit() {
        Some(_) => beyond_limit(what, "this side", error),
        None => Status::internal(format!("{what} does not fit this side's contract: {error}")),
    }
}

/// A payload that is short enough holds more than `side`, which the message is to name, takes.
pub(crate) fn beyond_limit(what: &str, side: &str, error: &WireError) -> Status {
    let (name, cure) = error.limit().map_or(("Config", ""), |limit| (limit.name(), limit.cure()));
    Status::out_of_range(format!("{what}: {error}, beyond {name} of {side}: {cure}, or raise it there"))
}

fn unencodable(method: &MethodDescriptor, why: &str) -> Status {
    let (contract, name) = (method.contract(), method.name());
    Status::invalid_argument(format!("the arguments of {contract}.{name} do not serialize: {why}")).not_executed()
}

/// What a call that has not come to its end is waiting for.
enum CallState {
    /// A permit.
    Waiting,
    /// Nothing: it may be sent.
    Admitted,
    /// Room, or another budget.
    Short(Need),
    /// Its completion; a one-way call is done.
    Sent,
    /// Its outcome is there already.
    Ended,
}

/// A call on its way. Dropping it gives the call up.
struct Call<'a> {
    shared: &'a SessionShared,
    method: &'static MethodDescriptor,
    begun: Instant,
    nested: bool,
    start: CallStart,
    metadata_len: usize,
    /// What is to be sent.
    outgoing: Outgoing,
    reservation: Reservation<&'a SessionShared>,
    /// Its slot, while that is ours.
    key: Option<CallKey>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.act(|connection| connection.cancel_call(key));
        }
    }
}

impl Call<'_> {
    /// Takes a slot. Where others have found permits and room, the call is sent with that; else it is encoded when it
    /// has its permit.
    async fn start<A: Serialize>(&mut self, arguments: &mut A) -> Result<CallState, Status> {
        let mut tried = false;
        if self.shared.has_fast_path() {
            self.encode(arguments)?;
            let (len, frame, arguments) = self.sizes();
            tried = self.reservation.reserve_whole(len, frame, arguments);
            if tried {
                self.outgoing.charges = self.reservation.take(len, frame, arguments);
            }
        }
        poll_fn(|cx| {
            let Self { shared, begun, start, outgoing, .. } = self;
            let (key, progress) = if tried {
                shared.act(|connection| connection.start_call(*begun, start, outgoing, cx.waker()))?
            } else {
                shared.with(|locked| locked.connection.begin_call(*begun, start, cx.waker()))?
            };
            self.key = Some(key);
            let admitted = progress == CallProgress::Admitted;
            if !admitted {
                // A call that waits holds no encoded bytes: they would be memory without a bound.
                outgoing.payload = Rope::default();
            }
            self.shared.set_fast_path(admitted);
            Poll::Ready(Ok(match (tried, admitted) {
                (true, true) => CallState::Sent,
                (false, true) => CallState::Admitted,
                (_, false) => CallState::Waiting,
            }))
        })
        .await
    }

    /// The length of the encoded arguments, what their frame takes beside them, and what counts against the other
    /// side's limit of arguments.
    fn sizes(&self) -> (usize, usize, u32) {
        let len = self.outgoing.payload.len();
        let counted = counted_arguments(len as u64, self.metadata_len);
        (len, FRAME + self.metadata_len, u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// Encodes the arguments, and says what is wrong with them.
    fn encode<A: Serialize>(&mut self, arguments: &mut A) -> Result<(), Status> {
        self.outgoing.payload = encode_rope(&*arguments).map_err(|why| unencodable(self.method, &why))?;
        self.check_limits(self.outgoing.payload.len())
    }

    /// Waits for a permit.
    async fn admission(&mut self) -> Result<CallState, Status> {
        // The driver did not see the new deadline.
        self.shared.wake_driver();
        poll_fn(|cx| match progress(self.shared, &mut self.key, cx.waker()) {
            CallProgress::Waiting => Poll::Pending,
            CallProgress::Admitted => Poll::Ready(Ok(CallState::Admitted)),
            CallProgress::Done(outcome) => Poll::Ready(Err(unsent(outcome))),
        })
        .await
    }

    /// Sends an admitted call, which has been encoded, if it fits the budgets now.
    async fn offer(&mut self) -> Result<CallState, Status> {
        let (len, frame, arguments) = self.sizes();
        if let Err(need) = self.reservation.reserve(len, frame, arguments) {
            self.outgoing.payload = Rope::default();
            return Ok(CallState::Short(need));
        }
        self.outgoing.charges = self.reservation.take(len, frame, arguments);
        poll_fn(|cx| {
            let Self { shared, outgoing, .. } = self;
            let sent =
                self.key.is_some_and(|key| shared.act(|connection| connection.send_call(key, outgoing, cx.waker())));
            Poll::Ready(Ok(if sent { CallState::Sent } else { CallState::Ended }))
        })
        .await
    }

    /// Says what is wrong with the metadata, or with arguments of this length.
    fn check_limits(&self, len: usize) -> Result<(), Status> {
        let Some(limits) = self.shared.limits() else { return Ok(()) };
        let chunk = limits.chunk.min(self.shared.config.chunk as u64);
        // Metadata share a packet with a chunk's worth of arguments.
        let spare = limits.packet.saturating_sub(chunk + PACKET_OVERHEAD as u64 / 2);
        if self.metadata_len as u64 > spare {
            let message = format!(
                "the metadata of the call take {} bytes; the other side takes {spare} (Config::max_packet there)",
                self.metadata_len
            );
            return Err(Status::invalid_argument(message).not_executed());
        }
        let counted = counted_arguments(len as u64, self.metadata_len);
        let arguments = limits.arguments.saturating_sub(self.metadata_len as u64);
        let (limit, name_of_limit) = if counted > 0 && arguments < limits.payload {
            (arguments, "max_arguments")
        } else {
            (limits.payload, "max_payload")
        };
        if len as u64 > limit {
            let (contract, name) = (self.method.contract(), self.method.name());
            let message = format!(
                "the arguments of {contract}.{name} are {len} bytes long, and the other side takes {limit} at most: send less at once, or raise Config::{name_of_limit} there"
            );
            return Err(Status::out_of_range(message).not_executed());
        }
        Ok(())
    }

    /// Waits for what was missing, or until the call has ended.
    async fn wait_for(&mut self, need: Need) -> Result<CallState, Status> {
        if self.nested && matches!(need, Need::Arguments(_)) {
            let message =
                "the other side holds too many argument bytes of unfinished calls to take more from within a handler";
            return Err(Status::resource_exhausted(message).not_executed());
        }
        let (shared, key) = (self.shared, &mut self.key);
        // The driver did not see the new deadline.
        shared.wake_driver();
        let mut waiting = pin!(self.reservation.wait(need));
        poll_fn(|cx| {
            let over = match waiting.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(CallState::Admitted)),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            };
            match progress(shared, key, cx.waker()) {
                CallProgress::Done(outcome) => Poll::Ready(Err(unsent(outcome))),
                // The session is over, and so is the call.
                _ if over => Poll::Ready(Err(Status::unavailable("the session is over").not_executed())),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for the completion. `registered` says that this task's waker is in the slot already.
    async fn outcome(&mut self, mut registered: bool) -> Outcome {
        poll_fn(|cx| {
            if mem::take(&mut registered) {
                return Poll::Pending;
            }
            match progress(self.shared, &mut self.key, cx.waker()) {
                CallProgress::Done(outcome) => Poll::Ready(outcome),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// Where the call in the slot `key` stands. When it has ended, the slot is nobody's.
fn progress(shared: &SessionShared, key: &mut Option<CallKey>, waker: &Waker) -> CallProgress {
    let Some(slot) = *key else {
        return CallProgress::Done(Outcome::Status(Status::internal("a call without a slot was polled")));
    };
    let (progress, draining) = shared.look(|connection| (connection.poll_call(slot, waker), connection.is_draining()));
    if matches!(progress, CallProgress::Done(_)) {
        *key = None;
        if draining {
            // It may have been the last thing that the drain waited for.
            shared.wake_driver();
        }
    }
    progress
}

/// Why a call ended before it was sent.
fn unsent(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Status(status) => status,
        Outcome::Value(_) | Outcome::Streaming(..) | Outcome::Fault(_) => {
            Status::internal("a call that was not sent has been answered")
        }
    }
}
