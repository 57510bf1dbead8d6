//! `Session`: the user's handle to one end's life with a peer.

use std::{net::SocketAddr, sync::Arc};

use super::{
    clock::now,
    closing::Closing,
    info::{ConnectionInfo, Principal},
    session_id::SessionId,
    shared::{Life, SessionShared},
    watchdog::polled_for,
};
use crate::{
    contract::ContractDescriptor,
    error::ConnectionError,
    proto::{Connection, ConnectionStats, Released},
};

/// A session: one end's life with its peer. Cheap to clone; does not keep the session open.
///
/// ```
/// use rpc_core::{Hosting, SessionState, Side, session::connect_in_memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In a program: `stub.session()`, `cx.session()`, or a server's `sessions()`.
/// let (at_server, at_client) = connect_in_memory(&Hosting::default(), &Hosting::default());
/// at_client.established().await?;
/// assert_eq!(at_client.state(), SessionState::Open);
///
/// at_client.close().await;
/// assert_eq!(at_client.state(), SessionState::Closed);
/// let reason = at_server.closed().await;
/// assert_eq!(reason.closed_by(), Some(Side::Remote), "{reason}");
/// assert!(at_server.stats().is_at_rest());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<SessionShared>,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionState {
    /// The handshake is under way.
    Connecting,
    /// Calls go both ways.
    Open,
    /// This side or the other is about to leave: no new calls are made or taken, and calls under way finish. See
    /// [`Session::draining`].
    Draining,
    /// The end has come: calls fail at once, and the link is being closed.
    Closing,
    /// The session is over, and all its memory is free.
    Closed,
}

/// What a session holds now. At rest every count but [`Self::oneway_refused`] is zero ([`Self::is_at_rest`]). So it
/// is after the end, but for `no_cancel` methods that run on, and for outcomes and items of streams that have come and
/// that the program has not taken yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What the connection holds.
    pub connection: ConnectionStats,
    /// Handlers that run in tasks of their own, because they had to wait.
    pub handlers: usize,
    /// Streams that are produced here, each in a task of its own.
    pub producers: usize,
    /// Bytes that callers, handlers and producers hold of what they share: room in the outbox, transfers under way,
    /// arguments of unfinished calls.
    pub reserved: Released,
    /// One-way calls that came from the other side and were not run, since the session began: their arguments did not
    /// decode, a gate or an interceptor refused them, their method is not hosted, or they went beyond a limit. Their
    /// callers are not told; the log is, with a warning. Not something that is held.
    pub oneway_refused: u64,
}

impl Stats {
    /// Whether the session holds nothing: every count is zero but for those that only grow.
    pub fn is_at_rest(&self) -> bool {
        *self == Self { oneway_refused: self.oneway_refused, ..Self::default() }
    }
}

impl Session {
    pub(crate) fn new(shared: Arc<SessionShared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<SessionShared> {
        &self.shared
    }

    /// What tells the session apart from all others of this process.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Whether the other side said that it hosts a contract of this name, in its Hello or Welcome; false before that
    /// has come.
    pub fn hosts(&self, contract: &str) -> bool {
        self.shared.look(|connection| connection.peer_contracts().iter().any(|hosted| hosted.name == contract))
    }

    /// Whether the other side was built from the same version of a contract that it hosts, as far as
    /// [`ContractDescriptor::fingerprint`] tells; `None` if it does not host the contract.
    pub fn hosts_same(&self, contract: &ContractDescriptor) -> Option<bool> {
        self.shared.look(|connection| {
            let hosted = connection.peer_contracts().iter().find(|hosted| hosted.name == contract.name())?;
            Some(hosted.fingerprint == contract.fingerprint())
        })
    }

    /// What is known of the connection besides the protocol, as it is now. What is returned does not change any more,
    /// and does not keep the session open.
    pub fn info(&self) -> Arc<ConnectionInfo> {
        self.shared.facts.info()
    }

    /// The other side's address, where there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.facts.peer_addr()
    }

    /// Who is at the other end, if that is known: a [`Principal`] among the extensions of [`Self::info`], or what
    /// [`Self::set_principal`] said.
    pub fn principal(&self) -> Option<Principal> {
        self.shared.facts.principal()
    }

    /// Says who is at the other end; meant for [`crate::SessionHooks::opened`]. It can be said once: false, and nothing
    /// happens, if it is known already.
    pub fn set_principal(&self, principal: Principal) -> bool {
        self.shared.facts.set_principal(principal)
    }

