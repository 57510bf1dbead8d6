//! The life of a call at its caller: register, wait for a permit and room, encode, send, wait, and give up when dropped.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use super::{
    budget::{Need, Reservation},
    clock::now,
    current::{Serving, current, is_opening},
    encode::encode,
    intercept::{self, CallInfo, End, Reply},
    options::CallOptions,
    shared::Shared,
};
use crate::{
    config::PACKET_OVERHEAD,
    contract::MethodDescriptor,
    proto::{CallKey, CallProgress, CallStart, Outcome, Outgoing},
    status::Status,
    wire::{MetadataPairs, metadata_size},
};

/// What a Request or Notify takes beside metadata and payload, at most.
const FRAME: usize = 64;

/// What is settled about a call before it begins.
struct Terms {
    begun: Instant,
    origin: Option<Serving>,
    metadata: MetadataPairs,
    deadline: Option<Instant>,
}

/// A completed call.
pub(crate) enum Answer {
    Value(Bytes),
    Fault(Bytes),
}

/// Makes a call. Everything happens at the first poll, as far as nothing has to be waited for. Dropping the future cancels the call.
pub(crate) async fn perform<A: Serialize + Send>(
    shared: &Arc<Shared>,
    options: Option<&CallOptions>,
    method: &'static MethodDescriptor,
    mut arguments: A,
) -> Result<Answer, Status> {
    let origin = current();
    let metadata = options.map(|options| options.metadata_pairs().clone()).unwrap_or_default();
    let begun = now();
    let deadline = CallOptions::deadline(options, begun, method, shared.config.call_timeout, origin.as_ref());
    let answer = if shared.interceptors.is_empty() {
        attempt(shared, method, Terms { begun, origin, metadata, deadline }, &mut arguments).await
    } else {
        intercepted(shared, method, Terms { begun, origin, metadata, deadline }, arguments).await
    };
    answer.map_err(|status| status.with_idempotent(method.is_idempotent()))
}

/// Makes a call inside its interceptors.
async fn intercepted<A: Serialize + Send>(
    shared: &Arc<Shared>,
    method: &'static MethodDescriptor,
    terms: Terms,
    arguments: A,
) -> Result<Answer, Status> {
    let Terms { origin, metadata, deadline, .. } = terms;
    let mut call = CallInfo::outgoing(method, shared.link.clone(), origin.clone(), metadata, deadline);
    let mut end = Attempts { shared, origin, arguments, begun: false };
    match intercept::run(&shared.interceptors, &mut call, &mut end).await {
        Ok(reply) => reply.into_content(),
        Err(status) if end.begun => Err(status),
        Err(status) => Err(status.not_executed()),
    }
}

/// The call inside its interceptors, which may make it again.
struct Attempts<'a, A> {
    shared: &'a Arc<Shared>,
    origin: Option<Serving>,
    arguments: A,
    begun: bool,
}

#[async_trait]
impl<A: Serialize + Send> End for Attempts<'_, A> {
    async fn run(&mut self, call: &mut CallInfo) -> Result<Reply, Status> {
        self.begun = true;
        let (origin, metadata) = (self.origin.clone(), call.metadata_pairs().clone());
        let (method, terms) = (call.method(), Terms { begun: now(), origin, metadata, deadline: call.deadline() });
        let answer = attempt(self.shared, method, terms, &mut self.arguments).await;
        match answer {
            Ok(Answer::Value(bytes)) => Ok(Reply::new(false, bytes.len(), Answer::Value(bytes))),
            Ok(Answer::Fault(bytes)) => Ok(Reply::new(true, bytes.len(), Answer::Fault(bytes))),
            Err(status) => Err(status.with_idempotent(method.is_idempotent())),
        }
    }
}

