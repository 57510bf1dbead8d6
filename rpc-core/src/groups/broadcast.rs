//! `Broadcast`: a one-way call on its way to many sessions.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::status::Status;

/// What has become of a one-way call to many sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The number of members whose queue has taken the call.
    pub queued: usize,
    /// The number of calls that were dropped for want of room: this one, or an older one in its favour.
    pub dropped: usize,
    /// The number of members that the call cannot reach: their session has ended, or does not take such a call.
    pub failed: usize,
}

/// A one-way call to many sessions. It goes out at its first poll.
#[must_use = "the call goes out when this is awaited"]
#[derive(Debug)]
pub struct Broadcast {}

impl Future for Broadcast {
    type Output = Result<Delivery, Status>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
