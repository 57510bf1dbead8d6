//! What a `Session` has to do with the link that carries it now, and with the links before and after.

use std::sync::{Arc, atomic::Ordering};

use super::{life::Life, session::Session};
use crate::{
    error::ConnectionError,
    proto::{Connection, Kept},
};

impl Session {
    /// Ends a session that has no link ([`SessionState::Detached`](super::SessionState::Detached)) now, instead of
    /// waiting for the other side to come back. Returns whether there was such a session to end. If it has a link,
    /// because the other side has come back a moment ago or was never away, or if it is over, this changes nothing and
    /// returns false: [`Self::close`] ends a session that has a link.
    ///
    /// Calls of this side fail with [`crate::Code::Unavailable`]. [`Status::execution`](crate::Status::execution) is
    /// `NotExecuted` for calls that had not been handed to a link, and `Unknown` for those that had.
    /// Handlers are cancelled, and their results are lost; then `closed` hooks run. The reason of the end is the error
    /// with which the link was lost, and [`Self::closed`] waits until all of that is done, apart from the hooks.
    ///
    /// The other side is not told. If it comes back it learns that there is no such session, and a client begins a new
    /// one. [`Self::close`] while there is no link is the other way: it tells the other side when that comes back
    /// within ten seconds. A session that waits for that is ended by this method as well.
    pub fn discard(&self) -> bool {
        self.shared().act(Connection::give_up_links)
    }

    /// What the session keeps to be resumed.
    #[doc(hidden)]
    pub fn kept(&self) -> Kept {
        self.shared().look(Connection::kept)
    }

    /// Asks the session's own task to let the session [forget](Self::forget) what it keeps, which are this many bytes.
    /// False if the task has been asked already, or has ended.
    #[doc(hidden)]
    pub fn ask_to_forget(&self, bytes: usize) -> bool {
        let shared = self.shared();
        let asked = shared.to_forget.compare_exchange(0, bytes, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if asked {
            shared.wake_driver();
        }
        asked
    }

    /// Whether the session's task has been asked to let the session forget what it keeps, or has ended.
    #[doc(hidden)]
    #[inline]
    pub fn is_asked_to_forget(&self) -> bool {
        self.shared().to_forget.load(Ordering::Relaxed) > 0
    }

    /// The session's task has done what it was asked to, or has ended. Gives the bytes with which it was asked.
    #[doc(hidden)]
    pub fn take_asked_to_forget(&self, has_ended: bool) -> usize {
        let asked = self.shared().to_forget.swap(if has_ended { usize::MAX } else { 0 }, Ordering::AcqRel);
        if asked == usize::MAX { 0 } else { asked }
    }

    /// Forgets what the session keeps to be resumed. A session without a link ends.
    #[doc(hidden)]
    pub fn forget(&self) {
        self.shared().act(Connection::forget);
    }

    /// Waits until the session has no link, or has ended.
    #[doc(hidden)]
    pub async fn detached(&self) {
        let shared = self.shared();
        shared.reach(|life| shared.is_detached() || matches!(life, Life::Closing(_) | Life::Over(_))).await;
    }

    /// Waits until the session has no link, whether it has ended or not.
    #[doc(hidden)]
    pub async fn without_link(&self) {
        self.shared().reach(|_| self.shared().is_detached()).await;
    }

    /// Waits until the session has another link than now, however often its links change meanwhile.
    #[doc(hidden)]
    pub async fn next_link(&self) {
        let shared = self.shared();
        let before = shared.link_changes();
        shared.reach(|_| shared.link_changes() != before && !shared.is_detached()).await;
    }

    /// Whether the session has no link.
    #[doc(hidden)]
    pub fn is_detached(&self) -> bool {
        self.shared().is_detached()
    }

    /// How often the session has lost a link or got one; the end of the session counts as well.
    #[doc(hidden)]
    pub fn link_changes(&self) -> usize {
        self.shared().link_changes()
    }

    /// Whether the session outlives its link: both ends would like that ([`Config::resume_window`](crate::Config)), and
    /// the server lets this client come back, which its authenticator or its `resume_anonymous` decides. False at a
    /// client until the server has said so, and when the session is over. True also while a session that has ended has
    /// last words for another link.
    pub fn is_resumable(&self) -> bool {
        self.shared().look(|connection| connection.token().is_some() && !connection.is_over())
    }

    /// How the link was lost, if the session has none.
    #[doc(hidden)]
    pub fn link_lost(&self) -> Option<Arc<ConnectionError>> {
        self.shared().look(|connection| connection.link_lost().cloned())
    }
}
