//! `TurnQueue`: the order in which an object serves its calls one at a time.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::fair_queue::{Entry, FairQueue, Ticket};
use crate::{proto::ServedCall, status::Status};

/// The turns of one object.
pub(crate) struct TurnQueue {
    /// The name of the contract, for messages.
    contract: &'static str,
    /// Whether calls of the chain that is being served are let in.
    reentrant: bool,
    /// Whether the calls of all sessions wait here, so that one of them may hold up another session.
    is_shared: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The calls that have a turn: at most one, and the calls of its chain that were let in.
    serving: Vec<ActiveTurn>,
    /// The calls that wait.
    queue: FairQueue,
    next: u64,
    /// Whether a handler of the object is being polled.
    polling: bool,
    /// The handlers to wake when that poll has returned.
    pollers: Vec<Waker>,
}

struct ActiveTurn {
    ticket: Ticket,
    call: Arc<ServedCall>,
}

/// A place in the queue. Dropping it leaves the queue, or ends the turn.
pub(crate) struct QueuedTurn {
    turns: Arc<TurnQueue>,
    ticket: Ticket,
}

/// The right to run. Dropping it ends the turn.
#[derive(Debug)]
pub(crate) struct TurnGuard(QueuedTurn);

impl TurnQueue {
    pub(crate) fn new(contract: &'static str, reentrant: bool, is_shared: bool) -> Arc<Self> {
        Arc::new(Self { contract, reentrant, is_shared, state: Mutex::default() })
    }

    /// Takes a place for a call whose arguments are arriving. Later calls of the same session do not overtake the call.
    pub(crate) fn hold(self: &Arc<Self>, session: u64) -> QueuedTurn {
        let mut state = self.lock();
        let ticket = state.ticket(session);
        state.queue.join(ticket, None);
        QueuedTurn { turns: self.clone(), ticket }
    }

    /// Waits for a turn. A call that would wait for its own chain is refused at once or, if the object is reentrant,
    /// let in. Dropping the future leaves the queue; cancelling the call ends the wait as well.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        call: &Arc<ServedCall>,
        held: Option<QueuedTurn>,
    ) -> Result<TurnGuard, Status> {
        let held = {
            let mut state = self.lock();
            let own = state.serving.iter().find(|serving| call.descends_from(&serving.call));
            match own.map(|serving| serving.call.clone()) {
                Some(serving) if !self.reentrant => {
                    drop(state);
                    return Err(call.would_deadlock(&serving, self.contract));
                }
                Some(_) => {
                    let ticket = state.ticket(call.session);
                    state.serve(ticket, call.clone(), self.is_shared);
                    drop(state);
                    // The call has its turn, so its place in the queue is not needed.
                    drop(held);
                    return Ok(TurnGuard(QueuedTurn { turns: self.clone(), ticket }));
                }
                None => match held {
                    Some(held) => {
                        state.queue.arrived(held.ticket, call.clone());
                        held
                    }
                    None => {
                        let ticket = state.ticket(call.session);
                        state.queue.join(ticket, Some(call.clone()));
                        QueuedTurn { turns: self.clone(), ticket }
                    }
                },
            }
        };
        self.advance();
        let mut cancelled = pin!(call.cancelled());
        poll_fn(|cx| match self.poll_turn(held.ticket, cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => cancelled.as_mut().poll(cx).map(Err),
        })
        .await
        .map_err(|_| Status::cancelled("the call was given up before its turn had come").not_executed())?;
        Ok(TurnGuard(held))
    }

    fn poll_turn(&self, ticket: Ticket, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.serving.iter().any(|serving| serving.ticket == ticket) {
            return Poll::Ready(());
        }
        let old = state.queue.entry(ticket).and_then(|entry| entry.waker.replace(waker));
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Gives the turn to the next call in the queue if no call has the turn.
    fn advance(&self) {
        let waker = self.lock().advance(self.is_shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn leave(&self, ticket: Ticket) {
        let mut state = self.lock();
        let entry = state.queue.remove(ticket);
        let serving = state.serving.iter().position(|serving| serving.ticket == ticket);
        let serving = serving.map(|at| state.serving.remove(at));
        if let Some(ActiveTurn { call, .. }) = serving.as_ref().filter(|_| self.is_shared) {
            call.set_shared_turn(false);
        }
        let waker = state.advance(self.is_shared);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        // The call and its waker are dropped outside the lock.
        drop((entry, serving));
    }

    /// Polls a handler unless another handler of the object is being polled; then the handler is woken after that poll.
    pub(crate) fn poll_alone<R>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        /// Wakes the other handlers, also when the poll panics.
        struct Polling<'a>(&'a TurnQueue);
        impl Drop for Polling<'_> {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                state.polling = false;
                let pollers = mem::take(&mut state.pollers);
                drop(state);
                pollers.into_iter().for_each(Waker::wake);
            }
        }
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.polling {
            state.pollers.push(waker);
            return Poll::Pending;
        }
        state.polling = true;
        drop(state);
        let _polling = Polling(self);
        poll(cx)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ticket(&mut self, session: u64) -> Ticket {
        self.next += 1;
        Ticket { session, number: self.next }
    }

    fn serve(&mut self, ticket: Ticket, call: Arc<ServedCall>, is_shared: bool) {
        if is_shared {
            call.set_shared_turn(true);
        }
        self.serving.push(ActiveTurn { ticket, call });
    }

    fn advance(&mut self, is_shared: bool) -> Option<Waker> {
        if !self.serving.is_empty() {
            return None;
        }
        let (ticket, Entry { ready, waker }) = self.queue.pop()?;
        self.serve(ticket, ready?, is_shared);
        waker
    }
}

impl TurnGuard {
    pub(crate) fn turns(&self) -> &Arc<TurnQueue> {
        &self.0.turns
    }
}

impl Drop for QueuedTurn {
    fn drop(&mut self) {
        self.turns.leave(self.ticket);
    }
}

/// A turn that can be ended from within the method's future.
#[derive(Debug)]
pub(super) struct SharedTurnGuard(Mutex<Option<TurnGuard>>);

impl SharedTurnGuard {
    pub(super) fn new(turn: TurnGuard) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(turn))))
    }

    pub(super) fn end(&self) {
        let turn = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(turn);
    }

    /// The queue that the turn belongs to; `None` once the turn has ended.
    pub(super) fn turns(&self) -> Option<Arc<TurnQueue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|turn| turn.turns().clone())
    }
}

impl fmt::Debug for TurnQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("TurnQueue")
            .field("reentrant", &self.reentrant)
            .field("serving", &state.serving.len())
            .field("waiting", &state.queue.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for QueuedTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueuedTurn").field(&self.ticket).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::proto::chain::NewCall;

    #[test]
    fn a_call_holds_up_other_sessions_while_it_has_a_turn_that_they_share() {
        for is_shared in [false, true] {
            let turns = TurnQueue::new("Chat", false, is_shared);
            let [first, second] =
                [1, 2].map(|session| Arc::new(ServedCall::new(NewCall { session, id: Some(1), ..NewCall::default() })));
            let turn = turns.enter(&first, None).now_or_never().unwrap().unwrap();
            assert!(turns.enter(&second, None).now_or_never().is_none());
            assert_eq!((first.holds_up_sessions(), second.holds_up_sessions()), (is_shared, false));
            drop(turn);
            let _turn = turns.enter(&second, None).now_or_never().unwrap().unwrap();
            assert_eq!((first.holds_up_sessions(), second.holds_up_sessions()), (false, is_shared));
        }
    }
}
