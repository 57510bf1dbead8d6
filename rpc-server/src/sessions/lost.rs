//! Connections that are left when the time for a drain is over, for the log.

use rpc_core::{Session, SessionState, logging::LogLimit};
use tokio::time::Instant;
use tracing::warn;

use super::{Sessions, entry::Kind, state::Entered};

impl Sessions {
    /// Logs once which connections are left after the time for a drain, and why.
    pub(super) fn report_lost(&self) {
        let lost = self.shared.lock().lost();
        for entered in lost {
            match entered {
                Entered::Session(live) => report_session(&live.session),
                Entered::Other(kind) => report_other(kind),
            }
        }
    }
}

fn report_session(session: &Session) {
    let (id, peer) = (session.id(), session.peer_addr().map(tracing::field::display));
    match (session.blocked_in(), session.state()) {
        (Some(method), _) => warn!(
            session = %id,
            peer,
            method,
            "a session is lost: its method blocks a thread, and it could not be closed within \
             Config::drain_timeout; handlers must not block, not even while they wait for a callback"
        ),
        (None, SessionState::Closed) => warn!(
            session = %id,
            peer, "the `closed` hooks of a session have not returned within Config::drain_timeout; they run on"
        ),
        (None, _) => warn!(
            session = %id,
            peer,
            "a session is lost: it could not be closed within Config::drain_timeout, because its task did not \
             get to run"
        ),
    }
}

/// Clients decide how many of these there are, so the lines are limited.
fn report_other(kind: Kind) {
    static LINES: LogLimit = LogLimit::new();
    let Some(more) = LINES.admit(Instant::now().into_std()) else { return };
    match kind {
        Kind::Newcomer(peer) => warn!(
            peer = peer.map(tracing::field::display),
            "a connection that has no session yet is lost: it could not be closed within Config::drain_timeout, \
             because its task did not get to run; authenticators must not block their thread{more}"
        ),
        #[cfg(feature = "raw")]
        Kind::Raw(peer) => warn!(
            peer = peer.map(tracing::field::display),
            "a raw WebSocket is lost: it could not be closed within Config::drain_timeout, because its task did not \
             get to run; handlers must not block their thread{more}"
        ),
    }
}
