//! What a session keeps to be resumed is a cache: it counts in a pool of all sessions, and is forgotten when all of
//! them together keep too much.

use std::time::Duration;

use super::{Connection, ConnectionError, MemoryPool, Share, closing::Flush};
use crate::error::{MemoryLimit, Overload};

/// What a session keeps to be resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes of packets that may have to be sent again. Without a link this is all that the session holds.
    pub bytes: usize,
    /// If the session has no link: how long it has had one.
    pub attached_for: Option<Duration>,
}

impl Connection {
    /// From now on until its end, what this connection keeps to be resumed counts in a pool.
    pub fn join_replay_pool(&mut self, pool: &MemoryPool) {
        if let Some(links) = self.resumption.links_mut() {
            links.share = Some(Share::new(pool.clone()));
        }
    }

    /// Nothing is kept any more.
    pub(super) fn leave_replay_pool(&mut self) {
        if let Some(links) = self.resumption.links_mut() {
            links.share = None;
        }
    }

    /// Tells the pool how much is kept, with a link if that has changed by enough. There may be many sessions without a
    /// link, each of which holds little.
    #[inline]
    pub(super) fn count_kept(&mut self) {
        if self.resumption.is_detached() {
            self.settle_kept();
        } else if self.resumption.is_granted() {
            let held = self.replay_held();
            if let Some(share) = self.resumption.links_mut().and_then(|links| links.share.as_mut()) {
                share.count(held);
            }
        }
    }

    /// Tells the pool how much is kept, to the byte.
    pub(super) fn settle_kept(&mut self) -> usize {
        let held = self.replay_held();
        if let Some(share) = self.resumption.links_mut().and_then(|links| links.share.as_mut()) {
            share.settle(held);
        }
        held
    }

    /// Bytes that the session keeps to be resumed. A session that has no link would be gone if it could not be resumed,
    /// so all that it holds counts.
    #[inline]
    fn replay_held(&self) -> usize {
        let incoming =
            if self.resumption.is_detached() { self.memory_held() + self.memory.waiting_values() } else { 0 };
        self.kept_output().saturating_add(incoming)
    }

    /// Bytes of packets that are kept. Without a link this is all that waits to be sent.
    #[inline]
    pub(super) fn kept_output(&self) -> usize {
        let kept = self.resumption.kept_memory();
        if self.resumption.is_detached() { kept.saturating_add(self.output_without_link()) } else { kept }
    }

    #[cold]
    fn output_without_link(&self) -> usize {
        self.outbox.memory() + self.outbox.transfer_bytes() + self.send_streams.queued() + self.queue.memory()
    }

    /// What the session keeps to be resumed, which is exact in the pool from then on.
    pub fn kept(&mut self) -> Kept {
        let bytes = self.settle_kept();
        let attached_for = self.resumption.detached().map(|detached| {
            let whole = detached.since.saturating_duration_since(self.opened_at);
            whole.saturating_sub(self.resumption.granted().map_or(Duration::ZERO, |links| links.away))
        });
        Kept { bytes, attached_for }
    }

    /// Forgets what is kept to be resumed. With a link the session goes on, and cannot be resumed until the other side
    /// has acknowledged all that was forgotten. Without one it ends as its link did. So does a session that has yet to
    /// send some of it over a new link.
    pub fn forget(&mut self) {
        if self.give_up_links() {
            return;
        }
        let Some(links) = self.resumption.granted_mut() else { return };
        if links.kept().has_again() {
            let (max, held) = links.share.as_ref().map_or((0, 0), |share| (share.limit(), share.pool_held()));
            let overload = Overload::new(MemoryLimit::Replay, max, held);
            self.end(ConnectionError::Overloaded(overload), Flush::Nothing);
            self.end_bye();
        } else {
            links.forget();
            self.settle_kept();
        }
    }
}
