//! Results that keep the buffers alive that they were read into, until their callers take them.

use std::mem;

use bytes::Bytes;

use super::Connection;
use crate::{
    config::Config,
    proto::{CallKey, KeptBuffers, Outcome, slots::SlotState},
};

/// Results that are small parts of the buffers that they were read into, and had not been taken when they were looked
/// at last.
///
/// Callers are woken after each round of reading, and most of them have taken their results when the next round begins.
/// Results that are still there then are copied, if all that came since they were looked at last is too much to be
/// kept. Beyond that account only one round's packets are kept, which are about as many as the shell reads into its
/// buffers anyway. Each result is looked at once, and the list ends with the account.
#[derive(Debug)]
pub(super) struct KeptOutcomes {
    keys: Vec<CallKey>,
    buffers: KeptBuffers,
    /// A round of reading is over, and nothing has come since.
    is_round_over: bool,
}

impl KeptOutcomes {
    pub(super) fn new(config: &Config) -> Self {
        Self { keys: Vec::new(), buffers: KeptBuffers::new(config), is_round_over: false }
    }

    /// Notes the result of a call that keeps a buffer of this length.
    #[inline]
    pub(super) fn note(&mut self, key: CallKey, buffer: usize) {
        if buffer > 0 {
            self.keys.push(key);
            self.buffers.hold(buffer);
        }
    }

    /// The callers of all results are about to be woken.
    #[inline]
    pub(super) fn end_round(&mut self) {
        self.is_round_over = true;
    }

    /// Begins a round, if one is over. True if results that wait have to be copied first.
    #[inline]
    pub(super) fn begin_round(&mut self) -> bool {
        mem::take(&mut self.is_round_over) && self.buffers.is_exceeded()
    }
}

impl Connection {
    /// Copies the results out of their buffers whose callers have not come for them.
    pub(super) fn copy_kept_outcomes(&mut self) {
        let Self { kept_outcomes, calls, .. } = self;
        for key in kept_outcomes.keys.drain(..) {
            // Most callers have come, and their slots are free or belong to later calls.
            let Some(slot) = calls.slots.find_mut(key) else { continue };
            let SlotState::Resolved(Outcome::Value(bytes) | Outcome::Streaming(bytes, _) | Outcome::Fault(bytes)) =
                &mut slot.state
            else {
                continue;
            };
            *bytes = Bytes::copy_from_slice(bytes);
        }
        kept_outcomes.buffers.clear();
    }

    /// As [`Self::copy_kept_outcomes`], and frees the memory of the list.
    pub(super) fn trim_kept_outcomes(&mut self) {
        self.copy_kept_outcomes();
        self.kept_outcomes.keys = Vec::new();
    }
}