/// Makes a call once. The arguments are lent exclusively because they need not be `Sync`.
async fn attempt<A: Serialize + Send>(
    shared: &Arc<Shared>,
    method: &'static MethodDescriptor,
    terms: Terms,
    arguments: &mut A,
) -> Result<Answer, Status> {
    let outcome = match Call::begin(shared, method, terms).await {
        Err(outcome) => outcome,
        Ok(mut call) => loop {
            let payload = match encode(&*arguments) {
                Ok(payload) => payload,
                Err(why) => break Outcome::Status(unencodable(method, &why)),
            };
            match call.offer(payload).await {
                Offer::Wait(need) => {
                    if let Err(outcome) = call.wait_for(need).await {
                        break outcome;
                    }
                }
                Offer::Sent if method.is_oneway() => break call.sent(),
                // Sending has left the waker there.
                Offer::Sent => break call.outcome(true).await,
                Offer::Ended => break call.outcome(false).await,
                Offer::Done(outcome) => break outcome,
            }
        },
    };
    match outcome {
        Outcome::Value(bytes) => Ok(Answer::Value(bytes)),
        Outcome::Fault(bytes) => Ok(Answer::Fault(bytes)),
        Outcome::Status(status) => Err(status),
    }
}

/// What came does not fit the contract.
pub(crate) fn mismatch(method: &MethodDescriptor, why: impl std::fmt::Display) -> Status {
    Status::internal(format!(
        "the result of {}.{} does not fit this side's contract: {why}",
        method.contract(),
        method.name()
    ))
}

fn unencodable(method: &MethodDescriptor, why: &str) -> Status {
    let (contract, name) = (method.contract(), method.name());
    Status::invalid_argument(format!("the arguments of {contract}.{name} do not serialize: {why}")).not_executed()
}

enum Offer {
    /// On its way; a one-way call is done with that.
    Sent,
    Wait(Need),
    /// The call ended meanwhile; its outcome is there.
    Ended,
    Done(Outcome),
}

/// A call that has a slot. Dropping it gives the call up.
struct Call {
    shared: Arc<Shared>,
    method: &'static MethodDescriptor,
    key: CallKey,
    nested: bool,
    metadata: MetadataPairs,
    metadata_len: usize,
    reservation: Reservation,
    /// The slot is no longer ours.
    over: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.over {
            self.shared.act(|connection| connection.cancel_call(self.key));
        }
    }
}

impl Call {
    /// Takes a slot and waits for a permit.
    async fn begin(shared: &Arc<Shared>, method: &'static MethodDescriptor, terms: Terms) -> Result<Self, Outcome> {
        let Terms { begun, origin, metadata, deadline } = terms;
        let metadata_len = metadata_size(&metadata);
        if metadata_len > shared.config.max_metadata {
            let limit = shared.config.max_metadata;
            let message = format!(
                "the metadata of the call take {metadata_len} bytes; {limit} may be sent (Config::max_metadata)"
            );
            return Err(Outcome::Status(Status::invalid_argument(message).not_executed()));
        }
        if is_opening(shared.id) && !shared.look(|connection| connection.is_open()) {
            let message = "the session is not open before its `opened` hooks have returned, and this one waits for a call: spawn the call";
            return Err(Outcome::Status(Status::failed_precondition(message).not_executed()));
        }
        let nested = origin.is_some() && !method.is_oneway();
        let depth = origin.as_ref().map_or(0, |origin| origin.call.depth.saturating_add(1));
        let mut origin = origin.map(|origin| origin.call);
        // Only what is small leaves the closure: everything that does is moved.
        let (key, waiting) = poll_fn(|cx| {
            let origin = origin.take();
            let start = CallStart { method: Some(method), oneway: method.is_oneway(), depth, origin, deadline };
            let begun = shared.with(|locked| locked.connection.begin_call(begun, start, cx.waker()));
            Poll::Ready(begun.map(|(key, progress)| (key, progress == CallProgress::Waiting)))
        })
        .await
        .map_err(Outcome::Status)?;
        let reservation = Reservation::new(shared);
        let mut call =
            Self { shared: shared.clone(), method, key, nested, metadata, metadata_len, reservation, over: false };
        if waiting {
            // The driver did not see the new deadline.
            call.shared.wake_driver();
            poll_fn(|cx| match call.poll(cx.waker()) {
                Poll::Ready(CallProgress::Done(outcome)) => Poll::Ready(Err(outcome)),
                Poll::Ready(_) => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            })
            .await?;
        }
        Ok(call)
    }

