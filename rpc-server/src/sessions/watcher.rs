//! `Watcher`: what a stream of changes has told of each session, and what it has yet to tell.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    task::Waker,
};

use rpc_core::ConnectionError;

use super::state::Record;

/// A stream of changes.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// The number of the last session of whose opening the watcher has heard.
    heard: u64,
    /// Sessions that the watcher knows as open, and that have changed since, each once. There are never more of them
    /// than were open when the watcher last asked.
    changed: VecDeque<Arc<Record>>,
    /// The numbers of the sessions in `changed`.
    waiting: BTreeSet<u64>,
    /// The numbers of the sessions that the watcher knows as detached.
    away: BTreeSet<u64>,
    pub(super) waker: Option<Waker>,
}

/// What a watcher hears next.
pub(super) enum News {
    Opened(Arc<Record>),
    Detached(Arc<Record>, ConnectionError),
    Resumed(Arc<Record>),
    Closed(Arc<Record>),
    /// Nothing will come after this.
    End,
}

impl Watcher {
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.changed.len()
    }

    /// The watcher hears of the opening of this session, the first one that it has not heard of.
    pub(super) fn hear(&mut self, record: &Arc<Record>, is_detached: bool) -> News {
        self.heard = record.number;
        if is_detached {
            self.note(record);
        }
        News::Opened(Arc::clone(record))
    }

    /// A session has changed. Nothing happens if the watcher does not know of it yet.
    pub(super) fn note(&mut self, record: &Arc<Record>) {
        if record.number <= self.heard && self.waiting.insert(record.number) {
            self.changed.push_back(Arc::clone(record));
        }
    }

    /// The next change of a session that the watcher knows of. `lost` says how an open session has lost its link, if
    /// it has none now.
    pub(super) fn next_change(&mut self, lost: impl Fn(u64) -> Option<ConnectionError>) -> Option<News> {
        while let Some(record) = self.changed.pop_front() {
            let number = record.number;
            self.waiting.remove(&number);
            if record.reason.get().is_some() {
                self.away.remove(&number);
                return Some(News::Closed(record));
            }
            match lost(number) {
                Some(lost) if self.away.insert(number) => return Some(News::Detached(record, lost)),
                None if self.away.remove(&number) => return Some(News::Resumed(record)),
                // It came back before the watcher asked, or was lost once more.
                _ => {}
            }
        }
        None
    }
}
