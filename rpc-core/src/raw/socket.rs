//! `RawSocket`: a WebSocket over any byte stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use super::{
    CloseFrame, Connection, Event, Message, RawDriver, RawError, RawInfo, RawLimits, RawReceiver, Role, outbox::Room,
    shared::RawShared,
};
use crate::error::CloseCode;

/// One end of a WebSocket. It sends and receives; [`split`](Self::split) gives a handle for each.
///
/// When it is dropped, and no [`Connection`] is left, what was queued is written and the WebSocket is closed with code
/// 1000.
///
/// ```
/// use rpc_core::raw::{Message, RawInfo, RawLimits, RawSocket, Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Any stream will do on which the HTTP handshake has been done.
/// let (near, far) = tokio::io::duplex(1024);
/// let limits = RawLimits::default();
/// let (mut server, driver) = RawSocket::driven(near, Default::default(), Role::Server, RawInfo::default(), &limits);
/// tokio::spawn(driver);
/// let (mut client, driver) = RawSocket::driven(far, Default::default(), Role::Client, RawInfo::default(), &limits);
/// tokio::spawn(driver);
///
/// client.send("hello").await?;
/// assert_eq!(server.recv().await, Some(Ok(Message::from("hello"))));
/// drop(client);
/// assert_eq!(server.recv().await, None);
/// assert_eq!(server.closed().await?.code, rpc_core::CloseCode::NORMAL);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RawSocket {
    connection: Connection,
    receiver: RawReceiver,
}

impl RawSocket {
    /// A WebSocket over a stream on which the HTTP handshake has been done, and the driver that moves its bytes:
    /// spawn the driver, or await it beside something else. `leftover` holds the bytes that were read behind the head
    /// of the request or of the answer. Nothing happens while the driver is not polled; dropping it ends the
    /// connection.
    pub fn driven<IO>(io: IO, leftover: Bytes, role: Role, info: RawInfo, limits: &RawLimits) -> (Self, RawDriver<IO>)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (sender, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(RawShared::new(info, Room::new(limits)));
        let driver = RawDriver::new(io, &leftover, role, limits, Arc::clone(&shared), queue);
        let receiver = RawReceiver::new(Arc::clone(&shared));
        (Self { connection: Connection::new(shared, sender), receiver }, driver)
    }

    /// See [`RawReceiver::recv`].
    ///
    /// # Errors
    ///
    /// See [`RawError`]. The WebSocket is over then.
    pub async fn recv(&mut self) -> Option<Result<Message, RawError>> {
        self.receiver.recv().await
    }

    /// See [`RawReceiver::recv_event`].
    ///
    /// # Errors
    ///
    /// See [`RawError`]. The WebSocket is over then.
    pub async fn recv_event(&mut self) -> Option<Result<Event, RawError>> {
        self.receiver.recv_event().await
    }

    /// See [`Connection::send`].
    ///
    /// # Errors
    ///
    /// [`RawError::Closed`] if the WebSocket is closing or closed.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), RawError> {
        self.connection.send(message).await
    }

    /// See [`Connection::ping`].
    ///
    /// # Errors
    ///
    /// [`RawError::PingTooLong`] and [`RawError::Closed`].
    pub async fn ping(&self, payload: impl Into<Bytes>) -> Result<(), RawError> {
        self.connection.ping(payload).await
    }

    /// See [`Connection::close`].
    pub fn close(&self, code: CloseCode, reason: impl Into<String>) {
        self.connection.close(code, reason);
    }

    /// See [`Connection::closed`].
    ///
    /// # Errors
    ///
    /// What ended the WebSocket, other than a goodbye of the other side.
    pub async fn closed(&self) -> Result<CloseFrame, RawError> {
        self.connection.closed().await
    }

    /// A handle that sends and closes, and tells what is known of the connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The sending and the receiving half. The first one can be cloned.
    pub fn split(self) -> (Connection, RawReceiver) {
        (self.connection, self.receiver)
    }
}

/// The messages, as [`recv`](RawSocket::recv) gives them.
impl Stream for RawSocket {
    type Item = Result<Message, RawError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}
