//! `Missed`: how many calls of each method were dropped since the last that was sent.

/// Counts by method. A session has dropped calls of few methods, if any.
#[derive(Debug, Default)]
pub(super) struct Missed(Vec<(u32, u64)>);

impl Missed {
    /// A call of this method was dropped.
    pub(super) fn note(&mut self, method: u32) {
        match self.0.iter_mut().find(|(other, _)| *other == method) {
            Some((_, count)) => *count += 1,
            None => self.0.push((method, 1)),
        }
    }

    /// A call of this method goes out, and tells of those that were dropped.
    pub(super) fn take(&mut self, method: u32) -> u64 {
        let index = self.0.iter().position(|(other, _)| *other == method);
        index.map_or(0, |index| self.0.swap_remove(index).1)
    }
}
