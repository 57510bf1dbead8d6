//! `Session`: the user's handle to one end's life with a peer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    closing::Closing,
    info::ConnectionInfo,
    life::Life,
    principal::{Identity, Principal},
    session_id::SessionId,
    shared::SessionShared,
    watchdog::polled_for,
};
use crate::{
    contract::ContractDescriptor,
    error::{ConnectionError, Overload},
    proto::{Connection, ConnectionStats, LostCalls, Released},
};

/// A session: one end's life with its peer. The handle is cheap to clone, and does not keep the session open.
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
    /// One side shuts down: neither side makes or takes new calls, and calls under way finish. See
    /// [`Session::draining`].
    Draining,
    /// The link is lost, and the session waits for another one. Handlers run on, and calls wait.
    Detached,
    /// The end has come: calls fail at once, and the link is being closed. If the session can be resumed, its last
    /// words wait to be acknowledged before that, for up to ten seconds without a link too. Where nothing waits,
    /// because the session cannot be resumed, has been [discarded](Session::discard), or has heard the last words of
    /// the other side, this state takes no longer than `Config::close_timeout`.
    Closing,
    /// The session is over, and all its memory is free.
    Closed,
}

/// Counts of what a session holds now. At rest every count is zero but [`Self::oneway_refused`] and
/// [`Self::oneway_dropped`] ([`Self::is_at_rest`]).
/// The same holds after the end of the session, apart from `no_cancel` methods that run on, and from outcomes and items
/// of streams that have arrived and that the program has not taken yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The counts of the connection.
    pub connection: ConnectionStats,
    /// The number of handlers that run in separate tasks, because they had to wait.
    pub handlers: usize,
    /// The number of streams that this side produces, each in a separate task.
    pub producers: usize,
    /// The bytes that callers, handlers and producers have reserved of the budgets that they share: room in the outbox,
    /// transfers under way, arguments of unfinished calls.
    pub reserved: Released,
    /// The number of one-way calls that have arrived since the session began and were not run: their arguments did not
    /// decode, a gate or an interceptor refused them, their method is not hosted, or they exceeded a limit. Their
    /// callers learn nothing of it; the log has a warning. This count only grows.
    pub oneway_refused: u64,
    /// The number of one-way calls that this side has made since the session began and has dropped, because the other
    /// side did not keep up ([`Overflow`](crate::Overflow)). This count only grows.
    pub oneway_dropped: u64,
}

impl Stats {
    /// Whether the session holds nothing: every count is zero, apart from the counts that only grow.
    pub fn is_at_rest(&self) -> bool {
        let Self { oneway_refused, oneway_dropped, .. } = *self;
        *self == Self { oneway_refused, oneway_dropped, ..Self::default() }
    }
}

impl Session {
    pub(crate) fn new(shared: Arc<SessionShared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<SessionShared> {
        &self.shared
    }

    /// The id of the session, which no other session of this process has.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Whether the other side hosts a contract of this name and offers it to this side, as its Hello or Welcome says.
    /// False before that has come.
    pub fn hosts(&self, contract: &str) -> bool {
        self.shared.look(|connection| connection.peer_contracts().iter().any(|hosted| hosted.name == contract))
    }

    /// Whether the other side's version of a contract is the same as this one, as far as
    /// [`ContractDescriptor::fingerprint`] tells; `None` if the other side does not host the contract.
    pub fn hosts_same(&self, contract: &ContractDescriptor) -> Option<bool> {
        self.shared.look(|connection| {
            let hosted = connection.peer_contracts().iter().find(|hosted| hosted.name == contract.name())?;
            Some(hosted.fingerprint == contract.fingerprint())
        })
    }

    /// The name of the callback contract that this side would have to host, so that the other side, a server, offered
    /// it the contract of this name. `None` if the server offers the contract or does not host it.
    pub fn missing_callback(&self, contract: &str) -> Option<String> {
        self.shared.look(|connection| {
            let withheld = connection.withheld_contracts().iter().find(|withheld| withheld.name == contract)?;
            Some(withheld.callback.clone())
        })
    }

    /// The facts of the connection that do not come from the protocol, as they are now. The returned value does not
    /// change later, and does not keep the session open.
    pub fn info(&self) -> Arc<ConnectionInfo> {
        self.shared.facts.info()
    }

    /// The other side's address; `None` if it is not known.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.facts.peer_addr()
    }

    /// The party at the other end; `None` if it is not known. It is the [`Principal`] among the extensions of
    /// [`Self::info`], or the principal that [`Self::set_principal`] set.
    pub fn principal(&self) -> Option<Principal> {
        self.shared.facts.principal()
    }

