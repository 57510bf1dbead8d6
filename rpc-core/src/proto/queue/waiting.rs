//! `Waiting`: the calls of a queue, in their order, and which of them make room for others.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::QueuedCall;
use crate::{overflow::Overflow, proto::shrink::trim_line};

/// Calls that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    entries: VecDeque<Entry>,
    /// What all of them count.
    bytes: usize,
    /// About the memory that this queue adds: bytes that several queues share count once in all.
    added: usize,
    /// How many of them count against the limit of calls.
    counted: usize,
    /// The number of the last call that was taken in.
    last: u64,
    /// The number of the last call that has left, with all before it.
    gone: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    call: Arc<QueuedCall>,
    /// Since when the call waits.
    since: Instant,
    added: usize,
}

/// Whether there is a place for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The call waits.
    Found,
    /// The queue is full.
    None,
    /// The queue is full of what may not be dropped: this is what would wait.
    Beyond { held: usize },
}

impl Waiting {
    /// Takes a call in, within these limits of calls and bytes. Gives each call that makes room for it to `dropped`.
    pub(super) fn place(
        &mut self,
        now: Instant,
        call: &Arc<QueuedCall>,
        (calls, bytes): (usize, usize),
        mut dropped: impl FnMut(&QueuedCall),
    ) -> Place {
        if call.conflates() && self.replace(now, call, bytes) {
            return Place::Found;
        }
        loop {
            let held = self.bytes + call.size();
            let is_full = held > bytes || !call.ends_session() && self.counted >= calls;
            // One call may always wait.
            if !is_full || self.entries.is_empty() {
                self.push(now, call);
                return Place::Found;
            }
            let room = match call.overflow {
                Overflow::Disconnect => return Place::Beyond { held },
                Overflow::DropOldest | Overflow::Conflate => self.remove_oldest(call.overflow),
                Overflow::DropNewest | Overflow::Wait => None,
            };
            match room {
                Some(oldest) => dropped(&oldest),
                None => return Place::None,
            }
        }
    }

    /// Puts a call in the place of an older one with the same key, if all behind that may be replaced as well.
    /// Otherwise the older one goes, and the newer one has to find a place at the end. True if it has a place.
    fn replace(&mut self, now: Instant, call: &Arc<QueuedCall>, bytes: usize) -> bool {
        let Some(index) = self.entries.iter().rposition(|entry| entry.call.is_replaced_by(call)) else { return false };
        let held = self.bytes - self.entries[index].call.size() + call.size();
        let fits = held <= bytes || self.entries.len() == 1;
        if fits && self.entries.range(index..).all(|entry| entry.call.conflates()) {
            let (added, entry) = (added(call), &mut self.entries[index]);
            self.bytes = held;
            self.added = self.added - entry.added + added;
            (entry.call, entry.since, entry.added) = (call.clone(), now, added);
            return true;
        }
        self.remove(index);
        false
    }

    fn push(&mut self, now: Instant, call: &Arc<QueuedCall>) {
        self.bytes += call.size();
        self.counted += usize::from(!call.ends_session());
        self.last += 1;
        let added = added(call);
        self.added += added;
        self.entries.push_back(Entry { number: self.last, call: call.clone(), since: now, added });
    }

    /// Removes the oldest call with this policy.
    fn remove_oldest(&mut self, overflow: Overflow) -> Option<Arc<QueuedCall>> {
        let index = self.entries.iter().position(|entry| entry.call.overflow == overflow)?;
        self.remove(index)
    }

    fn remove(&mut self, index: usize) -> Option<Arc<QueuedCall>> {
        let Entry { call, added, .. } = self.entries.remove(index)?;
        self.bytes -= call.size();
        self.added -= added;
        self.counted -= usize::from(!call.ends_session());
        // What is before the next entry has left.
        self.gone = self.entries.front().map_or(self.last, |next| next.number - 1);
        Some(call)
    }

    /// Removes the first call if it has waited for longer than it may.
    pub(super) fn pop_late(&mut self, now: Instant) -> Option<Arc<QueuedCall>> {
        let Entry { call, since, .. } = self.entries.front()?;
        let is_late = call.may_be_dropped() && call.ttl.is_some_and(|ttl| now.saturating_duration_since(*since) > ttl);
        if is_late { self.pop() } else { None }
    }

    pub(super) fn front(&self) -> Option<&Arc<QueuedCall>> {
        self.entries.front().map(|entry| &entry.call)
    }

    pub(super) fn pop(&mut self) -> Option<Arc<QueuedCall>> {
        self.remove(0)
    }

    /// Since when the oldest call waits that must not wait for long.
    pub(super) fn oldest_kept(&self) -> Option<Instant> {
        self.entries.iter().find(|entry| entry.call.ends_session()).map(|entry| entry.since)
    }

    /// The calls that must not wait for long have waited since now.
    pub(super) fn restart(&mut self, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.call.ends_session()) {
            entry.since = now;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn added(&self) -> usize {
        self.added
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    pub(super) fn trim(&mut self) {
        trim_line(&mut self.entries);
    }

    /// Drops all calls, and gives their number.
    pub(super) fn clear(&mut self) -> usize {
        let entries = std::mem::take(&mut self.entries);
        (self.bytes, self.added, self.counted, self.gone) = (0, 0, 0, self.last);
        entries.len()
    }
}

/// What a queue adds by this call, which as many others hold already as it has handles.
fn added(call: &Arc<QueuedCall>) -> usize {
    call.size() / Arc::strong_count(call) + size_of::<Entry>()
}
