//! `Waiting`: the calls of a queue, in their order, and which of them make room for others.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::QueuedCall;
use crate::proto::shrink::trim_line;

/// Several long calls at once are no sign that their receiver does not keep up: before it is judged by their bytes, it
/// has this long for the first of them.
const BURST: Duration = Duration::from_secs(1);

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

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) calls: usize,
    pub(super) bytes: usize,
    /// Bytes of calls that end the session before they are dropped, for as long as none of them has waited for
    /// [`BURST`].
    pub(super) burst: usize,
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

impl Entry {
    /// Whether the call has waited for longer than it may.
    fn is_late(&self, now: Instant) -> bool {
        let ttl = self.call.ttl.filter(|_| self.call.may_be_dropped());
        ttl.is_some_and(|ttl| now.saturating_duration_since(self.since) > ttl)
    }
}

impl Waiting {
    /// Takes a call in, within these limits. Gives each call that makes room for it to `dropped`. A call that finds no
    /// place costs no other call its own.
    pub(super) fn place(
        &mut self,
        now: Instant,
        call: &Arc<QueuedCall>,
        limits: Limits,
        mut dropped: impl FnMut(&QueuedCall),
    ) -> Place {
        let older = self.older(call);
        let mut leaving: Vec<usize> = older.into_iter().collect();
        if !self.fits(call, &leaving, limits) {
            let late = (0..self.entries.len()).filter(|index| self.entries[*index].is_late(now));
            leaving.extend(late.filter(|index| Some(*index) != older));
            let victims = (0..self.entries.len()).filter(|index| self.entries[*index].call.makes_room_for(call));
            for victim in victims {
                if self.fits(call, &leaving, limits) {
                    break;
                }
                if !leaving.contains(&victim) {
                    leaving.push(victim);
                }
            }
        }
        if !self.fits(call, &leaving, limits) {
            let held = self.bytes + call.size();
            let is_patient = self.oldest_kept().is_none_or(|since| now.saturating_duration_since(since) < BURST);
            match call.ends_session() {
                true if held <= limits.burst && is_patient => leaving.clear(),
                true => return Place::Beyond { held },
                false => return Place::None,
            }
        }
        if let ([index], Some(_)) = (&leaving[..], older) {
            if self.entries.range(*index..).all(|entry| entry.call.conflates()) {
                self.replace(*index, now, call);
                return Place::Found;
            }
        }
        leaving.sort_unstable();
        for index in leaving.into_iter().rev() {
            if let Some(left) = self.remove(index).filter(|_| Some(index) != older) {
                dropped(&left);
            }
        }
        self.push(now, call);
        Place::Found
    }

    /// The call that this one replaces.
    fn older(&self, call: &QueuedCall) -> Option<usize> {
        if !call.conflates() {
            return None;
        }
        self.entries.iter().rposition(|entry| entry.call.is_replaced_by(call))
    }

    /// Whether there is a place for a call once these have left. One call may always wait.
    fn fits(&self, call: &QueuedCall, leaving: &[usize], limits: Limits) -> bool {
        let left = leaving.iter().map(|index| &self.entries[*index].call);
        let (bytes, counted) = left.fold((self.bytes, self.counted), |(bytes, counted), left| {
            (bytes - left.size(), counted - usize::from(!left.ends_session()))
        });
        let is_full = bytes + call.size() > limits.bytes || !call.ends_session() && counted >= limits.calls;
        !is_full || leaving.len() == self.entries.len()
    }

    /// Puts a call in the place of an older one.
    fn replace(&mut self, index: usize, now: Instant, call: &Arc<QueuedCall>) {
        let (added, entry) = (added(call), &mut self.entries[index]);
        self.bytes = self.bytes - entry.call.size() + call.size();
        self.added = self.added - entry.added + added;
        (entry.call, entry.since, entry.added) = (call.clone(), now, added);
    }

    fn push(&mut self, now: Instant, call: &Arc<QueuedCall>) {
        self.bytes += call.size();
        self.counted += usize::from(!call.ends_session());
        self.last += 1;
        let added = added(call);
        self.added += added;
        self.entries.push_back(Entry { number: self.last, call: call.clone(), since: now, added });
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
        if self.entries.front()?.is_late(now) { self.pop() } else { None }
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
