//! `Upgrade`: from an HTTP request to a session, as a service for any HTTP server on hyper.

mod answer;
mod bare;
mod body;
mod peer;
mod refusal;
mod request;
mod run;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use rpc_core::Principal;

pub use self::body::UpgradeBody;
#[cfg(feature = "raw")]
pub(crate) use self::{
    answer::switching,
    bare::{Bare, take_over},
    request::{check_handshake, check_host, check_number},
};
pub(crate) use self::{
    peer::{peer_addr, tell},
    refusal::Refusal,
};
use crate::{
    caps::Place,
    sessions::Sessions,
    shared::{KeepAlive, ServerShared},
};

/// Answers HTTP requests that ask for the WebSocket, and runs the sessions that they become:
/// [`Server::upgrade`](crate::Server::upgrade).
///
/// This is a [`tower_service::Service`], so that a contract can live beside web pages at one address: route a path to
/// it in any HTTP server that is built on hyper. That server must have upgrades enabled (hyper: `with_upgrades()`; axum
/// has them). If it puts the peer's [`SocketAddr`] into the request's extensions, handlers can see the address, and
/// [`max_connections_per_address`](crate::ServerBuilder::max_connections_per_address) counts it. With the feature
/// `axum` of this crate, it is enough to serve by axum's `into_make_service_with_connect_info::<SocketAddr>()`; for
/// other servers there is [`peer_addr_from`](Self::peer_addr_from). If the server does TLS and puts a
/// [`TlsInfo`](rpc_core::TlsInfo) there, handlers can see that the connection is encrypted, and the client's
/// certificate.
///
/// Behind a handler that has found out who asks, [`identity`](Self::identity) and [`extension`](Self::extension) take
/// what it has found into the session, and [`respond`](Self::respond) answers the request.
///
/// A request is answered with 101 if it is a WebSocket handshake (RFC 6455 §4.2.1) that offers the sub-protocol
/// `duplex-rpc.v1`, comes from no web page or from an allowed one, and finds a place under the server's limits of
/// connections. Otherwise the answer is a status and a sentence that says what to do. The server
/// agrees to no WebSocket extensions, such as compression. Await the answer within a tokio runtime: each session
/// becomes a task of that runtime, and lives until the session or the server ends.
///
/// Cheap to clone. Each clone is a handle of the server, which ends when the last of its handles is dropped.
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response, StatusCode};
/// use rpc_server::{Server, Upgrade, UpgradeBody};
/// use tower_service::Service;
///
/// /// What the HTTP server calls for requests to `/rpc`.
/// async fn rpc<B>(mut upgrade: Upgrade, request: Request<B>) -> Result<Response<UpgradeBody>, Infallible> {
///     upgrade.call(request).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().build()?;
/// // A request that asks for no WebSocket gets an answer that says so.
/// let request = Request::get("/rpc").body(())?;
/// let response = rpc(server.upgrade(), request).await?;
/// assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
/// # Ok(())
/// # }
/// ```
///
/// The guide has [a whole HTTP server](crate::guide::hosting#beside-web-pages).
#[derive(Clone, Debug)]
pub struct Upgrade {
    alive: Arc<KeepAlive>,
    /// Values for the session beside the request's own.
    found: Extensions,
    hook: Option<peer::Hook>,
}

impl Upgrade {
    pub(crate) fn new(alive: Arc<KeepAlive>) -> Self {
        Self { alive, found: Extensions::new(), hook: None }
    }

    /// Says who asks: the principal of the session, as if [`Session::set_principal`](rpc_core::Session::set_principal)
    /// had set it. It replaces a [`Principal`] in the request's extensions.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use rpc_server::{Principal, Server, UpgradeBody};
    ///
    /// /// What the HTTP server calls for requests to `/rpc` once its login has found the user and the tenant.
    /// async fn rpc<B>(server: &Server, user: &str, tenant: u32, request: Request<B>) -> Response<UpgradeBody> {
    ///     server.upgrade().identity(Principal::from(user)).extension(tenant).respond(request).await
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().build()?;
    /// # let response = rpc(&server, "ada", 7, Request::get("/rpc").body(())?).await;
    /// # assert_eq!(response.status(), 426);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn identity(mut self, principal: Principal) -> Self {
        self.found.insert(principal);
        self
    }

    /// Adds a typed value that handlers find with [`Context::extension`](rpc_core::Context::extension).
    /// It replaces a value of the same type in the request's extensions.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.found.insert(value);
        self
    }

    /// Says how to find the client's address in a request's extensions. Where the function finds none, the other places
    /// count: a [`SocketAddr`], and axum's with the feature `axum`.
    #[must_use]
    pub fn peer_addr_from(mut self, find: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.hook = Some(find);
        self
    }

    /// Answers one request, and runs the session that it becomes: what the service does, for handlers. Dropping the
    /// future before it is ready refuses the request without an answer.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<UpgradeBody> {
        let Ok(response) = self.answer(request).await;
        response
    }

    /// The open sessions of the server, including sessions of its listeners.
    pub fn sessions(&self) -> &Sessions {
        &self.alive.shared.sessions
    }

    fn answer<B>(&self, mut request: Request<B>) -> UpgradeFuture {
        let peer_addr = peer_addr(request.extensions(), self.hook);
        let client_addr = self.alive.shared.client_addr(peer_addr, request.headers());
        request.extensions_mut().extend(self.found.clone());
        UpgradeFuture::new(Arc::clone(&self.alive.shared), request, client_addr, None)
    }
}

impl<B> tower_service::Service<Request<B>> for Upgrade {
    type Response = Response<UpgradeBody>;
    type Error = Infallible;
    type Future = UpgradeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> UpgradeFuture {
        self.answer(request)
    }
}

/// The answer of an [`Upgrade`], as a future. Nothing happens before its first poll. Dropping it before it is ready
/// refuses the request without an answer.
#[must_use = "a request is not answered unless the future is polled"]
pub struct UpgradeFuture {
    answer: Pin<Box<dyn Future<Output = Response<UpgradeBody>> + Send>>,
}

impl UpgradeFuture {
    /// `peer_addr` is the client's address. `place` is the place that a listener has taken for the connection; without
    /// it, the request takes a place itself.
    pub(crate) fn new<B>(
        shared: Arc<ServerShared>,
        request: Request<B>,
        peer_addr: Option<SocketAddr>,
        place: Option<Arc<Place>>,
    ) -> Self {
        let (head, _body) = request.into_parts();
        Self { answer: Box::pin(async move { answer::answer(&shared, head, peer_addr, place).await }) }
    }
}

impl Future for UpgradeFuture {
    type Output = Result<Response<UpgradeBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for UpgradeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}