    /// Sends the call if its payload fits the budgets now.
    async fn offer(&mut self, payload: Bytes) -> Offer {
        let (len, frame) = (payload.len(), FRAME + self.metadata_len);
        if let Some(limit) = self.over_limit(len) {
            return Offer::Done(Outcome::Status(limit));
        }
        if let Err(need) = self.reservation.reserve(len, frame, true) {
            return Offer::Wait(need);
        }
        let charges = self.reservation.take(len, frame);
        let metadata = std::mem::take(&mut self.metadata);
        let outgoing = Outgoing { method: self.method.id(), metadata, payload, charges };
        let mut outgoing = Some(outgoing);
        poll_fn(|cx| {
            let Some(outgoing) = outgoing.take() else { return Poll::Ready(Offer::Ended) };
            let sent = self.shared.act(|connection| connection.send_call(self.key, outgoing, cx.waker()));
            Poll::Ready(if sent { Offer::Sent } else { Offer::Ended })
        })
        .await
    }

    /// What is wrong with the metadata, or with arguments of this length.
    fn over_limit(&self, len: usize) -> Option<Status> {
        let limits = self.shared.limits()?;
        // Metadata share a packet with a chunk's worth of arguments.
        let spare = limits
            .packet
            .saturating_sub(limits.chunk.min(self.shared.config.chunk as u64) + PACKET_OVERHEAD as u64 / 2);
        if self.metadata_len as u64 > spare {
            let message = format!(
                "the metadata of the call take {} bytes; the other side takes {spare} (Config::max_packet there)",
                self.metadata_len
            );
            return Some(Status::invalid_argument(message).not_executed());
        }
        let large = len as u64 > limits.chunk.min(self.shared.config.chunk as u64);
        let limit = if large { limits.payload.min(limits.arguments) } else { limits.payload };
        (len as u64 > limit).then(|| {
            let (contract, name) = (self.method.contract(), self.method.name());
            Status::out_of_range(format!(
                "the arguments of {contract}.{name} are {len} bytes long, and the other side takes {limit} at most: \
                 send less at once, or raise Config::max_payload there"
            ))
            .not_executed()
        })
    }

    /// Waits for what was missing, or until the call has ended.
    async fn wait_for(&mut self, need: Need) -> Result<(), Outcome> {
        if self.nested && matches!(need, Need::Arguments(_)) {
            let message =
                "the other side holds too many argument bytes of unfinished calls to take more from within a handler";
            return Err(Outcome::Status(Status::resource_exhausted(message).not_executed()));
        }
        let (shared, key) = (self.shared.clone(), self.key);
        // The driver did not see the new deadline.
        shared.wake_driver();
        let mut waiting = pin!(self.reservation.wait(need));
        let ended = poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(None),
            // The session is over, and so is the call.
            Poll::Ready(Err(_)) => Poll::Ready(Some(shared.look(|connection| connection.poll_call(key, cx.waker())))),
            Poll::Pending => match shared.look(|connection| connection.poll_call(key, cx.waker())) {
                CallProgress::Done(outcome) => Poll::Ready(Some(CallProgress::Done(outcome))),
                _ => Poll::Pending,
            },
        })
        .await;
        match ended {
            None => Ok(()),
            Some(CallProgress::Done(outcome)) => {
                self.over = true;
                Err(outcome)
            }
            Some(_) => Err(Outcome::Status(Status::unavailable("the session is over").not_executed())),
        }
    }

    /// A one-way call has no completion: it is done once it is on its way.
    fn sent(&mut self) -> Outcome {
        self.over = true;
        Outcome::Value(Bytes::new())
    }

    /// Waits for the completion. `registered` says that this task's waker is in the slot already.
    async fn outcome(&mut self, mut registered: bool) -> Outcome {
        poll_fn(|cx: &mut Context<'_>| {
            if std::mem::take(&mut registered) {
                return Poll::Pending;
            }
            match self.poll(cx.waker()) {
                Poll::Ready(CallProgress::Done(outcome)) => Poll::Ready(outcome),
                _ => Poll::Pending,
            }
        })
        .await
    }

    fn poll(&mut self, waker: &Waker) -> Poll<CallProgress> {
        let (progress, draining) =
            self.shared.look(|connection| (connection.poll_call(self.key, waker), connection.is_draining()));
        match progress {
            CallProgress::Waiting => Poll::Pending,
            CallProgress::Admitted => Poll::Ready(CallProgress::Admitted),
            CallProgress::Done(outcome) => {
                if draining {
                    // It may have been the last thing that the drain waited for.
                    self.shared.wake_driver();
                }
                self.over = true;
                Poll::Ready(CallProgress::Done(outcome))
            }
        }
    }
}
