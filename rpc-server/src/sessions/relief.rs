//! Closing the heaviest sessions when all sessions together hold too much.

use std::{
    cmp::Reverse,
    sync::{MutexGuard, TryLockError},
};

use rpc_core::{MemoryLimit, MemoryPool, Overload, Session, logging::LogLimit};
use tokio::time::Instant;
use tracing::warn;

use super::Sessions;

impl Sessions {
    /// Closes the heaviest sessions until the pool [is not beyond](MemoryPool::is_beyond) its bound any more.
    ///
    /// This looks at every session. No peer can cause it often: each time frees memory that took many packets to fill,
    /// or closes a session.
    pub(super) fn relieve(&self, pool: &MemoryPool) {
        while pool.is_beyond() {
            // Two threads at once would close more than is needed. The other one looks again before it returns.
            let Some(_relieving) = self.alone() else { return };
            if !self.close_heaviest(pool) {
                return;
            }
        }
    }

    /// `None` while another thread has it.
    pub(super) fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        match self.shared.relieving.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// True if the pool is within its bound again.
    fn close_heaviest(&self, pool: &MemoryPool) -> bool {
        let sessions: Vec<_> = self.shared.lock().live().cloned().collect();
        // Memory that is kept for payloads to come goes first.
        let mut weighed: Vec<_> = sessions.into_iter().map(|session| (session.trim_memory(), session)).collect();
        weighed.sort_by_key(|(bytes, _)| Reverse(*bytes));
        for (bytes, session) in weighed {
            if !pool.is_beyond() {
                return true;
            }
            if bytes == 0 {
                break;
            }
            close(&session, bytes, pool);
        }
        !pool.is_beyond()
    }
}

fn close(session: &Session, bytes: usize, pool: &MemoryPool) {
    static CLOSED: LogLimit = LogLimit::new();
    let max = pool.limit();
    if let Some(more) = CLOSED.admit(Instant::now().into_std()) {
        warn!(
            session = %session.id(),
            peer = session.peer_addr().map(tracing::field::display),
            bytes,
            "the heaviest session is closed: all sessions together hold more than {max} bytes \
             (ServerBuilder::memory){more}"
        );
    }
    session.overload(Overload::new(MemoryLimit::Server, max, pool.held()));
}
