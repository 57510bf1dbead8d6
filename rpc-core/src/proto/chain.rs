//! `ServedCall`: a call that is being served here, and its place in the chain of calls that led to it.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use crate::{
    contract::MethodDescriptor,
    status::{Reason, Status},
    wire::{CallId, MetadataPairs},
};

/// A message names at most this many methods of a chain, because people read it.
const MAX_NAMES: usize = 12;

/// The method has begun to run.
const STARTED: u8 = 1;
/// The bits above [`STARTED`], which hold the [`Cancellation`]; they are 0 while the caller waits.
const CANCELLED: u8 = !STARTED;

/// Why the caller of a call waits no longer. The numbers are bits above the flag of the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cancellation {
    /// The caller has given the call up.
    Caller = 2,
    /// The deadline has passed, or the caller's idle timeout.
    Deadline = 4,
    /// This end drains, and the grace is over.
    Drain = 6,
    /// The session has ended.
    SessionEnd = 8,
    /// The completion has gone out.
    Completed = 10,
}

impl Cancellation {
    fn of(progress: u8) -> Option<Self> {
        let all = [Self::Caller, Self::Deadline, Self::Drain, Self::SessionEnd, Self::Completed];
        all.into_iter().find(|why| *why as u8 == progress & CANCELLED)
    }
}

/// A call that this end serves.
///
/// `parent` is the nearest call served in this process in whose handler this one has its origin, so that following
/// `parent` visits every hop of the chain through this process.
pub struct ServedCall {
    /// The session, unique in this process.
    pub session: u64,
    /// The number that the caller gave the call; `None` for a one-way call.
    pub id: Option<CallId>,
    /// The method's number.
    pub method: u32,
    /// How deep the call is nested.
    pub depth: u32,
    /// When the call must be done.
    pub deadline: Option<Instant>,
    /// The metadata that the caller sent along.
    pub metadata: MetadataPairs,
    /// For a one-way call that its caller might have dropped: how many calls of the method were, since the last that
    /// was sent.
    pub missed: Option<u64>,
    /// The call in whose handler the chain was in this process before.
    pub parent: Option<Arc<ServedCall>>,
    /// The method through which the chain left that handler and came back here.
    pub through: Option<&'static MethodDescriptor>,
    /// [`STARTED`] and the [`Cancellation`] in one number: the method runs only if `STARTED` was set first.
    progress: AtomicU8,
    /// The call has the turn of an object for which calls of other sessions may wait.
    has_shared_turn: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Where a call that comes in has its origin: a handler here, and the call that it made.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) call: Arc<ServedCall>,
    pub(crate) through: Option<&'static MethodDescriptor>,
}

/// What is known of a call when it comes in; see [`ServedCall`].
#[derive(Debug, Default)]
pub(crate) struct NewCall {
    pub(crate) session: u64,
    pub(crate) id: Option<CallId>,
    pub(crate) method: u32,
    pub(crate) depth: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: MetadataPairs,
    pub(crate) origin: Option<Origin>,
    pub(crate) missed: Option<u64>,
}

