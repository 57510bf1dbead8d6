//! Permits: how many calls of each depth may be under way, counted by both ends in the same way.

/// With fewer permits than this in all, a caller misses each.
const FEW: u32 = 64;

/// Counts live calls by depth of nesting.
///
/// A call of depth `d` is admitted while `n_0 + Σ_{d ≥ 1} max(0, n_d − nested)` stays within `general`, the new
/// call included. Every depth has a reserve of its own: one depth could use up a reserve that all depths share, and
/// then the calls that would free it could not start.
#[derive(Debug)]
pub(crate) struct Permits {
    general: u32,
    nested: u32,
    max_depth: u32,
    /// Live calls of the depths up to the greatest one at which there was a call.
    live: Vec<u32>,
    /// The sum in the formula above.
    used: u32,
}

impl Permits {
    pub(crate) fn new(general: u32, nested: u32, max_depth: u32) -> Self {
        Self { general, nested, max_depth, live: Vec::new(), used: 0 }
    }

    /// Replaces the limits, when the peer has announced its own. Live calls stay counted.
    pub(crate) fn set_limits(&mut self, general: u32, nested: u32, max_depth: u32) {
        self.general = general;
        self.nested = nested;
        self.max_depth = max_depth;
        self.live.truncate(max_depth as usize + 1);
        self.used = self.live.iter().enumerate().map(|(depth, &n)| self.weight(depth, n)).sum();
    }

    pub(crate) fn admits(&self, depth: u32) -> bool {
        let n = self.live.get(depth as usize).copied().unwrap_or(0);
        depth <= self.max_depth && (!self.counts_generally(depth, n) || self.used < self.general)
    }

    /// Takes a permit if there is one.
    pub(crate) fn try_acquire(&mut self, depth: u32) -> bool {
        let admitted = self.admits(depth);
        if admitted {
            if self.live.len() <= depth as usize {
                self.grow(depth);
            }
            let n = self.live[depth as usize];
            self.used += u32::from(self.counts_generally(depth, n));
            self.live[depth as usize] = n + 1;
        }
        admitted
    }

    /// Few sessions have calls at more than one depth.
    #[cold]
    fn grow(&mut self, depth: u32) {
        let len = depth as usize + 1;
        self.live.reserve_exact(len - self.live.len());
        self.live.resize(len, 0);
    }

    pub(crate) fn release(&mut self, depth: u32) {
        let Some(n) = self.live.get_mut(depth as usize) else { return };
        debug_assert!(*n > 0, "a permit was released that no call held");
        *n = n.saturating_sub(1);
        let left = *n;
        self.used -= u32::from(self.counts_generally(depth, left));
    }

    /// Whether the permits are few, or those of the live calls and `more` others are half of the general limit.
    pub(crate) fn is_half_used(&self, more: u32) -> bool {
        self.general < FEW || self.used.saturating_add(more) >= self.general / 2
    }

    pub(crate) fn live(&self) -> u32 {
        self.live.iter().sum()
    }

    /// Whether the call that comes when `n` of its depth are live takes from the general limit.
    fn counts_generally(&self, depth: u32, n: u32) -> bool {
        depth == 0 || n >= self.nested
    }

    fn weight(&self, depth: usize, n: u32) -> u32 {
        if depth == 0 { n } else { n.saturating_sub(self.nested) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_depth_has_a_reserve_of_its_own() {
        let mut permits = Permits::new(1, 1, 3);
        assert!(permits.try_acquire(0));
        assert!(!permits.try_acquire(0), "the general limit is used up");
        for depth in 1..=3 {
            assert!(permits.try_acquire(depth), "depth {depth} has its reserve");
            assert!(!permits.try_acquire(depth), "and no more than that");
        }
        assert!(!permits.admits(4), "deeper than the limit is never admitted");
        permits.release(0);
        assert!(permits.try_acquire(2), "the general permit serves any depth");
        assert!(!permits.try_acquire(0));
        for depth in [2, 2, 1, 3] {
            permits.release(depth);
        }
        assert_eq!((permits.live(), permits.used), (0, 0));
    }

    #[test]
    fn there_is_memory_for_the_depths_that_are_used() {
        let mut permits = Permits::new(9, 1, 16);
        assert_eq!((permits.live.capacity(), permits.live()), (0, 0));
        assert!(permits.try_acquire(0) && permits.try_acquire(16) && !permits.try_acquire(17));
        assert_eq!((permits.live.capacity(), permits.live()), (17, 2));
        permits.set_limits(9, 1, 3);
        assert!(!permits.admits(4));
    }

    #[test]
    fn new_limits_recount_what_is_live() {
        let mut permits = Permits::new(1, 4, 2);
        for _ in 0..4 {
            assert!(permits.try_acquire(1));
        }
        // The deepest calls of the new limits count as well.
        permits.set_limits(10, 1, 1);
        assert_eq!(permits.used, 3);
        for _ in 0..4 {
            permits.release(1);
        }
        assert_eq!(permits.used, 0);
    }
}
