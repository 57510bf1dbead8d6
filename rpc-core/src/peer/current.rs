//! The call whose handler is being polled on this thread: what calls made in it inherit.

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::proto::ServedCall;

thread_local! {
    static CURRENT: RefCell<Option<Arc<ServedCall>>> = const { RefCell::new(None) };
}

/// The call that is being served on this thread right now.
pub(crate) fn current() -> Option<Arc<ServedCall>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `f` as a part of `call`; calls made in it belong to its chain.
pub(crate) fn enter<R>(call: &Arc<ServedCall>, f: impl FnOnce() -> R) -> R {
    /// Puts back what was there before, also when `f` panics.
    struct Restore(Option<Arc<ServedCall>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(|current| std::mem::swap(current, &mut self.0));
        }
    }
    let _restore = Restore(CURRENT.replace(Some(call.clone())));
    f()
}

pin_project_lite::pin_project! {
    /// A future that belongs to a call being served, wherever it is polled: calls made in it inherit the deadline and the place
    /// in the chain. Made by [`crate::Context::scope`]; borrows nothing, so that it can be spawned.
    ///
    /// Dropping it drops the future inside and does nothing else.
    #[must_use = "futures do nothing unless polled"]
    pub struct Scope<F> {
        call: Arc<ServedCall>,
        #[pin]
        future: F,
    }
}

impl<F> Scope<F> {
    pub(crate) fn new(call: Arc<ServedCall>, future: F) -> Self {
        Self { call, future }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        enter(this.call, || this.future.poll(cx))
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("call", &self.call).finish_non_exhaustive()
    }
}