impl ServedCall {
    pub(crate) fn new(new: NewCall) -> Self {
        let NewCall { session, id, method, depth, deadline, metadata, origin, missed } = new;
        let (parent, through) = origin.map_or((None, None), |origin| (Some(origin.call), origin.through));
        Self {
            session,
            id,
            method,
            depth,
            deadline,
            metadata,
            missed,
            parent,
            through,
            progress: AtomicU8::new(0),
            has_shared_turn: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Makes this the new call. It is the memory of a call that is over.
    #[inline]
    pub(crate) fn renew(&mut self, new: NewCall) {
        let NewCall { session, id, method, depth, deadline, metadata, origin, missed } = new;
        (self.session, self.id, self.method) = (session, id, method);
        (self.depth, self.deadline, self.missed) = (depth, deadline, missed);
        if !metadata.is_empty() {
            self.metadata = metadata;
        }
        if let Some(origin) = origin {
            (self.parent, self.through) = (Some(origin.call), origin.through);
        }
        *self.progress.get_mut() = 0;
        *self.has_shared_turn.get_mut() = false;
        self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner).described = None;
    }

    /// Drops the parent, the metadata and the tasks that waited, if this is the only handle of the call. True if so:
    /// the memory may then be used again.
    pub(crate) fn retire(self: &mut Arc<Self>) -> bool {
        let Some(call) = Arc::get_mut(self) else { return false };
        (call.parent, call.through) = (None, None);
        if !call.metadata.is_empty() {
            call.metadata = MetadataPairs::new();
        }
        let waiting = call.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        if waiting.last > 0 {
            *waiting = Waiting::default();
        }
        true
    }

    /// Sets the method, once the method has been looked up.
    pub fn describe(&self, method: &'static MethodDescriptor) {
        self.waiting().described = Some(method);
    }

    /// Marks the method as running; false if the call was cancelled before. A one-way call always starts, because it
    /// has no caller who could give up.
    #[must_use]
    pub fn start(&self) -> bool {
        if self.id.is_none() {
            self.progress.fetch_or(STARTED, Ordering::AcqRel);
            return true;
        }
        self.progress.compare_exchange(0, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the method has begun to run.
    pub fn has_started(&self) -> bool {
        self.progress.load(Ordering::Acquire) & STARTED != 0
    }

    /// The method, if it is hosted here.
    pub fn described(&self) -> Option<&'static MethodDescriptor> {
        self.waiting().described
    }

    /// The calls in whose handlers this one has its origin, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(self.parent.as_ref(), |call| call.parent.as_ref())
    }

    /// The call gets or loses the turn of an object for which calls of other sessions may wait.
    #[cfg_attr(not(feature = "session"), expect(dead_code, reason = "the objects are the sessions'"))]
    pub(crate) fn set_shared_turn(&self, has_turn: bool) {
        self.has_shared_turn.store(has_turn, Ordering::Release);
    }

    /// Whether calls of other sessions may wait until this call has ended, because it has the turn of an object that
    /// serves all sessions, or a call has in whose handler this one has its origin.
    pub(crate) fn holds_up_sessions(&self) -> bool {
        let has_turn = |call: &Self| call.has_shared_turn.load(Ordering::Acquire);
        has_turn(self) || self.ancestors().any(|call| has_turn(call))
    }

    /// Whether this call was made, directly or not, in the handler of `other`.
    pub fn descends_from(&self, other: &Arc<Self>) -> bool {
        self.ancestors().any(|call| Arc::ptr_eq(call, other))
    }

    /// The status of this call if it would wait for `served`, in whose handler it has its origin.
    pub fn would_deadlock(&self, served: &Arc<Self>, contract: &str) -> Status {
        let mut names = vec![self.name()];
        let mut call = Some(self);
        while let Some(here) = call {
            names.extend(here.through.map(|method| method.to_string()));
            names.extend(here.parent.as_ref().map(|parent| parent.name()));
            call = here.parent.as_deref().filter(|parent| !std::ptr::eq(*parent, &raw const **served));
        }
        names.truncate(MAX_NAMES);
        names.reverse();
        let chain = names.join(" -> ");
        Status::aborted(format!(
            "the call would wait for itself: {chain}, and the object that hosts {contract} serves one call at a time; host it with \
             Concurrency::Reentrant to let such calls in, or with Concurrency::Multiple"
        ))
        .with_reason(Some(Reason::WouldDeadlock))
        .not_executed()
    }

    fn name(&self) -> String {
        self.described().map_or_else(|| format!("method {:#010x}", self.method), ToString::to_string)
    }

    /// The nearest call of `session`, this one or an ancestor, that a call made in this handler descends from.
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

    /// Whether the caller waits no longer.
    pub fn is_cancelled(&self) -> bool {
        self.progress.load(Ordering::Acquire) & CANCELLED != 0
    }

    /// Why the caller waits no longer; `None` while it waits. The first reason stays.
    pub fn cancellation(&self) -> Option<Cancellation> {
        Cancellation::of(self.progress.load(Ordering::Acquire))
    }

    /// Waits until the caller waits no longer.
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled { call: self, number: 0 }
    }

    /// Ends the call. Puts the wakers of tasks that wait for its cancellation `into` a list, to be woken outside any
    /// lock.
    pub(crate) fn end(self: &Arc<Self>, into: &mut Vec<Waker>) {
        // Usually this is the only handle, and no task can wait.
        if Arc::strong_count(self) > 1 {
            self.cancel(Cancellation::Completed, into);
        }
    }

    /// Marks the call cancelled, unless it is already. Puts the wakers of tasks that wait for this `into` a list, to be
    /// woken outside any lock.
    pub(crate) fn cancel(&self, why: Cancellation, into: &mut Vec<Waker>) {
        let mut waiting = self.waiting();
        // The reason changes only under this lock, so that two ends at once cannot mix their bits.
        if !self.is_cancelled() {
            self.progress.fetch_or(why as u8, Ordering::AcqRel);
        }
        into.extend(waiting.wakers.drain(..).map(|(_, waker)| waker));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until [`ServedCall::cancellation`] gives a reason, and returns the reason.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
#[expect(unnameable_types, reason = "the future of `cancelled` is awaited and needs no name")]
pub struct Cancelled<'a> {
    call: &'a ServedCall,
    /// Tells this future apart from others that wait for the same call; 0 before the first poll.
    number: u64,
}

/// The tasks that wait for a call's cancellation, and the method, which is looked up later.
#[derive(Default)]
struct Waiting {
    described: Option<&'static MethodDescriptor>,
    wakers: Vec<(u64, Waker)>,
    last: u64,
}

impl Future for Cancelled<'_> {
    type Output = Cancellation;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cancellation> {
        let waker = cx.waker().clone();
        let mut waiting = self.call.waiting();
        if let Some(why) = self.call.cancellation() {
            return Poll::Ready(why);
        }
        let number = self.number;
        let old = match waiting.wakers.iter_mut().find(|(other, _)| *other == number) {
            Some((_, old)) => Some(std::mem::replace(old, waker)),
            None => {
                waiting.last += 1;
                let number = waiting.last;
                waiting.wakers.push((number, waker));
                drop(waiting);
                self.number = number;
                return Poll::Pending;
            }
        };
        drop(waiting);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        let mut waiting = self.call.waiting();
        let at = waiting.wakers.iter().position(|(number, _)| *number == self.number);
        let waker = at.map(|at| waiting.wakers.swap_remove(at));
        drop(waiting);
        drop(waker);
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
