//! `Wire`: the WebSocket library over a metered stream, with the errors of this module.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{
    self,
    error::Error,
    protocol::{self, WebSocketConfig},
};

use super::{CloseFrame, Event, Message, RawError, RawLimits, Role, Text, outbox::Outgoing};
use crate::{
    error::WebSocketViolation,
    session::{
        TransportError,
        websocket::{Metered, Socket, failure, goodbye, would_block},
    },
};

/// The bytes that frame headers may add to an unfinished message.
const OVERHEAD: usize = 64 * 1024;

const LONGEST_HEADER: usize = 14;

/// Reads and writes frames. No method waits: a method that would have to wait says so, and the waker is called later.
#[derive(Debug)]
pub(super) struct Wire<IO> {
    socket: Socket<IO>,
    max_message: usize,
    write_buffer: usize,
    /// The bytes that the library may hold for writing at the moment.
    most: usize,
    /// Whether something has been handed to the library that is not flushed.
    dirty: bool,
    /// Whether the last write was blocked by the stream below.
    blocked: bool,
}

/// What has been read.
#[derive(Debug)]
pub(super) enum Incoming {
    Event(Event),
    Close(CloseFrame),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    pub(super) fn new(io: IO, leftover: &Bytes, role: Role, limits: &RawLimits) -> Self {
        let most = base(limits.write_buffer);
        let settings = WebSocketConfig::default()
            .read_buffer_size(limits.read_buffer)
            .write_buffer_size(limits.write_buffer)
            .max_write_buffer_size(most)
            .max_message_size(Some(limits.max_message))
            .max_frame_size(Some(limits.max_frame.min(limits.max_message)));
        let role = match role {
            Role::Server => protocol::Role::Server,
            Role::Client => protocol::Role::Client,
        };
        Self {
            socket: Socket::new(Metered::checking_text(io, leftover), leftover, role, settings),
            max_message: limits.max_message,
            write_buffer: limits.write_buffer,
            most,
            dirty: false,
            blocked: false,
        }
    }

    pub(super) fn set_waker(&mut self, cx: &Context<'_>) {
        self.socket.metered_mut().set_waker(cx.waker());
    }

    /// Reads what comes next; `None` if nothing whole is there.
    pub(super) fn read(&mut self) -> Result<Option<Incoming>, RawError> {
        loop {
            let Poll::Ready(message) = self.socket.poll_read() else {
                self.socket.metered_mut().begin_round();
                return self.check_unfinished();
            };
            let event = match message {
                Ok(tungstenite::Message::Text(text)) => Message::Text(Text::of_library(text)).into(),
                Ok(tungstenite::Message::Binary(bytes)) => Message::Binary(bytes).into(),
                Ok(tungstenite::Message::Ping(payload)) => {
                    // The library has queued the pong.
                    self.dirty = true;
                    Event::Ping(payload)
                }
                Ok(tungstenite::Message::Pong(payload)) => Event::Pong(payload),
                Ok(tungstenite::Message::Frame(_)) => continue,
                Ok(tungstenite::Message::Close(frame)) => {
                    self.dirty = true;
                    return match goodbye(frame) {
                        TransportError::Closed { code, reason } => {
                            Ok(Some(Incoming::Close(CloseFrame { code, reason })))
                        }
                        other => Err(other.into()),
                    };
                }
                Err(Error::Utf8(_)) => return Err(RawError::Protocol(WebSocketViolation::TextNotUtf8.into())),
                Err(error) => return Err(failure(error, false).into()),
            };
            return Ok(Some(Incoming::Event(event)));
        }
    }

    /// Reading stops until there is room for what is read.
    pub(super) fn settle(&mut self) {
        self.socket.settle();
    }

    /// Whether the next message can be taken. It is written with the next flush, or sooner.
    pub(super) fn is_ready(&self) -> bool {
        !self.blocked
    }

    pub(super) fn write(&mut self, outgoing: Outgoing) -> Result<(), RawError> {
        let message = match outgoing {
            Outgoing::Message(message) => message.into_library(),
            Outgoing::Ping(payload) => tungstenite::Message::Ping(payload),
        };
        // Answers to pings may have filled the base, and a frame header has 14 bytes.
        self.raise_to(message.len().saturating_add(base(self.write_buffer)).saturating_add(LONGEST_HEADER));
        self.dirty = true;
        match self.socket.write(message) {
            Ok(()) => Ok(()),
            // The library has put the message into its buffer before the write blocked.
            Err(error) if would_block(&error) => {
                self.blocked = true;
                Ok(())
            }
            Err(error) => Err(failure(error, false).into()),
        }
    }

    /// Writes out what is there. False if the stream below takes no more for now.
    pub(super) fn flush(&mut self) -> Result<bool, RawError> {
        if !self.dirty {
            return Ok(true);
        }
        match self.socket.flush() {
            // This is how the library says that a closing handshake is over.
            Ok(()) | Err(Error::ConnectionClosed) => {
                (self.dirty, self.blocked) = (false, false);
                self.lower();
                Ok(true)
            }
            Err(error) if would_block(&error) => {
                self.blocked = true;
                Ok(false)
            }
            Err(error) => Err(failure(error, false).into()),
        }
    }

    /// Queues the close frame. If the other side has sent its own first, the answer to it is queued already, and goes
    /// out instead.
    pub(super) fn close(&mut self, frame: CloseFrame) {
        self.raise_to(usize::MAX);
        // A pong that is still queued must go out before the close frame (RFC 6455 §5.5.1).
        let _ = self.socket.flush();
        let _ = self.socket.close(frame.into_library());
        self.dirty = true;
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.metered_mut().poll_shutdown(cx)
    }

    /// Discards input. Ready at the end of the stream or at an error.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.metered_mut().poll_discard(cx)
    }

    /// Bytes that have come in.
    pub(super) fn received(&self) -> u64 {
        self.socket.metered().received()
    }

    /// Bytes that the stream below has taken.
    pub(super) fn sent(&self) -> u64 {
        self.socket.metered().sent()
    }

    /// Checks what has come of the unfinished message: its text, which the library looks at when a frame is whole, and
    /// its length with its frame headers, because the library limits the payloads only.
    fn check_unfinished(&self) -> Result<Option<Incoming>, RawError> {
        if self.socket.metered().framing().is_text_invalid() {
            return Err(RawError::Protocol(WebSocketViolation::TextNotUtf8.into()));
        }
        let max = self.max_message.saturating_add(OVERHEAD);
        if self.socket.metered().framing().unfinished() > max as u64 {
            return Err(RawError::Protocol(WebSocketViolation::TooManyFragments { max }.into()));
        }
        Ok(None)
    }

    /// The library refuses what does not fit. The bound is for the answers to pings, which nothing else bounds.
    fn raise_to(&mut self, most: usize) {
        if most > self.most {
            self.set_most(most);
        }
    }

    fn lower(&mut self) {
        let base = base(self.write_buffer);
        if self.most > base {
            self.set_most(base);
        }
    }

    fn set_most(&mut self, most: usize) {
        self.most = most;
        self.socket.set_config(|settings| settings.max_write_buffer_size = most);
    }
}

/// Room for what is collected, and for answers to pings.
fn base(write_buffer: usize) -> usize {
    write_buffer.saturating_mul(2)
}
