//! `Broadcast`: a one-way call on its way to many sessions.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};

use crate::status::Status;

/// What has become of a one-way call to many sessions.
///
/// Each member counts in `queued` or in `failed`, or in `dropped` if its queue has dropped this call. A member whose
/// queue has taken the call gets it, unless its session ends before, or a newer call makes the queue drop this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The number of members whose queue has taken the call.
    pub queued: usize,
    /// The number of calls that were dropped for want of room: this one at some members, and at others an older one in
    /// its favour.
    pub dropped: usize,
    /// The number of members that the call cannot reach: their session has ended, or does not take such a call.
    pub failed: usize,
}

/// A one-way call to many sessions. It goes out when this is polled for the first time, to those who are members then.
///
/// This is ready once every member's queue has taken the call, has dropped it, or cannot take it. It waits for no
/// member, unless the policy is [`Overflow::Wait`](crate::Overflow::Wait); then dropping it gives up the members that
/// have no room yet. It fails if the arguments do not serialize, or if an interceptor refuses the call; then no member
/// gets it.
#[must_use = "the call goes out when this is awaited"]
pub struct Broadcast(BoxFuture<'static, Result<Delivery, Status>>);

impl Broadcast {
    pub(super) fn new(sending: impl Future<Output = Result<Delivery, Status>> + Send + 'static) -> Self {
        Self(sending.boxed())
    }
}

impl Future for Broadcast {
    type Output = Result<Delivery, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx)
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").finish_non_exhaustive()
    }
}
