//! `websocket`: from a handler to a service for any HTTP server.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use rpc_core::raw::RawLimits;

use super::{
    answer,
    handler::{IntoWebSocketHandler, Serve},
};
use crate::{
    admission::Origins,
    error::BuildError,
    upgrade::{UpgradeBody, peer_addr},
};

/// How long an HTTP server may take to hand over the connection that has been answered with 101.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves WebSockets with a handler: a [`WebSocketHandler`](super::WebSocketHandler), or an `async fn` of a
/// [`RawSocket`](super::RawSocket).
pub fn websocket<Kind>(handler: impl IntoWebSocketHandler<Kind>) -> WebSocketService {
    WebSocketService {
        settings: Arc::new(Settings {
            serve: handler.into_serve(),
            protocols: Vec::new(),
            limits: RawLimits::default(),
            origins: Origins::default(),
        }),
    }
}

/// Answers HTTP requests that ask for a WebSocket, and serves the WebSockets that they become.
///
/// A [`tower_service::Service`] for any HTTP server that is built on hyper and has upgrades enabled (hyper:
/// `with_upgrades()`; axum has them): `.route_service("/echo", websocket(Echo))` in axum. If that server puts the
/// peer's [`SocketAddr`](std::net::SocketAddr) into the request's extensions,
/// [`Connection::peer_addr`](super::Connection::peer_addr) has it. A [`TlsInfo`](rpc_core::TlsInfo) in the extensions
/// is taken as the connection's.
///
/// In a [`Server`](crate::Server) it is a route beside the contracts: `.route("/echo", websocket(Echo))`. Then a
/// WebSocket counts under the server's limits of connections as a session does, and the names of
/// [`allow_host`](crate::ServerBuilder::allow_host) hold for it. When the server shuts down, the WebSocket is closed
/// with code 1012, and the server waits for its handler as it waits for sessions. A handler that has not returned when
/// the time of the shutdown is over is dropped.
///
/// A request is answered with 101 if it is a WebSocket handshake (RFC 6455 §4.2.1) that comes from no web page, from
/// one of the same host and port, or from one whose origin is allowed. Otherwise the answer is a status and a sentence
/// that says what to do. Extensions, compression among them, are never agreed. The answer must be awaited within a
/// tokio runtime: each WebSocket is a task of that runtime.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct WebSocketService {
    settings: Arc<Settings>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) serve: Serve,
    pub(super) protocols: Vec<String>,
    pub(super) limits: RawLimits,
    pub(super) origins: Origins,
}

impl WebSocketService {
    /// Names the sub-protocols that the handler speaks, the preferred one first. The server agrees to the first of them
    /// that the client offers; [`Connection::protocol`](super::Connection::protocol) tells which. If the client offers
    /// none of them, or none are named, there is no sub-protocol, and the handler decides what to do. A browser that
    /// has offered sub-protocols ends a connection without one.
    #[must_use]
    pub fn protocols<P: Into<String>>(self, protocols: impl IntoIterator<Item = P>) -> Self {
        let protocols = protocols.into_iter().map(Into::into).collect();
        self.with(|settings| settings.protocols = protocols)
    }

    /// Sets the limits and times of each WebSocket.
    #[must_use]
    pub fn limits(self, limits: RawLimits) -> Self {
        self.with(|settings| settings.limits = limits)
    }

    /// Lets web pages of one more origin connect, such as `https://app.example.com`. Pages of the server's own host and
    /// port may connect anyway, and so may programs that are no web pages.
    ///
    /// # Errors
    ///
    /// [`BuildError::RawOrigin`] if no web page can have this origin.
    pub fn allow_origin(self, origin: impl Into<String>) -> Result<Self, BuildError> {
        let given = origin.into();
        let mut failed = None;
        let service = self.with(|settings| failed = settings.origins.allow(&given).err());
        match failed {
            None => Ok(service),
            Some(why) => Err(BuildError::RawOrigin { given, why }),
        }
    }

    /// Lets every web page connect.
    #[must_use]
    pub fn allow_any_origin(self) -> Self {
        self.with(|settings| settings.origins.allow_any())
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<B> tower_service::Service<Request<B>> for WebSocketService {
    type Response = Response<UpgradeBody>;
    type Error = Infallible;
    type Future = WebSocketFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> WebSocketFuture {
        let peer_addr = peer_addr(request.extensions(), None);
        let settings = Arc::clone(&self.settings);
        let (head, _body) = request.into_parts();
        WebSocketFuture { answer: Box::pin(async move { answer::answer(&settings, head, peer_addr, UPGRADE_TIMEOUT) }) }
    }
}

impl fmt::Debug for WebSocketService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketService")
            .field("protocols", &self.settings.protocols)
            .field("limits", &self.settings.limits)
            .finish_non_exhaustive()
    }
}

/// The answer to come of a [`WebSocketService`]. Nothing happens before it is polled. Dropping it before it is ready
/// refuses the request without an answer.
#[must_use = "a request is not answered unless the future is polled"]
pub struct WebSocketFuture {
    answer: Pin<Box<dyn Future<Output = Response<UpgradeBody>> + Send>>,
}

impl Future for WebSocketFuture {
    type Output = Result<Response<UpgradeBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for WebSocketFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketFuture").finish_non_exhaustive()
    }
}
