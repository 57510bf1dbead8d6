//! `Transport`: carries packets, one message each, in both directions.
//!
//! `memory.rs` has the smallest transport. `websocket` shows what a transport for hostile peers has to do: it bounds
//! what it buffers, by `Config::max_handshake` and then by `Config::max_packet`, before the connection counts the same
//! bytes again. `WebSocket` runs over any byte stream, so only another way to carry packets is a new transport. A close
//! code is a number of RFC 6455 in every transport, and the other side gets the number as [`TransportError::Closed`].

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::{
    error::{CloseCode, ConnectionError, ProtocolError},
    text::{MAX_PEER_TEXT, cut},
};

/// Carries packets between two ends: a WebSocket, or memory.
///
/// A transport has one user at a time, which polls it from one task: the driver of a session, and at a server a
/// [`Handshake`](super::Handshake) before that, mostly in another task. The user calls, in this order: `poll_receive`
/// until it is pending; `poll_ready`, `start_send` and `poll_flush` for the packets to be sent; at the end `poll_close`
/// until it is ready. Then the user drops the transport.
pub trait Transport: Send + 'static {
    /// Returns the next packet. Errors are final. One poll must not keep the task for long, and must end after a
    /// control frame of the layer below, so that the driver can judge that frame before more is read. So the poll may
    /// be pending although more could be read; it has woken the task then.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>>;

    /// Whether a packet can be taken now.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Takes a packet, after `poll_ready` was ready. The packet may stay in a buffer until `poll_flush`.
    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError>;

    /// Ready once every packet that was taken has been handed to the layer below.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Says goodbye: writes all packets that were taken, sends the close code and reason, ends writing, and discards
    /// input until the other side's goodbye or end. Ready when all of that is done or has failed. The caller bounds how
    /// long it waits.
    fn poll_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()>;

    /// Counts that only grow, for keepalive and stalls.
    fn progress(&self) -> Progress;

    /// The handshake is done: from here on messages of up to [`max_packet`](crate::Config::max_packet) bytes are taken,
    /// also those whose bytes have been read from the layer below already. The driver calls this once, before the first
    /// `poll_receive` that may give such a message. A transport inside another must be told as well; one that has no
    /// lower limit before the handshake does nothing.
    fn handshake_done(&mut self);

    /// Puts the transport into a box, unless it is one already.
    fn boxed(self) -> Box<dyn Transport>
    where
        Self: Sized,
    {
        Box::new(self)
    }
}

impl Transport for Box<dyn Transport> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        (**self).poll_receive(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        (**self).poll_ready(cx)
    }

    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
        (**self).start_send(packet)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        (**self).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()> {
        (**self).poll_close(cx, code, reason)
    }

    fn progress(&self) -> Progress {
        (**self).progress()
    }

    fn handshake_done(&mut self) {
        (**self).handshake_done();
    }

    fn boxed(self) -> Box<dyn Transport> {
        self
    }
}

/// Takes the place of a transport while a session has none: nothing comes, and nothing can go.
pub(super) struct NoLink;

impl Transport for NoLink {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        Poll::Pending
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Pending
    }

    fn start_send(&mut self, _: Bytes) -> Result<(), TransportError> {
        Err(gone())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Pending
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: CloseCode, _: &str) -> Poll<()> {
        Poll::Ready(())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn handshake_done(&mut self) {}
}

/// Takes the place of a transport that has been dropped.
pub(super) struct Gone;

impl Transport for Gone {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        Poll::Ready(Err(gone()))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Err(gone()))
    }

    fn start_send(&mut self, _: Bytes) -> Result<(), TransportError> {
        Err(gone())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Err(gone()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: CloseCode, _: &str) -> Poll<()> {
        Poll::Ready(())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn handshake_done(&mut self) {}
}

fn gone() -> TransportError {
    TransportError::Lost("the session has dropped its transport".to_owned())
}

/// How many bytes a transport has moved each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read from the layer below.
    pub received: u64,
    /// Bytes that the layer below has taken.
    pub sent: u64,
    /// Write calls made on the layer below.
    pub writes: u64,
    /// Control frames of the layer below that came in, such as WebSocket pings and pongs. They share one budget with
    /// the protocol's own pings.
    pub controls: u64,
    /// Whether a message has begun and not ended, as far as can be told.
    pub mid_message: bool,
}

impl Progress {
    /// Whether both are the same, apart from what was written.
    #[inline]
    pub(super) fn has_read_as_much_as(self, other: Self) -> bool {
        (self.received, self.controls, self.mid_message) == (other.received, other.controls, other.mid_message)
    }
}

/// Why a transport has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// The other side said goodbye.
    Closed {
        /// The close code.
        code: CloseCode,
        /// The reason; may be empty.
        reason: String,
    },
    /// The link broke.
    Lost(String),
    /// The peer broke the rules of the layer below, for instance of WebSocket framing. A transport with rules of its
    /// own names the broken rule with [`ProtocolError::transport`].
    Protocol(ProtocolError),
}

impl From<TransportError> for ConnectionError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Closed { code, reason } => {
                Self::ClosedByPeer { code, reason: cut(&reason, MAX_PEER_TEXT).into() }
            }
            TransportError::Lost(why) => Self::Lost(why),
            TransportError::Protocol(error) => Self::Protocol(error),
        }
    }
}
