//! What has happened, counted.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The counts of all cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Calls that were made, and how they ended.
    pub(crate) begun: AtomicUsize,
    pub(crate) succeeded: AtomicUsize,
    pub(crate) faults: AtomicUsize,
    /// By a deadline of the call's own or its caller's.
    pub(crate) late: AtomicUsize,
    /// By `CALL_TIMEOUT`.
    pub(crate) stuck: AtomicUsize,
    pub(crate) would_deadlock: AtomicUsize,
    pub(crate) exhausted: AtomicUsize,
    /// Dropped by their callers, on purpose.
    pub(crate) given_up: AtomicUsize,
    /// Handlers that ran.
    pub(crate) ran: AtomicUsize,
    /// Those whose object was serving their chain.
    pub(crate) let_in: AtomicUsize,
}

pub(crate) fn count(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}
