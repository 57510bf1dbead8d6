//! The call whose handler is being polled on this thread. Calls made in the handler inherit from it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use crate::{proto::ServedCall, wire::MetadataPairs};

thread_local! {
    static CURRENT: RefCell<Option<CurrentCall>> = const { RefCell::new(None) };
    /// The session whose `opened` hooks are being polled; 0 for none.
    static OPENING: Cell<u64> = const { Cell::new(0) };
}

/// A call being served, with the changes that interceptors have made.
#[derive(Clone, Debug)]
pub(crate) struct CurrentCall {
    pub(crate) call: Arc<ServedCall>,
    pub(crate) extras: Option<Arc<Extras>>,
}

/// The changes that interceptors have made to a call that came in.
#[derive(Debug)]
pub(crate) struct Extras {
    pub(crate) metadata: MetadataPairs,
    pub(crate) deadline: Option<Instant>,
    pub(crate) extensions: http::Extensions,
}

impl CurrentCall {
    pub(crate) fn new(call: Arc<ServedCall>) -> Self {
        Self { call, extras: None }
    }

    pub(crate) fn metadata(&self) -> &MetadataPairs {
        self.extras.as_ref().map_or(&self.call.metadata, |extras| &extras.metadata)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.extras.as_ref().map_or(self.call.deadline, |extras| extras.deadline)
    }

    pub(crate) fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.extras.as_ref().and_then(|extras| extras.extensions.get())
    }
}

/// The call that is being served on this thread right now.
pub(crate) fn current() -> Option<CurrentCall> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `f` as a part of `call`; calls made in it belong to its chain.
pub(crate) fn enter<R>(serving: &CurrentCall, f: impl FnOnce() -> R) -> R {
    /// Restores the previous call, also when `f` panics.
    struct Restore(Option<CurrentCall>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(|current| std::mem::swap(current, &mut self.0));
        }
    }
    let _restore = Restore(CURRENT.replace(Some(serving.clone())));
    f()
}

/// Runs `f` as a part of the opening of a session.
pub(crate) fn enter_opening<R>(session: u64, f: impl FnOnce() -> R) -> R {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            OPENING.set(self.0);
        }
    }
    let _restore = Restore(OPENING.replace(session));
    f()
}

/// Whether this thread is running a hook or factory that opens the session.
pub(crate) fn is_opening(session: u64) -> bool {
    OPENING.get() == session
}

pin_project_lite::pin_project! {
    /// A future that belongs to a call that is being served, wherever the future is polled: calls that are made in it
    /// inherit the deadline and the place in the chain. [`crate::Context::scope`] makes it. It does not borrow from the
    /// context, so that it can be spawned.
    ///
    /// Dropping it drops the future inside and does nothing else.
    #[must_use = "futures do nothing unless polled"]
    pub struct Scope<F> {
        serving: CurrentCall,
        #[pin]
        future: F,
    }
}

impl<F> Scope<F> {
    pub(crate) fn new(serving: CurrentCall, future: F) -> Self {
        Self { serving, future }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        enter(this.serving, || this.future.poll(cx))
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("call", &self.serving.call).finish_non_exhaustive()
    }
}
