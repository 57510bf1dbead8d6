//! `OnewayCounts`: one-way calls by depth, counted since the session began.

/// One-way calls of one depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnewayCount {
    pub(super) count: u64,
    /// The bytes that the arguments of these calls count against `Config::max_arguments`.
    pub(super) bytes: u64,
}

/// The counts of all depths up to a limit. Few sessions have one-way calls at more than one depth, so there is memory
/// for the depths at which there was one.
#[derive(Debug, Default)]
pub(super) struct OnewayCounts {
    /// The number of depths that there are.
    depths: usize,
    counts: Vec<OnewayCount>,
}

impl OnewayCounts {
    /// For calls of up to this depth.
    pub(super) fn new(depth: u32) -> Self {
        Self { depths: depth as usize + 1, counts: Vec::new() }
    }

    /// The count of a depth; `None` if the depth is beyond the limit.
    #[inline]
    pub(super) fn at(&mut self, depth: u32) -> Option<&mut OnewayCount> {
        let index = depth as usize;
        if index >= self.counts.len() {
            self.grow(index);
        }
        self.counts.get_mut(index)
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        if index < self.depths {
            self.counts.reserve_exact(index + 1 - self.counts.len());
            self.counts.resize(index + 1, OnewayCount::default());
        }
    }

    /// The count of a depth, which is zero if there was no call.
    pub(super) fn of(&self, depth: u32) -> OnewayCount {
        self.counts.get(depth as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory_for_the_depths_that_are_used() {
        let mut counts = OnewayCounts::new(16);
        assert_eq!((counts.counts.capacity(), counts.of(3)), (0, OnewayCount::default()));
        counts.at(0).unwrap().count += 1;
        assert_eq!(counts.counts.capacity(), 1);
        counts.at(16).unwrap().bytes += 7;
        assert_eq!((counts.of(0).count, counts.of(16).bytes), (1, 7));
        assert!(counts.at(17).is_none() && counts.at(u32::MAX).is_none());
    }
}
