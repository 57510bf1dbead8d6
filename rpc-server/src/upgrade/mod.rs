//! `Upgrade`: from an HTTP request to a session, as a service for any HTTP server on hyper.

mod headers;
mod origin;
mod refusal;
mod request;

use std::{
    convert::Infallible,
    future::{Future, Ready, poll_fn, ready},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use rpc_core::{
    CheckedConfig, Config, ConnectionInfo, Hosting, MemoryPool,
    logging::LogLimit,
    session::{self, WebSocket},
    text::{excerpt, excerpt_of},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, warn};

pub(crate) use self::{origin::Origins, request::MAX_HEAD};
use self::{refusal::Refusal, request::SUB_PROTOCOL};
use crate::sessions::{Entry, Sessions};

/// Answers HTTP requests that ask for the WebSocket, and runs the sessions that they become.
///
/// A [`tower_service::Service`], so that a contract can live beside web pages at one address: route a path to it in any
/// HTTP server that is built on hyper. That server must have upgrades enabled (hyper: `with_upgrades()`; axum has them)
/// and bounds the number of connections itself. If it puts the peer's [`SocketAddr`] into the request's extensions,
/// handlers can see it.
///
/// A request is answered with 101 if it is a WebSocket handshake (RFC 6455 §4.2.1) that offers the sub-protocol
/// `duplex-rpc.v1` and comes from no web page or from an allowed one; otherwise with a status and a sentence that says
/// what to do. Extensions, compression among them, are never agreed. Must be called within a tokio runtime: each
/// session is a task of it, and lives until it ends or is drained.
#[derive(Clone, Debug)]
pub struct Upgrade {
    shared: Arc<UpgradeShared>,
}

#[derive(Debug)]
struct UpgradeShared {
    hosting: Hosting,
    config: CheckedConfig,
    origins: Origins,
    sessions: Sessions,
    /// That of `hosting`.
    memory: MemoryPool,
}

impl Upgrade {
    /// `hosting` has the hooks of `sessions`, and this pool.
    pub(crate) fn new(
        hosting: Hosting,
        config: CheckedConfig,
        origins: Origins,
        sessions: Sessions,
        memory: MemoryPool,
    ) -> Self {
        sessions.set_drain_timeout(config.drain_timeout);
        Self { shared: Arc::new(UpgradeShared { hosting, config, origins, sessions, memory }) }
    }

    /// The sessions that came through here. To shut down: [`Sessions::drain`].
    pub fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Answers one request. `held` is dropped when the session has ended, or now if there will be none.
    pub(crate) fn answer<B, H: Send + 'static>(
        &self,
        mut request: Request<B>,
        peer_addr: Option<SocketAddr>,
        held: H,
    ) -> Response<Full<Bytes>> {
        match self.begin(&mut request) {
            Ok((key, on_upgrade, entry)) => {
                debug!(peer = peer(peer_addr), path = %excerpt(request.uri().path()), "upgrade accepted");
                let mut info = ConnectionInfo::default()
                    .with_headers(std::mem::take(request.headers_mut()))
                    .with_extensions(std::mem::take(request.extensions_mut()));
                info.peer_addr = peer_addr;
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move {
                    shared.run(on_upgrade, info, entry).await;
                    drop(held);
                });
                switching(&key)
            }
            Err(refusal) => {
                let status = refusal.status().as_u16();
                debug!(
                    peer = peer(peer_addr),
                    path = %excerpt(request.uri().path()),
                    status,
                    "upgrade refused: {}",
                    refusal.text().trim_end()
                );
                refusal.response()
            }
        }
    }

    fn begin<B>(&self, request: &mut Request<B>) -> Result<(String, OnUpgrade, Entry), Refusal> {
        let key = request::check(request, &self.shared.origins)?;
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(Refusal::NotUpgradable)?;
        let entry = self.shared.sessions.enter().ok_or(Refusal::ShuttingDown)?;
        Ok((key, on_upgrade, entry))
    }
}

impl<B> tower_service::Service<Request<B>> for Upgrade {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer_addr = request.extensions().get::<SocketAddr>().copied();
        ready(Ok(self.answer(request, peer_addr, ())))
    }
}

impl UpgradeShared {
    async fn run(&self, on_upgrade: OnUpgrade, info: ConnectionInfo, entry: Entry) {
        let upgraded = match timeout(self.config.upgrade_timeout, on_upgrade).await {
            Ok(Ok(upgraded)) => upgraded,
            // Nothing in the request tells this beforehand.
            Ok(Err(error)) if error.is_user() => {
                static HELD: LogLimit = LogLimit::new();
                if let Some(more) = HELD.admit(Instant::now().into_std()) {
                    warn!(
                        peer = peer(info.peer_addr),
                        "the HTTP server around does not let go of the connection; with hyper: serve_connection(..).with_upgrades() \
                         ({error}){more}"
                    );
                }
                return;
            }
            Ok(Err(error)) => return debug!(peer = peer(info.peer_addr), "upgrade failed: {}", excerpt_of(&error)),
            Err(_) => return debug!(peer = peer(info.peer_addr), "upgrade timed out"),
        };
        // The bare socket spares the layers that hyper puts around it; where there is something else, those do.
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => self.serve(parts.io.into_inner(), parts.read_buf, info, entry).await,
            Err(upgraded) => self.serve(TokioIo::<Upgraded>::new(upgraded), Bytes::new(), info, entry).await,
        }
    }

    async fn serve<IO>(&self, io: IO, leftover: Bytes, info: ConnectionInfo, entry: Entry)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let from = peer(info.peer_addr);
        let transport = WebSocket::server(io, leftover, &self.config);
        let (session, driver) = session::accept(transport, &self.hosting, &self.config, info);
        let id = session.id();
        debug!(session = %id, peer = from, "connection upgraded");
        entry.begun(&session);
        self.drive(driver).await;
        let reason = session.closed().await;
        debug!(session = %id, peer = from, "session closed: {}", excerpt_of(&reason));
    }

    /// Runs a session. If it takes what all sessions hold beyond the bound, the heaviest is closed, which may be
    /// another.
    async fn drive(&self, driver: impl Future<Output = ()>) {
        let mut driver = pin!(driver);
        poll_fn(|cx| {
            let polled = driver.as_mut().poll(cx);
            if self.memory.is_beyond() {
                self.sessions.relieve(&self.memory);
            }
            polled
        })
        .await;
    }
}

fn peer(peer_addr: Option<SocketAddr>) -> Option<tracing::field::DisplayValue<SocketAddr>> {
    peer_addr.map(tracing::field::display)
}

/// The answer that makes the connection a WebSocket (RFC 6455 §4.2.2).
fn switching(key: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUB_PROTOCOL));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a valid header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}
