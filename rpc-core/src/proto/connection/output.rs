//! `Output`: what a connection has for its shell, until the shell takes it.

use std::{collections::VecDeque, task::Waker};

use super::{Charges, Event, state::Released};
use crate::proto::shrink::{trim_line, trim_list};

/// What the shell takes after it has given input. User code is behind wakers, so the shell wakes and drops them outside
/// any lock.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) events: VecDeque<Event>,
    /// Tasks that can go on.
    pub(super) wakes: Vec<Waker>,
    /// Wakers that wake no task any more, to be dropped.
    pub(super) stale_wakers: Vec<Waker>,
    /// The parts of the budgets that senders held and may hold again.
    pub(super) released: Released,
}

impl Output {
    /// Frees memory that a busy time needed.
    pub(super) fn trim(&mut self) {
        trim_line(&mut self.events);
        trim_list(&mut self.wakes);
    }

    /// Puts an event before the shell.
    #[inline]
    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Gives back what a sender holds of the budgets for one frame.
    #[inline]
    pub(super) fn release(&mut self, charges: Charges) {
        self.released.room += charges.room as usize;
        self.released.transfers += charges.transfers as usize;
        self.released.arguments += charges.arguments as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_of_several_frames_add_up() {
        let mut output = Output::default();
        output.release(Charges { room: 1, transfers: 2, arguments: 3 });
        output.release(Charges { room: 10, transfers: 20, arguments: 30 });
        assert_eq!(output.released, Released { room: 11, transfers: 22, arguments: 33 });
    }
}