    /// Sets the party at the other end; meant for [`crate::SessionHooks::opened`]. A session's principal can be set
    /// once: if there is one already, this returns false and changes nothing.
    pub fn set_principal(&self, principal: Principal) -> bool {
        self.shared.facts.set_principal(principal)
    }

    /// The identity of the party at the other end, with the time at which it expires; `None` if the party is not known.
    /// A [principal](Self::principal) that a hook has set does not expire.
    pub fn identity(&self) -> Option<Identity> {
        self.shared.facts.identity()
    }

    /// Replaces the identity of the other side by one of the same name, with another value or another time at which it
    /// expires. False if the name is another, or the other side has no principal: then nothing changes. When an
    /// identity expires, the session ends with [`ConnectionError::Expired`].
    pub fn renew(&self, identity: Identity) -> bool {
        let renewed = self.shared.facts.renew(identity);
        if renewed {
            self.shared.act(|connection| connection.expire_at(self.shared.facts.expires()));
        }
        renewed
    }

    /// Keeps a value on the session, one of each type: the role of the other side, its settings, a counter. Returns the
    /// older value of this type. Hooks, handlers and interceptors find it with [`Self::get`].
    ///
    /// The values are dropped when the session is over and its [`closed`](crate::SessionHooks::closed) hooks have run;
    /// after that this drops `value` at once. A value may hold a handle of the same session, which does not keep the
    /// session open.
    ///
    /// ```
    /// use rpc_core::{Context, Hosting, Session, SessionHooks, Status, async_trait, session::connect_in_memory};
    ///
    /// #[derive(Debug, PartialEq)]
    /// enum Role {
    ///     Operator,
    ///     Guest,
    /// }
    ///
    /// struct Door;
    ///
    /// #[async_trait]
    /// impl SessionHooks for Door {
    ///     async fn opened(&self, session: &Session) -> Result<(), Status> {
    ///         let is_known = session.principal().is_some_and(|principal| principal.name() == "ada");
    ///         session.insert(if is_known { Role::Operator } else { Role::Guest });
    ///         Ok(())
    ///     }
    /// }
    ///
    /// #[rpc_core::service]
    /// trait Plant {
    ///     async fn stop(&self, cx: &Context<PlantClient>) -> Result<(), Status>;
    /// }
    ///
    /// struct Belt;
    ///
    /// impl Plant for Belt {
    ///     async fn stop(&self, cx: &Context<PlantClient>) -> Result<(), Status> {
    ///         match cx.session().get::<Role>().as_deref() {
    ///             Some(Role::Operator) => Ok(()),
    ///             _ => Err(Status::permission_denied("only an operator stops the belt")),
    ///         }
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Hosting::builder().service(Belt.serve()).hooks(Door).build()?;
    /// # let (at_server, session) = connect_in_memory(&server, &Hosting::default());
    /// # let plant = session.client::<PlantClient>();
    /// # assert_eq!(plant.stop().await.unwrap_err().code(), rpc_core::Code::PermissionDenied);
    /// # assert_eq!(at_server.insert(Role::Operator).as_deref(), Some(&Role::Guest));
    /// # plant.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        self.shared.facts.values.insert(value)
    }

    /// The value of this type that [`Self::insert`] has put on the session; `None` if there is none, and after the end
    /// of the session. The values that the HTTP layers around the upgrade have added are others: see
    /// [`ConnectionInfo::extensions`].
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.shared.facts.values.get()
    }

    /// Takes the value of this type off the session, and returns it. Calls that have got the value before keep it.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.shared.facts.values.remove()
    }

    /// How far the session has come.
    pub fn state(&self) -> SessionState {
        if self.shared.is_over() {
            return SessionState::Closed;
        }
        self.shared.look(|connection| {
            if connection.ended().is_some() {
                SessionState::Closing
            } else if !connection.is_open() {
                SessionState::Connecting
            } else if connection.detached().is_some() {
                SessionState::Detached
            } else if connection.is_leaving() {
                SessionState::Draining
            } else {
                SessionState::Open
            }
        })
    }

    /// Waits until the session is open. If the session ends before that, the error is the reason. Dropping the future
    /// stops the waiting and nothing else.
    pub async fn established(&self) -> Result<(), ConnectionError> {
        match self.shared.reach(|life| !matches!(life, Life::Connecting | Life::Closing(_))).await {
            Life::Over(error) | Life::Closing(error) => Err(error),
            Life::Open | Life::Draining { .. } | Life::Connecting => Ok(()),
        }
    }

    /// Waits until the session is [`SessionState::Closed`], and returns the reason of its end. By then every handler
    /// has been told to stop, every call has its outcome, and the session neither reads nor writes. A session that
    /// loses a link and can be resumed is not at its end; one that has ended is `Closing` until its last words are
    /// acknowledged or given up. `closed` hooks do not wait for that, and this does not wait for them. Dropping the
    /// future stops the waiting and nothing else.
    pub async fn closed(&self) -> ConnectionError {
        self.shared.over().await
    }

    /// Waits until this side or the other begins to shut down ([`Self::drain`], a server's shutdown), or the session
    /// ends. The producer of a stream without an end of its own should end the stream then: a drain waits for streams
    /// as it does for handlers, and cuts them off after [`crate::Config::drain_grace`]. Dropping the future stops the
    /// waiting and nothing else.
    pub async fn draining(&self) {
        self.shared.reach(|life| matches!(life, Life::Draining { .. } | Life::Closing(_) | Life::Over(_))).await;
    }

    /// Ends the session now. Calls that wait for an answer fail with [`crate::Code::Unavailable`], and handlers are
    /// cancelled. One-way calls and answers that were sent before still go out. After the end this does nothing.
    ///
    /// The session ends at once, whether or not the returned future is awaited. A program that is about to end awaits
    /// the future: otherwise its last calls and its goodbye go out only as far as the socket takes them at once, and
    /// the rest is lost without an error. See [`Closing`].
    pub fn close(&self) -> Closing {
        self.shared.act(Connection::close);
        Closing::of_close(self.shared.clone())
    }

    /// Ends the session now, as [`Self::close`] does, with close code 1012, which tells the other side that this side
    /// shuts down, and that it may connect again later. This is for a program that stops without letting calls finish;
    /// [`Self::drain`] lets them finish.
    pub fn abort(&self) -> Closing {
        self.shared.act(Connection::shut_down);
        Closing::of_close(self.shared.clone())
    }

    /// Ends the session in good order: calls under way finish, and neither side makes new calls, except calls that a
    /// call under way makes itself. Handlers, and streams that this side produces, have [`crate::Config::drain_grace`].
    /// The whole drain, closing included, takes at most [`crate::Config::drain_timeout`]. After the grace, handlers of
    /// `no_cancel` methods whose callers have given up run on without the session. A session whose handshake is not
    /// done ends at once.
    ///
    /// The drain begins at once, and goes on whether or not the returned future is awaited. The future waits until the
    /// session is over, and returns the reason; see [`Closing`]. A handler of the same session must not await it,
    /// because the drain waits for the handler: spawn a task that waits.
    pub fn drain(&self) -> Closing {
        self.begin_drain(Connection::drain);
        Closing::of_drain(self.shared.clone())
    }

    /// How long after the end of the session the other side wants this side to come back; zero if it has not said that.
    #[doc(hidden)]
    pub fn asked_back_in(&self) -> Duration {
        self.shared.look(|connection| connection.asked_back_in())
    }

    /// Waits for the end of the session, as [`Self::closed`] does, but not until the link is closed.
    #[doc(hidden)]
    pub async fn ending(&self) -> ConnectionError {
        match self.shared.reach(|life| matches!(life, Life::Closing(_) | Life::Over(_))).await {
            Life::Closing(error) => error,
            _ => self.closed().await,
        }
    }

    /// The calls of this side that the end of the session has cut off.
    #[doc(hidden)]
    pub fn lost_calls(&self) -> LostCalls {
        self.shared.look(|connection| connection.lost_calls())
    }

    /// The name of what a thread polls for this session now. A server that cannot close the session logs this name.
    #[doc(hidden)]
    pub fn blocked_in(&self) -> Option<String> {
        polled_for(self.shared.id.number()).map(|polled| polled.to_string())
    }

    /// Frees the memory that is kept for later payloads. Returns the number of bytes that the other side still makes
    /// this side hold.
    #[doc(hidden)]
    pub fn trim_memory(&self) -> usize {
        self.shared.look(Connection::trim_memory)
    }

    /// Ends the session with [`ConnectionError::Overloaded`], because all sessions together hold too much.
    #[doc(hidden)]
    pub fn overload(&self, overload: Overload) {
        self.shared.act(|connection| connection.overload(overload));
    }

    /// Counts of what the session holds now. The counts are of this session alone.
    pub fn stats(&self) -> Stats {
        let (connection, oneway_refused, oneway_dropped) = self
            .shared
            .look(|connection| (connection.stats(), connection.oneway_refused(), connection.oneway_dropped()));
        Stats {
            connection,
            handlers: self.shared.handlers(),
            producers: self.shared.producers(),
            reserved: self.shared.reserved(),
            oneway_refused,
            oneway_dropped,
        }
    }
}
