//! What the client has for the server: a count of what came, and a way to wait for the last one.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts down from what is expected.
#[derive(Debug, Default)]
pub(crate) struct Host {
    missing: AtomicU64,
    done: Notify,
}

impl Host {
    /// This many messages will come; to be said before the server is asked for them.
    pub(crate) fn expect(&self, count: u64) {
        self.missing.store(count, Ordering::Release);
    }

    /// One message has come.
    pub(crate) fn take(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Waits until all expected messages have come.
    pub(crate) async fn all(&self) {
        self.done.notified().await;
    }
}
