//! `Connection`: the handle of a WebSocket that sends and closes.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;

use super::{
    CloseFrame, Message, RawError, RawInfo,
    outbox::Outgoing,
    shared::{Ask, RawShared},
};
use crate::error::CloseCode;

/// A ping's payload, in bytes (RFC 6455 §5.5).
const LONGEST_PING: usize = 125;

/// A handle of a WebSocket that sends and closes. Cheap to clone; two handles are equal if they are of one WebSocket.
///
/// Messages go out in the order in which they were queued. The WebSocket closes with code 1000 when all handles and its
/// receiver have been dropped, after it has written what was queued.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<RawShared>,
    queue: mpsc::UnboundedSender<Outgoing>,
}

/// The number of a WebSocket, from [`Connection::id`]: unique in the process, and higher for a WebSocket that began
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Connection {
    pub(super) fn new(shared: Arc<RawShared>, queue: mpsc::UnboundedSender<Outgoing>) -> Self {
        Self { shared, queue }
    }

    /// Queues a message: text from a `&str` or `String`, binary from `Bytes` or `Vec<u8>`. Waits while the queue is
    /// full, first come, first served ([`RawLimits::queue_bytes`](super::RawLimits::queue_bytes),
    /// [`queue_messages`](super::RawLimits::queue_messages)).
    ///
    /// Dropping the future before it is ready sends nothing. Success says that the message is queued, not that it has
    /// arrived.
    ///
    /// # Errors
    ///
    /// [`RawError::Closed`] if the WebSocket is closing or closed, also while the future waits.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), RawError> {
        let outgoing = Outgoing::Message(message.into());
        self.shared.room.reserve(&outgoing).await?;
        self.push(outgoing)
    }

    /// Queues a message, and does not wait.
    ///
    /// # Errors
    ///
    /// [`RawError::Full`] if the queue has no room, [`RawError::Closed`] if the WebSocket is closing or closed.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), RawError> {
        let outgoing = Outgoing::Message(message.into());
        self.shared.room.try_reserve(&outgoing)?;
        self.push(outgoing)
    }

    /// Queues a ping behind the messages that are queued already; its payload has at most 125 bytes. The pong is an
    /// [`Event`](super::Event). Waits as [`send`](Self::send) does, and dropping the future has the same effect.
    ///
    /// # Errors
    ///
    /// [`RawError::PingTooLong`], and the errors of [`send`](Self::send).
    pub async fn ping(&self, payload: impl Into<Bytes>) -> Result<(), RawError> {
        let payload = payload.into();
        if payload.len() > LONGEST_PING {
            return Err(RawError::PingTooLong(payload.len()));
        }
        let outgoing = Outgoing::Ping(payload);
        self.shared.room.reserve(&outgoing).await?;
        self.push(outgoing)
    }

    /// Says goodbye when all that is queued has been written. Acts at once and does not wait; [`closed`](Self::closed)
    /// waits for the end. From here on no message is taken for sending, and the receiver gets no message that comes in
    /// later.
    ///
    /// A reason of more than 123 bytes is cut. A code that must not be sent becomes 1000 (RFC 6455 §7.4).
    pub fn close(&self, code: CloseCode, reason: impl Into<String>) {
        self.shared.ask(Ask::Close(CloseFrame::new(code, reason)));
    }

    /// Says goodbye at once: what is queued is not sent. The receiver gets [`RawError::Aborted`]. Otherwise as
    /// [`close`](Self::close).
    pub fn abort(&self, code: CloseCode, reason: impl Into<String>) {
        self.shared.ask(Ask::Abort(CloseFrame::new(code, reason)));
    }

    /// Waits until the WebSocket is over, and gives the close frame of the other side, or why there was none. Dropping
    /// the future only stops the waiting.
    ///
    /// # Errors
    ///
    /// What ended the WebSocket, other than a goodbye of the other side.
    pub async fn closed(&self) -> Result<CloseFrame, RawError> {
        self.shared.ended().await
    }

    /// A number that tells this WebSocket from all others of the process, for instance as the key of a map.
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// Whether the WebSocket is over.
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }

    /// The close frame of the other side, if one has come.
    pub fn goodbye(&self) -> Option<&CloseFrame> {
        self.shared.goodbye.get()
    }

    /// What is known from the handshake.
    pub fn info(&self) -> &RawInfo {
        &self.shared.info
    }

    /// The sub-protocol that both sides agreed on, if they did.
    pub fn protocol(&self) -> Option<&str> {
        self.info().protocol.as_deref()
    }

    /// The other side's address, if it is known.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.info().connection.peer_addr
    }

    /// The headers of the handshake: at a server the request's, at a client the answer's.
    pub fn headers(&self) -> &HeaderMap {
        &self.info().connection.headers
    }

    fn push(&self, outgoing: Outgoing) -> Result<(), RawError> {
        self.queue.send(outgoing).map_err(|_| RawError::Closed)
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("Connection")
            .field("id", &self.id().0)
            .field("peer_addr", &self.peer_addr())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
