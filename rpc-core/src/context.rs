//! `Context`: tells a handler about the call that it serves.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use crate::{
    contract::MethodDescriptor,
    peer::{ConnectionInfo, CurrentCall, Peer, Principal, Scope, Session, SessionId, SessionShared, Stub, now},
};

/// What a handler is told about the call it serves, and its way back to the caller: `C` is the client of the contract
/// that the other side hosts. Never sent; the framework fills it in.
///
/// Cheap to clone, and may be kept after the handler has ended. It does not keep the session open.
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
    /// The facts of the connection, once they have been asked for.
    info: OnceLock<Arc<ConnectionInfo>>,
}

impl<C: Stub> Context<C> {
    pub(crate) fn new(shared: Arc<SessionShared>, serving: CurrentCall, method: &'static MethodDescriptor) -> Self {
        let peer = C::from_peer(Peer::new(shared.clone()));
        Self { serving, shared, method, peer, info: OnceLock::new() }
    }
}

impl Context<Peer> {
    /// The context of a call, where the contract of the other side is not known.
    pub(crate) fn untyped(shared: Arc<SessionShared>, serving: CurrentCall, method: &'static MethodDescriptor) -> Self {
        let peer = Peer::new(shared.clone());
        Self { serving, shared, method, peer, info: OnceLock::new() }
    }
}

impl<C> Context<C> {
    /// The other side, to be called. Calls made while the handler is polled inherit its deadline and its place in the
    /// chain.
    pub fn peer(&self) -> &C {
        &self.peer
    }

    /// The session in which the call came.
    pub fn session(&self) -> Session {
        Session::new(self.shared.clone())
    }

    /// What tells the session apart from all others of this process.
    pub fn session_id(&self) -> SessionId {
        self.shared.id
    }

    /// The other side's address, where there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.facts.peer_addr()
    }

    /// The headers of the HTTP upgrade: at a server those of the request, at a client those of the server's answer.
    pub fn headers(&self) -> &http::HeaderMap {
        &self.info().headers
    }

    /// Who is at the other end, if that is known; see [`Session::set_principal`].
    pub fn principal(&self) -> Option<Principal> {
        self.shared.facts.principal()
    }

    /// A typed value: one that an interceptor gave to this call, or else one that the layers around the upgrade gave to
    /// the connection.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.serving.extension().or_else(|| self.info().extensions.get())
    }

    /// What is known of the connection, as it was when this context, or the one of which it is a clone, was first
    /// asked. [`Session::info`] tells what is known now.
    pub fn info(&self) -> &ConnectionInfo {
        self.info.get_or_init(|| self.shared.facts.info())
    }

    /// The method being served.
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// The first value under this key that the caller sent along, or that interceptors set.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_all().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All that the caller sent along, in its order, as interceptors have left it.
    pub fn metadata_all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.serving.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// When the method must be done: the caller's deadline, or an earlier one that an interceptor set. `None` where
    /// there is neither; one-way calls have no caller who waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.serving.deadline()
    }

    /// How long the caller still waits; zero when the deadline has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.serving.deadline().map(|deadline| deadline.saturating_duration_since(now()))
    }

    /// How deep the call is nested: 0 for a call that was not made in a handler.
    pub fn depth(&self) -> u32 {
        self.serving.call.depth
    }

    /// Whether the result is not waited for any more: it has been sent, the caller has given up, the deadline has
    /// passed, or the session has ended. The handler's future is dropped then, at its next await, unless the method is
    /// `#[rpc(no_cancel)]`.
    pub fn is_cancelled(&self) -> bool {
        self.serving.call.is_cancelled()
    }

    /// Waits until [`Self::is_cancelled`]. For `no_cancel` methods and for work spawned by the handler. May be dropped
    /// at any time.
    pub async fn cancelled(&self) {
        self.serving.call.cancelled().await;
    }

    /// Makes a future belong to this call wherever it runs: calls made in it inherit the deadline and the place in the
    /// chain, as calls made directly in the handler do. For work that is spawned.
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope::new(self.serving.clone(), future)
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
