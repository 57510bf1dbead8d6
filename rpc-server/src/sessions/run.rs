//! Running a session of a server, from its beginning to its end.

use std::{
    fmt,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use futures::FutureExt;
use rpc_core::{MemoryPool, Session};

use super::{Entry, Sessions};

/// Runs a session, and follows its links. If the session takes what all sessions hold beyond the bound of the pool,
/// the heaviest one is closed, which may be another. In the same way sessions forget what they keep to be resumed,
/// if all of them keep more than the bound of the second pool, each in its own task.
///
/// This is a future by hand, because it is all that the task of an idle session has: an async function would keep
/// each of its arguments twice. The entry goes last.
pub(crate) struct Run<D> {
    session: Session,
    driver: D,
    sessions: Sessions,
    pools: [MemoryPool; 2],
    /// How often the links had changed when the entry followed last.
    followed: usize,
    entry: Entry,
}

impl Sessions {
    /// Runs a session that `entry` has led to.
    pub(crate) fn run<D>(&self, session: Session, driver: D, entry: Entry, pools: [MemoryPool; 2]) -> Run<D> {
        Run { session, driver, sessions: self.clone(), pools, followed: 0, entry }
    }
}

impl<D> Run<D> {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Lets the session forget what it keeps, if it has been asked to. This is for the session's own task: to free much
    /// takes time, and to end a session that has no link takes more.
    #[inline]
    fn forget(&self) {
        if self.session.is_asked_to_forget() {
            self.session.forget();
            self.has_forgotten(false);
        }
    }

    /// What the session has been asked to forget is gone. What it has not forgotten at its end is gone with it.
    fn has_forgotten(&self, has_ended: bool) {
        let asked = self.session.take_asked_to_forget(has_ended);
        self.sessions.shared.to_forget.fetch_sub(asked, Ordering::Release);
    }
}

impl<D: Future<Output = ()> + Unpin> Future for Run<D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.driver.poll_unpin(cx);
        // After the driver has begun its poll: a session that is asked later wakes the driver again.
        self.forget();
        // A link may have come and gone again within one poll.
        let changes = self.session.link_changes();
        if changes != self.followed {
            self.followed = changes;
            self.entry.follow(&self.session);
        }
        let [pool, replay] = &self.pools;
        if pool.is_beyond() {
            self.sessions.relieve(pool);
        }
        if self.sessions.is_full(replay) {
            self.sessions.choose_forgetful(replay);
        }
        polled
    }
}

impl<D> Drop for Run<D> {
    fn drop(&mut self) {
        self.has_forgotten(true);
    }
}

impl<D> fmt::Debug for Run<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("session", &self.session).finish_non_exhaustive()
    }
}
