//! `Context`: tells a handler about the call that it serves.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use crate::{
    cancel_reason::CancelReason,
    contract::MethodDescriptor,
    error::ConnectionError,
    peer::{ConnectionInfo, ContextPeer, CurrentCall, Peer, Principal, Scope, Session, SessionId, SessionShared, now},
    proto::Cancellation,
};

/// Tells a handler about the call that it serves, and is the handler's way to call the other side back. `C` is the
/// client of the contract that the other side hosts, or an `Option` of the client in a contract with
/// `#[service(callback = …, optional)]`. A context is not sent: the framework makes it at the callee.
///
/// A context is cheap to clone, and a program may keep it after the handler has ended. It does not keep the session
/// open.
///
/// ```
/// use rpc_core::{Context, Status};
///
/// #[rpc_core::callback]
/// trait Screen {
///     async fn confirm(&self, question: &str) -> bool;
/// }
///
/// #[rpc_core::service(callback = Screen)]
/// trait Files {
///     async fn delete(&self, cx: &Context<ScreenClient>, name: &str) -> Result<bool, Status>;
/// }
///
/// struct Disk;
///
/// impl Files for Disk {
///     async fn delete(&self, cx: &Context<ScreenClient>, name: &str) -> Result<bool, Status> {
///         let reason = cx.metadata("reason").unwrap_or("no reason given");
///         // A call back to the caller. It has at most the time that is left of this call.
///         cx.peer().confirm(&format!("Delete {name} ({reason})?")).await
///     }
/// }
/// # use rpc_core::{CallOptions, Hosting, session::connect_in_memory};
/// # struct Agrees;
/// # impl Screen for Agrees {
/// #     async fn confirm(&self, question: &str) -> bool {
/// #         question == "Delete old.txt (cleaning up)?"
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Disk.serve()).build()?;
/// # let client = Hosting::builder().service(Agrees.serve()).build()?;
/// # let (_server, session) = connect_in_memory(&server, &client);
/// # let files = session.client::<FilesClient>().with(CallOptions::new().metadata("reason", "cleaning up"));
/// # assert!(files.delete("old.txt").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Context<C> {
    serving: CurrentCall,
    shared: Arc<SessionShared>,
    method: &'static MethodDescriptor,
    peer: C,
    /// The facts of the connection, after they have been asked for.
    info: OnceLock<Arc<ConnectionInfo>>,
}

impl<C: ContextPeer> Context<C> {
    pub(crate) fn new(shared: Arc<SessionShared>, serving: CurrentCall, method: &'static MethodDescriptor) -> Self {
        let peer = C::of(Peer::new(shared.clone()));
        Self { serving, shared, method, peer, info: OnceLock::new() }
    }
}

impl Context<Peer> {
    /// The context of a call from a side whose contract is not known.
    pub(crate) fn untyped(shared: Arc<SessionShared>, serving: CurrentCall, method: &'static MethodDescriptor) -> Self {
        let peer = Peer::new(shared.clone());
        Self { serving, shared, method, peer, info: OnceLock::new() }
    }
}

impl<C> Context<C> {
    /// The client that calls the other side back. Calls that are made while the handler is polled inherit the handler's
    /// deadline and its place in the chain. In a `Context<Option<ScreenClient>>` this is an `Option`, which is `None`
    /// if the other side does not host `Screen`.
    pub fn peer(&self) -> &C {
        &self.peer
    }

    /// The session in which the call came.
    pub fn session(&self) -> Session {
        Session::new(self.shared.clone())
    }

    /// The id of the session, which no other session of this process has.
    pub fn session_id(&self) -> SessionId {
        self.shared.id
    }

