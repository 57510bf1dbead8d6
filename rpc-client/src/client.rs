//! `Client`: a session that hands out stubs of any contract.

use rpc_core::{Closing, ConnectionError, Peer, Session, SessionState, Stub};

/// A session with a server, for programs that use several of its contracts: `connect(url).await?`.
///
/// Cheap to clone. The session lives until [`close`](Self::close), or until the last clone and the last stub that came
/// from it have been dropped. A program awaits `close` before it ends.
#[derive(Clone, Debug)]
pub struct Client {
    session: Session,
    /// Keeps the session open, as all stubs made of it do.
    peer: Peer,
}

impl Client {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { session: peer.session(), peer }
    }

    /// A stub of one of the server's contracts. Nothing is sent: whether the server hosts the contract shows at the
    /// first call, which is `UNIMPLEMENTED` if it does not.
    pub fn client<S: Stub>(&self) -> S {
        S::from_peer(self.peer.clone())
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the session is being established, open, draining or closed.
    pub fn state(&self) -> SessionState {
        self.session.state()
    }

    /// Waits until the session has ended, and says why. Cancelling only stops the waiting.
    pub async fn closed(&self) -> ConnectionError {
        self.session.closed().await
    }

    /// Ends the session now. Calls under way fail with `UNAVAILABLE`.
    ///
    /// It acts at once, whether or not the returned future is awaited. A program that is about to end awaits the future
    /// (`client.close().await`). Otherwise its goodbye may not be out yet, and the server sees a lost link.
    pub fn close(&self) -> Closing {
        self.session.close()
    }
}
