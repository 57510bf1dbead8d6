//! `MemoryPool`: a bound on the memory of all sessions of one server together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A session does not report smaller changes than this, so that small calls cost nothing.
const STEP: usize = 4 * 1024;

/// Bounds what the other sides can make several sessions hold together: the sum of what counts against
/// [`Config::session_memory`](crate::Config::session_memory) in each, and of results and long items that wait to be
/// sent. Cheap to clone; all clones are one pool.
///
/// When the sum is at the bound, a call or payload that would take a session to the average of all sessions, or above
/// it, fails with `RESOURCE_EXHAUSTED`, as one beyond the session's own bound does. A smaller one is accepted, so that
/// light sessions notice nothing of heavy ones. What is accepted and what cannot be refused may still raise the sum.
/// When [`Self::is_beyond`] returns true, the program that runs the sessions closes the heaviest, as a server does.
///
/// The sum is exact up to 4 KiB a session, and up to what other threads accept at the same moment.
#[derive(Clone, Debug)]
pub struct MemoryPool {
    sums: Arc<Sums>,
}

#[derive(Debug)]
struct Sums {
    limit: usize,
    held: AtomicUsize,
    sessions: AtomicUsize,
}

impl MemoryPool {
    /// A pool of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self { sums: Arc::new(Sums { limit, held: AtomicUsize::new(0), sessions: AtomicUsize::new(0) }) }
    }

    /// The bound, in bytes.
    pub fn limit(&self) -> usize {
        self.sums.limit
    }

    /// Bytes that the sessions hold together.
    pub fn held(&self) -> usize {
        self.sums.held.load(Ordering::Relaxed)
    }

    /// The number of sessions that have not ended.
    pub fn sessions(&self) -> usize {
        self.sums.sessions.load(Ordering::Relaxed)
    }

    /// Whether the sessions hold more than the bound and a sixteenth of it, although the pool grants no more to heavier
    /// sessions.
    pub fn is_beyond(&self) -> bool {
        let limit = self.limit();
        self.held() > limit.saturating_add(limit / 16)
    }
}

/// One session's part of a pool. Dropping it gives the part back.
#[derive(Debug)]
pub(super) struct Share {
    pool: MemoryPool,
    /// Bytes that were last reported to the pool.
    counted: usize,
}

impl Share {
    pub(super) fn new(pool: MemoryPool) -> Self {
        pool.sums.sessions.fetch_add(1, Ordering::Relaxed);
        Self { pool, counted: 0 }
    }

    pub(super) fn limit(&self) -> usize {
        self.pool.limit()
    }

    /// Bytes that all sessions hold together.
    pub(super) fn pool_held(&self) -> usize {
        self.pool.held()
    }

    /// The session holds `held` bytes now, which is reported if the change is large enough. True if more is reported
    /// than the pool has room for.
    #[inline]
    pub(super) fn count(&mut self, held: usize) -> bool {
        let is_large = self.counted.abs_diff(held) >= STEP || (held == 0 && self.counted > 0);
        is_large && self.report(held)
    }

    fn report(&mut self, held: usize) -> bool {
        let grows = held > self.counted;
        self.settle(held);
        grows && self.pool.held() > self.limit()
    }

    /// Reports `held` bytes, however small the change.
    pub(super) fn settle(&mut self, held: usize) {
        let sum = &self.pool.sums.held;
        if held > self.counted {
            sum.fetch_add(held - self.counted, Ordering::Relaxed);
        } else if held < self.counted {
            sum.fetch_sub(self.counted - held, Ordering::Relaxed);
        }
        self.counted = held;
    }

    /// Whether there is room in the pool for a session that holds `held` bytes.
    #[inline]
    pub(super) fn has_room(&self, held: usize) -> bool {
        let others = self.pool.held().saturating_sub(self.counted);
        others.saturating_add(held) <= self.limit()
    }

    /// Whether a session that holds `held` bytes is refused `more`: the pool has no room for them, and the session
    /// would be at the average or above it.
    pub(super) fn is_full(&mut self, held: usize, more: usize) -> bool {
        if self.has_room(held.saturating_add(more)) {
            return false;
        }
        self.settle(held);
        held.saturating_add(more) >= self.pool.held() / self.pool.sessions().max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.settle(0);
        self.pool.sums.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_not_reported_and_everything_is_given_back() {
        let pool = MemoryPool::new(1 << 20);
        let (mut one, mut other) = (Share::new(pool.clone()), Share::new(pool.clone()));
        one.count(STEP - 1);
        assert_eq!(pool.held(), 0);
        one.count(STEP);
        other.count(3 * STEP);
        one.count(STEP + 1);
        assert_eq!((pool.held(), pool.sessions()), (4 * STEP, 2));
        one.count(0);
        assert_eq!(pool.held(), 3 * STEP);
        drop(other);
        assert_eq!((pool.held(), pool.sessions()), (0, 1));
    }

    #[test]
    fn only_sessions_at_the_average_are_refused() {
        let pool = MemoryPool::new(100 * STEP);
        let (mut heavy, mut light) = (Share::new(pool.clone()), Share::new(pool.clone()));
        assert!(!heavy.is_full(99 * STEP, STEP), "it fits to the byte");
        assert!(!heavy.count(99 * STEP));
        assert!(heavy.is_full(99 * STEP, STEP + 1));
        assert!(!light.is_full(2 * STEP, 20 * STEP), "it would hold less than the average");
        assert!(light.is_full(2 * STEP, 60 * STEP));
        assert!(!light.is_full(0, 20 * STEP));
        assert!(light.count(5 * STEP), "there was no room for it");
        assert!(!pool.is_beyond());
        // An amount that cannot be refused.
        heavy.count(110 * STEP);
        assert!(pool.is_beyond());
        drop(heavy);
        assert!(light.is_full(5 * STEP, 96 * STEP), "alone it has all there is");
    }
}
