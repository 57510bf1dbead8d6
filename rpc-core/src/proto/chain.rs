//! `ServedCall`: a call that is being served here, and its place in the chain of calls that led to it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Instant,
};

use crate::wire::{CallId, MetadataPairs};

/// A call that this end serves.
///
/// `parent` is the nearest call served in this process in whose handler this one has its origin, so that walking it visits every
/// hop of the chain through this process.
pub struct ServedCall {
    /// The session, unique in this process.
    pub session: u64,
    /// The caller's number of it; `None` for a one-way call.
    pub id: Option<CallId>,
    /// The method's number.
    pub method: u32,
    /// How deep it is nested.
    pub depth: u32,
    /// When it must be done.
    pub deadline: Option<Instant>,
    /// What the caller sent along.
    pub metadata: MetadataPairs,
    /// The call in whose handler the chain came by here before.
    pub parent: Option<Arc<ServedCall>>,
    cancelled: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl ServedCall {
    pub(crate) fn new(
        session: u64,
        id: Option<CallId>,
        method: u32,
        depth: u32,
        deadline: Option<Instant>,
        metadata: MetadataPairs,
        parent: Option<Arc<Self>>,
    ) -> Self {
        Self {
            session,
            id,
            method,
            depth,
            deadline,
            metadata,
            parent,
            cancelled: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// The receiver's own pending call of `session` that a call made in this handler descends from.
    pub(crate) fn nearest_in(&self, session: u64) -> Option<CallId> {
        let mut call = Some(self);
        while let Some(here) = call {
            if here.session == session && here.id.is_some() {
                return here.id;
            }
            call = here.parent.as_deref();
        }
        None
    }

    /// Whether the caller has given up, the deadline has passed or the session has ended.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Ready once [`Self::is_cancelled`] is true.
    pub fn poll_cancelled(&self, waker: &Waker) -> Poll<()> {
        if self.is_cancelled() {
            return Poll::Ready(());
        }
        let waker = waker.clone();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cancelled() {
            return Poll::Ready(());
        }
        // The same task asks again at each of its polls.
        if !waiting.iter().any(|old| old.will_wake(&waker)) {
            waiting.push(waker);
        }
        Poll::Pending
    }

    /// Marks the call cancelled and gives back whom to wake, to be woken outside any lock.
    pub(crate) fn cancel(&self) -> Vec<Waker> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.cancelled.store(true, Ordering::Release);
        std::mem::take(&mut *waiting)
    }
}

impl fmt::Debug for ServedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedCall")
            .field("session", &self.session)
            .field("id", &self.id)
            .field("method", &self.method)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}
