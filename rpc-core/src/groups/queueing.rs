//! `Queueing`: a one-way call on its way into the queues of members.

use std::iter::Fuse;

use super::{Delivery, Member};
use crate::{peer::QueuedCalls, proto::Enqueued};

/// How many members get the call before other tasks run. Those members' sessions send it then, while what they need is
/// still in the processor's cache; and a broadcast to many does not keep other tasks from their turn.
const AT_ONCE: usize = 64;

/// A one-way call that some members' queues have, and the others' are about to get. A broadcast goes to all or to none:
/// dropping this gives the call to the rest.
pub(super) struct Queueing<'a, I: Iterator<Item = &'a Member>> {
    call: QueuedCalls,
    rest: Fuse<I>,
    delivery: Delivery,
    /// Whether a member should send what it has before it gets more.
    is_pressing: bool,
}

impl<'a, I: Iterator<Item = &'a Member>> Queueing<'a, I> {
    pub(super) fn new(call: QueuedCalls, members: I) -> Self {
        Self { call, rest: members.fuse(), delivery: Delivery::default(), is_pressing: false }
    }

    /// Gives the call to every member's queue, which takes it or not.
    pub(super) async fn run(mut self) -> Delivery {
        while self.queue(AT_ONCE) {
            tokio::task::yield_now().await;
        }
        if self.is_pressing {
            tokio::task::yield_now().await;
        }
        self.delivery
    }

    /// Gives the call to at most this number of members. False if there are no more of them.
    fn queue(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(member) = self.rest.next() else { return false };
            let enqueued = self.call.queue(member.session().shared());
            self.is_pressing |= enqueued.as_ref().is_ok_and(|enqueued| self.call.is_pressing(*enqueued));
            match enqueued {
                Ok(Enqueued::Queued { dropped, .. }) => {
                    self.delivery.queued += 1;
                    self.delivery.dropped += dropped;
                }
                Ok(Enqueued::Dropped) => self.delivery.dropped += 1,
                Err(_) => self.delivery.failed += 1,
            }
        }
        true
    }
}

impl<'a, I: Iterator<Item = &'a Member>> Drop for Queueing<'a, I> {
    fn drop(&mut self) {
        self.queue(usize::MAX);
    }
}
