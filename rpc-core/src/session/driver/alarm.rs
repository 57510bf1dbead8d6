//! `Alarm`: the timer of a session, which wakes the driver when the connection has to act next.

use std::{
    pin::{Pin, pin},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use tokio::{task::coop::unconstrained, time::Sleep};

/// A timer that is set anew after each round, mostly for a later time.
pub(super) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; `None` if nothing waits for it.
    armed: Option<Instant>,
    /// The task that the timer wakes.
    wakes: Option<Waker>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(tokio::time::sleep(Duration::ZERO)), armed: None, wakes: None }
    }

    /// Wakes the task at `next`, or somewhat before. True if that time has come already. `now` may be a little behind.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant, next: Option<Instant>) -> bool {
        let Some(next) = next else {
            self.armed = None;
            return false;
        };
        // A timer that fires too early does no harm, and most deadlines only move away.
        match self.armed {
            Some(armed) if armed <= next => {
                let wakes_this = self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                if wakes_this && now < armed {
                    return false;
                }
            }
            _ => {
                self.timer.as_mut().reset(next.into());
                self.armed = Some(next);
            }
        }
        self.wakes = Some(cx.waker().clone());
        // A task that has used up its budget is woken at once, and the timer would not learn which task to wake later.
        let fired = pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }
}
