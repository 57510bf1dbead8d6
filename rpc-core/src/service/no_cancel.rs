//! `NoCancelLimit`: bounds the number of handlers that outlive their callers and sessions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts the handlers of `no_cancel` methods of one hosting, over all its sessions and beyond their ends.
#[derive(Clone, Debug, Default)]
pub(super) struct NoCancelLimit(Arc<AtomicUsize>);

/// The right of one handler to run. Dropping the permit returns it.
#[derive(Debug)]
pub(crate) struct NoCancelPermit(Arc<AtomicUsize>);

impl NoCancelLimit {
    /// A permit for one more handler; `None` if `most` handlers have one already.
    pub(super) fn acquire(&self, most: usize) -> Option<NoCancelPermit> {
        let more = |running| if running < most { Some(running + 1) } else { None };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(NoCancelPermit(self.0.clone()))
    }
}

impl Drop for NoCancelPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
