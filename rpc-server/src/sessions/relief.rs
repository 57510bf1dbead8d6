//! Closing the heaviest sessions when all sessions together hold too much.

use std::{
    cmp::Reverse,
    future::poll_fn,
    sync::{MutexGuard, TryLockError},
};

use futures::FutureExt;
use rpc_core::{MemoryLimit, MemoryPool, Overload, Session, logging::LogLimit, session::Driver};
use tokio::time::Instant;
use tracing::warn;

use super::{Entry, Sessions, forgetting::is_full};

impl Sessions {
    /// Runs a session, and follows its links. If the session takes what all sessions hold beyond the bound of the pool,
    /// the heaviest one is closed, which may be another. In the same way sessions forget what they keep to be resumed,
    /// if all of them keep more than the bound of the second pool.
    pub(crate) async fn run(&self, session: &Session, mut driver: Box<Driver>, entry: &Entry, pools: [&MemoryPool; 2]) {
        let [pool, replay] = pools;
        let mut followed = 0;
        poll_fn(|cx| {
            let polled = driver.poll_unpin(cx);
            // A link may have come and gone again within one poll.
            let changes = session.link_changes();
            if changes != followed {
                followed = changes;
                entry.follow(session);
            }
            if pool.is_beyond() {
                self.relieve(pool);
            }
            if is_full(replay) {
                self.forget(replay);
            }
            polled
        })
        .await;
    }

    /// Closes the heaviest sessions until the pool [is not beyond](MemoryPool::is_beyond) its bound any more.
    ///
    /// This looks at every session. No peer can cause it often: each time frees memory that took many packets to fill,
    /// or closes a session.
    fn relieve(&self, pool: &MemoryPool) {
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
