//! `Behind`: calls that wait until those one-way calls have left the queue that were sent before them.

use std::collections::VecDeque;

use crate::proto::{CallKey, shrink::trim_line};

/// Callers that have given up stay in the line until they outnumber the others, or this many.
const MIN_COMPACT: usize = 64;

/// Calls in the order in which they began, each with the number of the last call of the queue before it.
#[derive(Debug, Default)]
pub(super) struct Behind {
    line: VecDeque<(u64, CallKey)>,
    gone: usize,
}

impl Behind {
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn push(&mut self, number: u64, key: CallKey) {
        self.line.push_back((number, key));
    }

    /// The next call that waits for no call beyond this number.
    pub(super) fn pop(&mut self, gone: u64) -> Option<CallKey> {
        let (number, _) = *self.line.front()?;
        if number <= gone { self.line.pop_front().map(|(_, key)| key) } else { None }
    }

    /// A call has given up. `is_behind` says which calls still wait.
    pub(super) fn leave(&mut self, is_behind: impl Fn(CallKey) -> bool) {
        self.gone += 1;
        if self.gone >= MIN_COMPACT.max(self.line.len() / 2) {
            self.line.retain(|(_, key)| is_behind(*key));
            self.gone = 0;
        }
    }

    pub(super) fn trim(&mut self) {
        trim_line(&mut self.line);
    }
}
