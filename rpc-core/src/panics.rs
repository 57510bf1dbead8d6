//! Panics of users' code, and how far they go: here.

use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::future::BoxFuture;

/// Users' code has panicked. What it panicked with is gone: it is for the log of the panic hook alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs users' code, whose panic goes no further. Nor does that of the panic's own payload: users may panic with any
/// value, and its drop runs here.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        if let Err(worse) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            // There is no end to this, and a leak harms less.
            mem::forget(worse);
        }
        Panicked
    })
}

/// Drops a user's value. An error in the log says which it was if that panics.
pub(crate) fn let_go<T>(value: T, what: &str) {
    if catch(move || drop(value)).is_err() {
        tracing::error!("{what} panicked while it was dropped");
    }
}

/// Wakes all of them in order. A waker belongs to the executor of the task that waits, and a panic of one keeps none of
/// the others from being woken.
#[inline]
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    // Mostly there are none.
    if wakers.is_empty() {
        return;
    }
    // Taking the last of them is cheaper than draining, and mostly there is one.
    wakers.reverse();
    let mut wake = || {
        while let Some(waker) = wakers.pop() {
            waker.wake();
        }
    };
    while catch(&mut wake).is_err() {
        tracing::error!("the waker of a call panicked");
    }
}

/// A user's future whose panics, and those of its drop, are an error.
pub(crate) struct Caught<'a, R> {
    future: Option<BoxFuture<'a, R>>,
    /// What it is, for people.
    what: &'static str,
}

impl<'a, R> Caught<'a, R> {
    /// `make` makes the future, and may panic as well.
    pub(crate) fn new(what: &'static str, make: impl FnOnce() -> BoxFuture<'a, R>) -> Self {
        Self { future: catch(make).ok(), what }
    }

    fn discard(&mut self) {
        if let Some(future) = self.future.take() {
            let_go(future, self.what);
        }
    }
}

impl<R> Future for Caught<'_, R> {
    type Output = Result<R, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(Err(Panicked)) };
        let polled = match catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Ok(result),
            Err(panicked) => Err(panicked),
        };
        self.discard();
        Poll::Ready(polled)
    }
}

impl<R> Drop for Caught<'_, R> {
    fn drop(&mut self) {
        self.discard();
    }
}

impl<R> fmt::Debug for Caught<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caught").field("what", &self.what).finish_non_exhaustive()
    }
}
