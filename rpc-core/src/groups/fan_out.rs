//! `FanOut`: what a one-way call to many sessions does, inside of its interceptors.

use std::{future::poll_fn, task::Poll, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde::Serialize;

use super::{Audience, Delivery, Member, audience::Selected, queueing::Queueing};
use crate::{
    contract::MethodDescriptor,
    peer::{
        CallInfo, CallOptions, CurrentCall, End, OverflowKey, Policy, QueuedCalls, Reply, current, deliver,
        encode_rope, now, run_interceptors, unencodable,
    },
    proto::DeadlineSetting,
    status::Status,
    wire::{MetadataPairs, Rope},
};

/// A one-way call to many sessions, with its arguments encoded.
pub(super) struct FanOut {
    audience: Audience,
    method: &'static MethodDescriptor,
    arguments: Result<Rope, Status>,
    key: Option<OverflowKey>,
}

impl FanOut {
    pub(super) fn new<A: Serialize>(
        audience: Audience,
        method: &'static MethodDescriptor,
        arguments: &A,
        key: Option<OverflowKey>,
    ) -> Self {
        let arguments = encode_rope(arguments).map_err(|why| unencodable(method, &why));
        Self { audience, method, arguments, key }
    }

    /// Sends the call inside of the interceptors of the sessions.
    pub(super) async fn run(self) -> Result<Delivery, Status> {
        let Self { audience, method, arguments, key } = self;
        let selected = audience.select();
        let options = audience.options();
        let metadata = options.map(|options| options.metadata_pairs().clone()).unwrap_or_default();
        let policy = Policy::of(options, method, audience.overflow());
        let origin = current();
        let mut to_members =
            ToMembers { audience: &audience, selected, method, policy, origin, arguments: arguments?, key };
        // All sessions of a server have the same interceptors.
        let Some(first) = to_members.selected.iter().next().map(|member| member.session().shared().clone()) else {
            return Ok(Delivery::default());
        };
        if first.interceptors.is_empty() {
            return to_members.send(metadata, Duration::MAX).await;
        }
        let usual = (first.config.call_timeout(), DeadlineSetting::Config);
        let timeout = CallOptions::explicit(options, method).unwrap_or(usual);
        let (deadline, _) = CallOptions::deadline(now(), timeout, to_members.origin.as_ref());
        let members = to_members.selected.iter().count();
        let call = CallInfo::outgoing(method, None, to_members.origin.clone(), metadata, deadline);
        let mut call = call.for_members(members);
        let reply = run_interceptors(&first.interceptors, &mut call, &mut to_members).await?;
        reply.into_content(call.number()).map(|(delivery, _watch): (Delivery, _)| delivery)
    }
}

/// The call, when it is known to whom it goes.
struct ToMembers<'a> {
    audience: &'a Audience,
    selected: Selected,
    method: &'static MethodDescriptor,
    policy: Policy,
    origin: Option<CurrentCall>,
    arguments: Rope,
    key: Option<OverflowKey>,
}

#[async_trait]
impl End for ToMembers<'_> {
    async fn run(&mut self, call: &mut CallInfo) -> Result<Reply, Status> {
        // Interceptors may have limited the time.
        let longest = call.remaining().unwrap_or(Duration::MAX);
        let delivery = self.send(call.metadata_pairs().clone(), longest).await?;
        Ok(Reply::new(call.number(), false, false, 0, delivery))
    }
}

impl ToMembers<'_> {
    /// Sends the call. Members that have no room are waited for no longer than this.
    async fn send(&mut self, metadata: MetadataPairs, longest: Duration) -> Result<Delivery, Status> {
        if self.policy.is_queued() { self.queue(metadata).await } else { Ok(self.wait(metadata, longest).await) }
    }

    async fn queue(&mut self, metadata: MetadataPairs) -> Result<Delivery, Status> {
        let payload = (self.arguments.clone(), self.key.clone());
        let call = QueuedCalls::new(self.method, self.policy, (self.origin.clone(), metadata), payload)?;
        Ok(Queueing::new(call, self.selected.iter()).run().await)
    }

    /// Sends the call to those who have room, and then waits for the others.
    async fn wait(&mut self, metadata: MetadataPairs, longest: Duration) -> Delivery {
        let mut delivery = Delivery::default();
        let mut count = |sent: Result<(), Status>| match sent {
            Ok(()) => delivery.queued += 1,
            Err(_) => delivery.failed += 1,
        };
        let mut waiting = FuturesUnordered::new();
        for member in self.selected.iter() {
            let mut sent = self.deliver(member, metadata.clone(), longest);
            match poll_fn(|cx| Poll::Ready(sent.poll_unpin(cx))).await {
                Poll::Ready(sent) => count(sent),
                // This call is served for the member, which may not read before it has its answer.
                Poll::Pending if self.is_callers(member) => count(Err(Status::resource_exhausted("no room"))),
                Poll::Pending => waiting.push(sent),
            }
        }
        while let Some(sent) = waiting.next().await {
            count(sent);
        }
        delivery
    }

    fn deliver(
        &self,
        member: &Member,
        metadata: MetadataPairs,
        longest: Duration,
    ) -> BoxFuture<'static, Result<(), Status>> {
        let shared = member.session().shared().clone();
        let nested = if self.origin.is_some() { shared.config.nested_wait() } else { Duration::MAX };
        let longest = longest.min(nested);
        let context = (self.origin.clone(), metadata);
        let sent =
            deliver(shared, self.method, self.audience.shared_options(), context, self.arguments.clone(), longest);
        // With a budget for many members, a member that has room might seem to have none.
        tokio::task::unconstrained(sent).boxed()
    }

    fn is_callers(&self, member: &Member) -> bool {
        let session = member.session().shared().id.number();
        self.origin.as_ref().is_some_and(|origin| origin.call.session == session)
    }
}
