//! Panics of users' code, which end here.

use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::future::BoxFuture;

/// Users' code has panicked. The panic hook has logged the panic's payload, which is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs users' code and catches its panic. Users may panic with any value, so the drop of the payload, which runs here,
/// may panic as well; that panic is caught too.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        if let Err(worse) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            // The drop of this second payload could panic as well, and so on. A leak does less harm.
            mem::forget(worse);
        }
        Panicked
    })
}

/// Drops a user's value. If the drop panics, an error in the log names the value.
pub(crate) fn let_go<T>(value: T, what: &str) {
    if catch(move || drop(value)).is_err() {
        tracing::error!("{what} panicked while it was dropped");
    }
}

/// Wakes all wakers in order. A waker belongs to the executor of the task that waits; if one waker panics, the others
/// are woken all the same.
#[inline]
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    // Most calls pass no wakers.
    if !wakers.is_empty() {
        wake_each(wakers);
    }
}

fn wake_each(wakers: &mut Vec<Waker>) {
    // Popping wakers is cheaper than draining them, and there is mostly one.
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

/// A user's future. A panic of the future, or of its drop, becomes an error.
pub(crate) struct Caught<'a, R> {
    future: Option<BoxFuture<'a, R>>,
    /// The name of the future in messages.
    what: &'static str,
}

impl<'a, R> Caught<'a, R> {
    /// `make` makes the future. A panic of `make` becomes an error too.
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