    /// How far the session has come.
    pub fn state(&self) -> SessionState {
        if matches!(&*self.shared.life.borrow(), Life::Over(_)) {
            return SessionState::Closed;
        }
        self.shared.look(|connection| {
            if connection.ended().is_some() {
                SessionState::Closing
            } else if !connection.is_open() {
                SessionState::Connecting
            } else if connection.is_leaving() {
                SessionState::Draining
            } else {
                SessionState::Open
            }
        })
    }

    /// Waits until the handshake is done. The error says why it was not. May be dropped at any time.
    pub async fn established(&self) -> Result<(), ConnectionError> {
        match self.shared.reach(|life| !matches!(life, Life::Connecting)).await {
            Life::Over(error) => Err(error),
            Life::Open | Life::Draining | Life::Connecting => Ok(()),
        }
    }

    /// Waits for the end, and says why it came. By then every handler has been told to stop, every call has its
    /// outcome, and nothing is read or written any more. May be dropped at any time.
    pub async fn closed(&self) -> ConnectionError {
        self.shared.over().await
    }

    /// Waits until this side or the other begins to shut down ([`Self::drain`], a server's shutdown), or the session
    /// ends. The producer of a stream without an end of its own should end the stream then: a drain waits for streams
    /// as it does for handlers, and cuts them off after [`crate::Config::drain_grace`]. May be dropped at any time.
    pub async fn draining(&self) {
        self.shared.reach(|life| matches!(life, Life::Draining | Life::Over(_))).await;
    }

    /// Ends the session now. Calls that wait for an answer fail with [`crate::Code::Unavailable`], handlers are
    /// cancelled; one-way calls and answers that were sent before still go out. Does nothing after the end.
    ///
    /// The session ends at once, whether or not the returned future is awaited. A program that is about to end awaits
    /// the future: its last calls and its goodbye may otherwise not be written yet, and the other side sees a lost
    /// link. See [`Closing`].
    pub fn close(&self) -> Closing {
        self.shared.act(Connection::close);
        Closing::of_close(self.shared.clone())
    }

    /// Ends the session now, as [`Self::close`] does, and tells the other side that this one is going away: close code
    /// 1012, so that the other side may come back later. For a program that stops and does not let calls finish;
    /// [`Self::drain`] does.
    pub fn abort(&self) -> Closing {
        self.shared.act(Connection::shut_down);
        Closing::of_close(self.shared.clone())
    }

    /// Ends the session gently: both sides make no new calls except those that a call under way makes itself, and calls
    /// under way finish. Handlers, and streams that are produced here, have [`crate::Config::drain_grace`]; all of it,
    /// the goodbye included, takes [`crate::Config::drain_timeout`] at most. Handlers of `no_cancel` methods whose
    /// callers have given up run on without the session after the grace. A session whose handshake is not done ends at
    /// once.
    ///
    /// The drain begins at once, and goes on whether or not the returned future is awaited. Awaiting it waits until the
    /// session is over, and gives the reason; see [`Closing`]. Do not await it in a handler of the same session, for
    /// which the drain waits: spawn the waiting.
    pub fn drain(&self) -> Closing {
        self.shared.act(|connection| connection.drain(now(), "the other side is shutting down"));
        Closing::of_drain(self.shared.clone())
    }

    /// What a thread polls for this session right now, for messages of a server that cannot close it.
    #[doc(hidden)]
    pub fn blocked_in(&self) -> Option<String> {
        polled_for(self.shared.id.number()).map(|polled| polled.to_string())
    }

    /// Lets go of memory that is kept for payloads to come, and gives the bytes that the other side makes this one hold
    /// all the same.
    #[doc(hidden)]
    pub fn trim_memory(&self) -> usize {
        self.shared.look(Connection::trim_memory)
    }

    /// Ends the session with [`ConnectionError::Overloaded`], because all sessions together hold too much.
    #[doc(hidden)]
    pub fn overload(&self, what: String) {
        self.shared.act(|connection| connection.overload(what));
    }

    /// What the session holds now. The counts are of this session alone: no sum over sessions is kept.
    pub fn stats(&self) -> Stats {
        let (connection, oneway_refused) =
            self.shared.look(|connection| (connection.stats(), connection.oneway_refused()));
        Stats {
            connection,
            handlers: self.shared.handlers(),
            producers: self.shared.producers(),
            reserved: self.shared.reserved(),
            oneway_refused,
        }
    }
}
