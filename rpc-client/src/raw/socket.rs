//! `ClientWebSocket`: from a URL to a WebSocket.

#[cfg(unix)]
use std::path::PathBuf;
use std::{
    fmt,
    future::{Future, IntoFuture},
    ops::{Deref, DerefMut},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use rpc_core::raw::{RawInfo, RawLimits, RawSocket, Role};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    dial::{DialSettings, Opened, Stream, open, shown},
    error::ConnectError,
    proxy::Proxy,
};

/// A WebSocket that this program has connected. It is a [`RawSocket`], which sends, receives, pings and closes.
///
/// ```no_run
/// use rpc_client::{CloseCode, raw::{ClientWebSocket, Message}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut socket = ClientWebSocket::connect("ws://127.0.0.1:9000/chat")
///     .header("authorization", "Bearer …")
///     .protocols(["chat.v2", "chat.v1"])
///     .await?;
/// socket.send("hello").await?;
/// if let Some(Message::Text(text)) = socket.recv().await.transpose()? {
///     println!("{text}");
/// }
/// // Before the program ends: what is not written by then, the goodbye included, is never written.
/// socket.close(CloseCode::NORMAL, "");
/// socket.closed().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ClientWebSocket {
    socket: RawSocket,
}

impl ClientWebSocket {
    /// Connects to a WebSocket server. The URL begins with `ws://` or, for TLS, with `wss://`; the default port is 80,
    /// or 443. [`ClientWebSocketBuilder`] has the settings that can precede `.await`.
    pub fn connect(url: impl Into<String>) -> ClientWebSocketBuilder {
        ClientWebSocketBuilder {
            settings: DialSettings::new(url.into()),
            protocols: Vec::new(),
            limits: RawLimits::default(),
            timeout: Duration::from_secs(10),
        }
    }

    /// The socket itself, for instance to [split](RawSocket::split) it.
    pub fn into_socket(self) -> RawSocket {
        self.socket
    }
}

impl Deref for ClientWebSocket {
    type Target = RawSocket;

    fn deref(&self) -> &RawSocket {
        &self.socket
    }
}

impl DerefMut for ClientWebSocket {
    fn deref_mut(&mut self) -> &mut RawSocket {
        &mut self.socket
    }
}

/// A WebSocket to be connected; `.await` connects it.
///
/// Awaiting gives a [`ClientWebSocket`], or a [`ConnectError`] that says what to do. A URL, a header or a sub-protocol
/// that cannot work is refused before anything is dialled. Await the builder within a tokio runtime, in which the
/// socket then runs as a task. Dropping the future closes what it has opened.
#[must_use = "nothing is connected before `.await`"]
pub struct ClientWebSocketBuilder {
    settings: DialSettings,
    protocols: Vec<String>,
    limits: RawLimits,
    timeout: Duration,
}

impl ClientWebSocketBuilder {
    /// Sends a header with the handshake, for instance `.header("authorization", "Bearer …")`. Connecting fails with
    /// a header that is not valid, that the handshake sets itself, or that announces a body.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.settings = self.settings.header(name.as_ref(), value.as_ref());
        self
    }

    /// Offers sub-protocols, the preferred one first; [`Connection::protocol`](super::Connection::protocol) tells which
    /// one the server has chosen. If the server chooses none of them, connecting fails, as it does in browsers.
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the limits and times of the WebSocket.
    pub fn limits(mut self, limits: RawLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the time that reaching the server and the handshake may take together; 10 seconds by default.
    /// [`Duration::MAX`] switches the limit off.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// Sets whom this side trusts at a `wss://` URL, and its own certificate; [`Tls::platform`] if this is not called.
    /// With a `ws://` URL, connecting fails. `None` is as if this were not called.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: impl Into<Option<Tls>>) -> Self {
        self.settings = self.settings.tls(tls.into());
        self
    }

    /// Sets through which proxy the server is reached, as
    /// [`ConnectBuilder::proxy`](crate::ConnectBuilder::proxy) does.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.settings = self.settings.proxy(proxy);
        self
    }

    /// Connects over a stream that the application has opened by itself, as
    /// [`ConnectBuilder::over`](crate::ConnectBuilder::over) does.
    pub fn over(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        self.settings = self.settings.over(stream);
        self
    }

    /// Connects to the Unix socket at this path, as [`ConnectBuilder::unix`](crate::ConnectBuilder::unix) does.
    #[cfg(unix)]
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings = self.settings.unix(path.into());
        self
    }

    async fn open(self) -> Result<ClientWebSocket, ConnectError> {
        let DialSettings { url, carrier, tls, headers } = self.settings;
        let headers = headers?;
        let offer = offer(&self.protocols)?;
        let opening = open(&url, carrier, tls, &headers, offer, self.timeout);
        let Opened { stream, leftover, info, uri } = opening.await?;
        let protocol = info.headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        let protocol = protocol.and_then(|protocol| protocol.to_str().ok()).map(|protocol| protocol.trim().to_owned());
        let peer_addr = info.peer_addr;
        let (info, limits) = (RawInfo::new(info, uri, protocol), &self.limits);
        let socket = match stream {
            Stream::Plain(io) => spawn(io, leftover, info, limits),
            Stream::Tls(io) => spawn(io, leftover, info, limits),
            Stream::Own(io) => spawn(io, leftover, info, limits),
        };
        debug!(peer = peer_addr.map(tracing::field::display), "raw WebSocket connected");
        Ok(ClientWebSocket { socket })
    }
}

impl IntoFuture for ClientWebSocketBuilder {
    type Output = Result<ClientWebSocket, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl fmt::Debug for ClientWebSocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("ClientWebSocketBuilder")
            .field("url", &shown(&self.settings.url))
            .field("protocols", &self.protocols)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The socket runs as a task of its own.
fn spawn<IO>(io: IO, leftover: Bytes, info: RawInfo, limits: &RawLimits) -> RawSocket
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (socket, driver) = RawSocket::driven(io, leftover, Role::Client, info, limits);
    tokio::spawn(driver);
    socket
}

/// The header that offers these sub-protocols. Each is a token, and none comes twice (RFC 6455 §4.1).
fn offer(protocols: &[String]) -> Result<Option<HeaderValue>, ConnectError> {
    let bad = |why: String| ConnectError::Header { name: header::SEC_WEBSOCKET_PROTOCOL.to_string(), why };
    for (index, name) in protocols.iter().enumerate() {
        // The name of a header is a token as well.
        if HeaderName::try_from(name.as_str()).is_err() {
            return Err(bad(format!("{name:?} is no name of a sub-protocol, which has letters, digits, '.' and '-'")));
        }
        if protocols[..index].contains(name) {
            return Err(bad(format!("{name:?} comes twice")));
        }
    }
    if protocols.is_empty() {
        return Ok(None);
    }
    HeaderValue::try_from(protocols.join(", ")).map(Some).map_err(|error| bad(error.to_string()))
}
