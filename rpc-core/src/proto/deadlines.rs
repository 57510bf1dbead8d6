//! A queue of deadlines that are removed lazily, because most calls end long before their deadline.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Instant,
};

/// Deadlines with keys. An entry is not removed when its call ends: when it comes up, or when the queue is compacted,
/// the owner says whether it still counts.
#[derive(Debug)]
pub(crate) struct Deadlines<K: Ord> {
    /// Deadlines that came in order, as nearly all do if most calls have the same timeout.
    line: VecDeque<(Instant, K)>,
    /// All other deadlines.
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    /// The number of entries at which the queue is compacted.
    compact_at: usize,
}

const MIN_COMPACT: usize = 256;

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) fn new() -> Self {
        Self { line: VecDeque::new(), heap: BinaryHeap::new(), compact_at: MIN_COMPACT }
    }

    /// Adds a deadline. `is_live` is asked about old entries from time to time, so that the queue stays in
    /// proportion to what is live, whatever the rate of calls.
    pub(crate) fn push(&mut self, at: Instant, key: K, is_live: impl Fn(Instant, K) -> bool) {
        if self.len() >= self.compact_at {
            self.line.retain(|(at, key)| is_live(*at, *key));
            self.heap.retain(|Reverse((at, key))| is_live(*at, *key));
            self.compact_at = (self.len() * 2).max(MIN_COMPACT);
        }
        if self.line.back().is_none_or(|(last, _)| *last <= at) {
            self.line.push_back((at, key));
        } else {
            self.heap.push(Reverse((at, key)));
        }
    }

    /// The next deadline that has come, if any.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let next = self.next().filter(|next| *next <= now)?;
        if self.line.front().is_some_and(|(at, _)| *at == next) {
            self.line.pop_front()
        } else {
            self.heap.pop().map(|Reverse(entry)| entry)
        }
    }

    /// When the next deadline comes. Dead entries may make this earlier than needed.
    pub(crate) fn next(&self) -> Option<Instant> {
        let first = self.line.front().map(|(at, _)| *at);
        first.into_iter().chain(self.heap.peek().map(|Reverse((at, _))| *at)).min()
    }

    pub(crate) fn clear(&mut self) {
        self.line.clear();
        self.heap.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len() + self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[test]
    fn pops_in_order_and_only_what_is_due() {
        let start = Instant::now();
        let mut queue = Deadlines::new();
        for ms in [30_u64, 10, 20] {
            queue.push(start + Duration::from_millis(ms), ms, |_, _| true);
        }
        assert_eq!(queue.next(), Some(start + Duration::from_millis(10)));
        let now = start + Duration::from_millis(20);
        let mut due = || queue.pop_due(now).map(|(_, key)| key);
        assert_eq!([due(), due(), due()], [Some(10), Some(20), None]);
    }

    #[test]
    fn stays_in_proportion_to_what_is_live() {
        let start = Instant::now();
        let mut queue = Deadlines::new();
        let newest = Cell::new(0_u64);
        for key in 0..100_000 {
            newest.set(key);
            queue.push(start, key, |_, old| old + 10 > newest.get());
            assert!(queue.len() <= MIN_COMPACT);
        }
    }
}
