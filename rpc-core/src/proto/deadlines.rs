//! `Deadlines`: a queue of deadlines with lazy removal, because most calls end long before their deadlines.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    mem,
    time::{Duration, Instant},
};

use super::shrink::{trim_heap, trim_line};

/// Deadlines with a key each. Entries are not removed when their calls end: the owner checks whether an entry that is
/// due is live, and is asked about all entries when the queue is compacted.
#[derive(Debug)]
pub(crate) struct Deadlines<K: Ord> {
    /// Entries that were pushed in the order of their deadlines, as nearly all are if most calls have the same timeout.
    in_order: VecDeque<(Instant, K)>,
    /// All other entries.
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    /// The number of entries at which the queue is compacted.
    compact_at: usize,
}

const MIN_COMPACT: usize = 256;

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) fn new() -> Self {
        Self { in_order: VecDeque::new(), heap: BinaryHeap::new(), compact_at: MIN_COMPACT }
    }

    /// Adds a deadline. `is_live` is asked about all entries from time to time, so that the queue stays in proportion
    /// to the live entries at any rate of calls.
    pub(crate) fn push(&mut self, at: Instant, key: K, is_live: impl Fn(Instant, K) -> bool) {
        if self.len() >= self.compact_at {
            self.compact(is_live);
        }
        if self.in_order.back().is_none_or(|(last, _)| *last <= at) {
            self.in_order.push_back((at, key));
        } else {
            self.heap.push(Reverse((at, key)));
        }
    }

    /// Drops the entries that are not live.
    pub(crate) fn compact(&mut self, is_live: impl Fn(Instant, K) -> bool) {
        self.in_order.retain(|(at, key)| is_live(*at, *key));
        self.heap.retain(|Reverse((at, key))| is_live(*at, *key));
        self.compact_at = (self.len() * 2).max(MIN_COMPACT);
    }

    /// As [`Self::compact`], and frees memory that a busy time needed.
    pub(crate) fn trim(&mut self, is_live: impl Fn(Instant, K) -> bool) {
        self.compact(is_live);
        trim_line(&mut self.in_order);
        trim_heap(&mut self.heap);
    }

    /// Puts all deadlines off.
    pub(crate) fn put_off(&mut self, by: Duration) {
        let later = |at: Instant| at.checked_add(by).unwrap_or(at);
        self.in_order.iter_mut().for_each(|(at, _)| *at = later(*at));
        let heap = mem::take(&mut self.heap);
        self.heap = heap.into_iter().map(|Reverse((at, key))| Reverse((later(at), key))).collect();
    }

    /// Removes the next deadline that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let next = self.next().filter(|next| *next <= now)?;
        if self.in_order.front().is_some_and(|(at, _)| *at == next) {
            self.in_order.pop_front()
        } else {
            self.heap.pop().map(|Reverse(entry)| entry)
        }
    }

    /// When the next deadline is due. Dead entries may make this earlier than needed.
    pub(crate) fn next(&self) -> Option<Instant> {
        let first = self.in_order.front().map(|(at, _)| *at);
        first.into_iter().chain(self.heap.peek().map(|Reverse((at, _))| *at)).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.in_order.len() + self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn only_due_entries_are_popped_and_in_order() {
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
    fn all_deadlines_are_put_off_alike() {
        let (start, ms) = (Instant::now(), Duration::from_millis(1));
        let mut queue = Deadlines::new();
        for key in [3, 1, 2] {
            queue.push(start + ms * key, key, |_, _| true);
        }
        queue.put_off(ms * 10);
        let mut due = || queue.pop_due(start + ms * 12).map(|(_, key)| key);
        assert_eq!([due(), due(), due()], [Some(1), Some(2), None]);
    }

    #[test]
    fn the_queue_stays_in_proportion_to_live_entries() {
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