    /// The other side's address; `None` if it is not known.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.facts.peer_addr()
    }

    /// The headers of the HTTP upgrade: at a server the request's, at a client the answer's.
    pub fn headers(&self) -> &http::HeaderMap {
        &self.info().headers
    }

    /// The party at the other end; `None` if it is not known. See [`Session::set_principal`].
    pub fn principal(&self) -> Option<Principal> {
        self.shared.facts.principal()
    }

    /// The value of this type that an interceptor gave to the call, or else the value that the HTTP layers around the
    /// upgrade gave to the connection.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.serving.extension().or_else(|| self.info().extensions.get())
    }

    /// The facts of the connection, as they were when this context, or the context of which it is a clone, was first
    /// asked. [`Session::info`] tells the facts as they are now.
    pub fn info(&self) -> &ConnectionInfo {
        self.info.get_or_init(|| self.shared.facts.info())
    }

    /// The method that is served.
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// The first value of this key among the call's metadata: what the caller sent, as interceptors have changed it.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_all().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// How many one-way calls of this method the other side has dropped since the last that it sent, because this side
    /// did not keep up ([`Overflow`](crate::Overflow)). 0 for calls that are never dropped. A call that was replaced by
    /// a newer one was not dropped.
    pub fn missed(&self) -> u64 {
        self.serving.call.missed.unwrap_or(0)
    }

    /// All metadata of the call, in the caller's order, as interceptors have changed them.
    pub fn metadata_all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.serving.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The instant at which the call fails: the caller's deadline, or an earlier one that an interceptor set. `None` if
    /// there is neither. A one-way call has no caller that waits, and so no deadline from it.
    pub fn deadline(&self) -> Option<Instant> {
        self.serving.deadline()
    }

    /// The time until [`Self::deadline`]; zero when the deadline has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.serving.deadline().map(|deadline| deadline.saturating_duration_since(now()))
    }

    /// The number of calls above this one in its chain: 0 for a call that was not made in a handler.
    pub fn depth(&self) -> u32 {
        self.serving.call.depth
    }

    /// Whether the caller no longer waits for the result: the result has been sent, the caller has given up, the
    /// deadline has passed, this side stops its handlers, or the session has ended. [`Self::cancel_reason`] tells
    /// which. The framework then drops the handler's future at its next await, unless the method is
    /// `#[rpc(no_cancel)]`.
    pub fn is_cancelled(&self) -> bool {
        self.serving.call.is_cancelled()
    }

    /// Why the caller no longer waits; `None` while it waits. The first reason stays. A value that the handler holds
    /// can ask this when it is dropped, to learn why the handler was dropped: `None` if the handler has returned.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.serving.call.cancellation().map(|why| self.reason(why))
    }

    /// Waits until the caller no longer waits, and returns the reason. This is for `no_cancel` methods and for tasks
    /// that the handler has spawned: any other handler is dropped before it sees the reason. Dropping the future stops
    /// the waiting and nothing else.
    pub async fn cancelled(&self) -> CancelReason {
        let why = self.serving.call.cancelled().await;
        self.reason(why)
    }

    /// Makes a future belong to this call wherever it runs: calls that are made in the future inherit the deadline and
    /// the place in the chain, as calls that are made in the handler itself do. This is for work that is spawned.
    ///
    /// ```
    /// # async fn handler<C: Clone + Send + Sync + 'static>(cx: &rpc_core::Context<C>) {
    /// let work = async { /* calls in here belong to the handler's chain */ };
    /// let done = tokio::spawn(cx.scope(work)).await;
    /// # let _ = done;
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope::new(self.serving.clone(), future)
    }

    fn reason(&self, why: Cancellation) -> CancelReason {
        match why {
            Cancellation::Caller => CancelReason::CallerGaveUp,
            Cancellation::Deadline => CancelReason::DeadlineExceeded,
            Cancellation::Drain => CancelReason::ShuttingDown,
            Cancellation::Completed => CancelReason::Completed,
            Cancellation::SessionEnd => {
                // The connection ends under the lock under which it cancels its calls, so it knows its reason by now.
                let error = self.shared.look(|connection| connection.ended().cloned());
                CancelReason::SessionEnded(error.unwrap_or(ConnectionError::ClosedLocally))
            }
        }
    }
}

impl<C> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("method", &self.method.name())
            .field("call", &self.serving.call)
            .finish_non_exhaustive()
    }
}
