//! `OnewayQueue`: one-way calls that wait because the other side does not keep up, and what their policies do to them.

mod call;
mod missed;
mod waiting;
mod window;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use call::QueuedCall;
use missed::Missed;
use waiting::{Limits, Place, Waiting};
use window::Window;

use super::{Charges, timers::LOOK_AGAIN};
use crate::{config::Config, error::ProtocolError};

/// What became of a call that was given to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits for its turn. This many older calls were dropped in its favour.
    Queued {
        /// How many calls were dropped.
        dropped: usize,
        /// How many calls wait now.
        waiting: usize,
    },
    /// It was dropped.
    Dropped,
}

/// The queue would have too many bytes, and the policy of a call says that the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflowing {
    /// The bytes that would wait.
    pub(crate) held: usize,
}

/// The calls of a session that wait, in the order in which they were sent.
///
/// Most sessions have no such calls, and pay for a pointer.
#[derive(Debug, Default)]
pub(crate) struct OnewayQueue(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Waiting,
    window: Window,
    missed: Missed,
    /// Calls that were dropped since the session began.
    dropped: u64,
    /// What is reserved for the first call, which is large.
    charges: Option<(QueueNeed, Charges)>,
    /// When the other side is judged, because it was late when it was looked at first.
    judged_at: Option<Instant>,
}

/// What the first call of a queue needs of the budgets before it can go, because it is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueNeed {
    /// The number of the call.
    pub(crate) number: u64,
    /// The length of its arguments.
    pub len: usize,
    /// The bytes that count against the other side's limit of arguments.
    pub arguments: u32,
}

/// A call that has left its queue.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) call: Arc<QueuedCall>,
    /// How many calls of its method were dropped since the last one that was sent; `None` if it is of a kind that is
    /// never dropped.
    pub(crate) missed: Option<u64>,
}

