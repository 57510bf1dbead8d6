//! Callers that wait for a permit: first come first served within a depth, deeper ones first.

use std::collections::VecDeque;

use super::{shrink::trim_line, slots::CallKey};

/// Calls that wait, by depth. Calls whose callers have given up stay in the queue until they reach its front or
/// outnumber the others.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    by_depth: Vec<VecDeque<CallKey>>,
    waiting: usize,
    gone: usize,
}

const MIN_COMPACT: usize = 64;

impl WaitQueue {
    pub(crate) fn push(&mut self, depth: u32, key: CallKey) {
        let depth = depth as usize;
        if self.by_depth.len() <= depth {
            self.by_depth.resize_with(depth + 1, VecDeque::new);
        }
        self.by_depth[depth].push_back(key);
        self.waiting += 1;
    }

    /// A call that was waiting has given up. `is_waiting` says which calls still wait.
    pub(crate) fn leave(&mut self, is_waiting: impl Fn(CallKey) -> bool) {
        self.waiting -= 1;
        self.gone += 1;
        if self.gone > self.waiting.max(MIN_COMPACT) {
            for line in &mut self.by_depth {
                line.retain(|key| is_waiting(*key));
            }
            self.gone = 0;
        }
    }

    /// Frees memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        if self.waiting == 0 {
            *self = Self::default();
        }
        self.by_depth.iter_mut().for_each(trim_line);
    }

    /// Takes permits with `try_acquire` for the calls that wait, deeper ones first. Puts the keys of the calls that got
    /// one into `granted`.
    pub(crate) fn grant(
        &mut self,
        is_waiting: impl Fn(CallKey) -> bool,
        mut try_acquire: impl FnMut(u32) -> bool,
        granted: &mut Vec<CallKey>,
    ) {
        if self.waiting == 0 {
            return;
        }
        for (depth, line) in self.by_depth.iter_mut().enumerate().rev() {
            while let Some(&key) = line.front() {
                if !is_waiting(key) {
                    line.pop_front();
                    self.gone = self.gone.saturating_sub(1);
                } else if try_acquire(u32::try_from(depth).unwrap_or(u32::MAX)) {
                    line.pop_front();
                    self.waiting -= 1;
                    granted.push(key);
                } else {
                    break;
                }
            }
        }
    }
}