impl OnewayQueue {
    /// Takes a call in, or not, as its policy says.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        call: &Arc<QueuedCall>,
        config: &Config,
    ) -> Result<Enqueued, Overflowing> {
        let queue = self.0.get_or_insert_default();
        let before = queue.dropped;
        let bytes = config.max_queued_bytes();
        let burst = bytes.saturating_add(config.max_payload());
        let limits = Limits { calls: config.max_queued_calls(), bytes, burst };
        let place = queue.waiting.place(now, call, limits, |dropped| {
            queue.missed.note(dropped.method.id());
            queue.dropped += 1;
        });
        match place {
            Place::Found => {
                let dropped = usize::try_from(queue.dropped - before).unwrap_or(usize::MAX);
                Ok(Enqueued::Queued { dropped, waiting: queue.waiting.len() })
            }
            Place::None => {
                queue.missed.note(call.method.id());
                queue.dropped += 1;
                Ok(Enqueued::Dropped)
            }
            Place::Beyond { held } => Err(Overflowing { held }),
        }
    }

    /// Whether no call waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.waiting.is_empty())
    }

    /// The number of the last call that was taken in; 0 before the first.
    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.0.as_ref().map_or(0, |queue| queue.waiting.last())
    }

    /// The number of the last call that has left the queue, with all before it.
    #[inline]
    pub(crate) fn gone(&self) -> u64 {
        self.0.as_ref().map_or(0, |queue| queue.waiting.gone())
    }

    /// Drops the first calls, as far as they have waited for too long.
    pub(crate) fn drop_late(&mut self, now: Instant) {
        let Some(Queue { waiting, missed, dropped, .. }) = self.0.as_deref_mut() else { return };
        while let Some(late) = waiting.pop_late(now) {
            missed.note(late.method.id());
            *dropped += 1;
        }
    }

    /// The first call, if the window lets it go.
    #[inline]
    pub(crate) fn front(&self) -> Option<&Arc<QueuedCall>> {
        let Queue { waiting, window, .. } = self.0.as_deref()?;
        waiting.front().filter(|call| window.allows(call.may_be_dropped()))
    }

    /// Removes the first call, which goes out now.
    pub(crate) fn pop(&mut self) -> Option<Leaving> {
        let Queue { waiting, window, missed, .. } = self.0.as_deref_mut()?;
        let call = waiting.pop()?;
        let may_be_dropped = call.may_be_dropped();
        window.note_left(call.sent_len() as usize, may_be_dropped);
        let missed = may_be_dropped.then(|| missed.take(call.method.id()));
        Some(Leaving { call, missed })
    }

    /// Whether this is reserved for the first call.
    pub(crate) fn has_charges(&self, need: QueueNeed) -> bool {
        self.0.as_ref().and_then(|queue| queue.charges).is_some_and(|(charged, _)| charged == need)
    }

    /// This is reserved for the first call, which needs it.
    pub(crate) fn charge(&mut self, need: QueueNeed, charges: Charges) {
        if let Some(queue) = &mut self.0 {
            queue.charges = Some((need, charges));
        }
    }

    /// Takes what is reserved.
    pub(crate) fn take_charges(&mut self) -> Option<Charges> {
        let (_, charges) = self.0.as_mut()?.charges.take()?;
        Some(charges)
    }

    /// Drops the first call, which cannot go.
    pub(crate) fn skip(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.waiting.pop();
        }
    }

    /// All calls that have gone out are done.
    pub(crate) fn all_done(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.window.all_done();
        }
    }

    /// Lets all go from now on, because the session ends.
    pub(crate) fn open_window(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.window.open();
        }
    }

    /// The last byte of a call of `len` bytes is in the packet with this number.
    pub(crate) fn note_sent(&mut self, number: u64, len: usize) {
        if let Some(queue) = &mut self.0 {
            queue.window.note_sent(number, len);
        }
    }

    /// A call of `len` bytes that has left the queue is not sent after all.
    pub(crate) fn note_withdrawn(&mut self, len: usize) {
        if let Some(queue) = &mut self.0 {
            queue.window.note_withdrawn(len);
        }
    }

    /// The other side has taken the packets up to this one in.
    #[inline]
    pub(crate) fn handle_ack(&mut self, acked: u64) {
        if let Some(queue) = &mut self.0 {
            queue.window.handle_ack(acked);
        }
    }

    /// The other side has finished this many of the calls that may be dropped.
    pub(crate) fn handle_done(&mut self, done: u64) -> Result<(), ProtocolError> {
        match &mut self.0 {
            Some(queue) => queue.window.handle_done(done),
            None if done == 0 => Ok(()),
            None => Window::default().handle_done(done),
        }
    }

    /// When the other side has to be judged, which has `timeout` for the oldest call that must not wait for long.
    pub(crate) fn due(&self, timeout: Duration) -> Option<Instant> {
        let queue = self.0.as_ref()?;
        let due = queue.waiting.oldest_kept()?.checked_add(timeout)?;
        Some(queue.judged_at.map_or(due, |at| at.max(due)))
    }

    /// Whether a call has waited for longer than `timeout`, also at the second look.
    pub(crate) fn is_overdue(&mut self, now: Instant, timeout: Duration) -> bool {
        let Some(queue) = &mut self.0 else { return false };
        let due = queue.waiting.oldest_kept().and_then(|since| since.checked_add(timeout));
        let Some(due) = due.filter(|due| *due <= now) else { return false };
        // The first look may have been at a call before this one.
        match queue.judged_at.filter(|at| *at >= due) {
            Some(at) => at <= now,
            None => {
                queue.judged_at = Some(now + LOOK_AGAIN);
                false
            }
        }
    }

    /// The time that calls have waited counts from now on, because there was no link.
    pub(crate) fn restart(&mut self, now: Instant) {
        if let Some(queue) = &mut self.0 {
            queue.waiting.restart(now);
            queue.judged_at = None;
        }
    }

    /// The number of calls that wait.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.waiting.len())
    }

    /// What the calls count that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.waiting.bytes())
    }

    /// About the memory that the calls add which wait. Calls that several sessions share count once in all.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.waiting.added())
    }

    /// Calls that were dropped since the session began.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |queue| queue.dropped)
    }

    /// Frees memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.waiting.trim();
        }
    }

    /// Drops what waits, because it can go nowhere any more. Gives the number of calls.
    pub(crate) fn clear(&mut self) -> usize {
        self.0.as_mut().map_or(0, |queue| queue.waiting.clear())
    }
}
