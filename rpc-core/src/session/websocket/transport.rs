//! `WebSocket`: packets as binary messages over any byte stream (RFC 6455).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep},
};
use tokio_tungstenite::tungstenite::{
    Utf8Bytes,
    error::Error,
    protocol::{CloseFrame, Message, Role, WebSocketConfig},
};

use super::{
    failure::{failure, goodbye, handshake_too_long, violation},
    metered::Metered,
    pool::READ,
    socket::{Socket, would_block},
};
use crate::{
    config::Config,
    error::{CloseCode, WebSocketViolation},
    session::{
        transport::{Progress, Transport, TransportError},
        yield_now::yield_now,
    },
};

/// Frames are collected up to this size and then written without waiting for the flush.
const WRITE_BUFFER: usize = 64 * 1024;
/// The bytes that are read at once before the handshake is done. What has been read by then may wait for the verdict.
const HANDSHAKE_READ: usize = 4 * 1024;
/// The number of bytes that frame headers may add to an unfinished message after the handshake …
const OVERHEAD: usize = 64 * 1024;
/// … and to all messages together before its end.
const HANDSHAKE_OVERHEAD: usize = 1024;
/// A control frame's payload holds 125 bytes (RFC 6455 §5.5), of which the close code takes two.
const LONGEST_REASON: usize = 123;
/// The time for which input is discarded after the close frame. Dropping a socket with unread input resets the
/// connection, and the reset may overtake the close code.
const DISCARD: Duration = Duration::from_secs(1);

/// A [`Transport`] over a byte stream on which the HTTP upgrade has been done.
///
/// A violation of the WebSocket protocol by the peer ends the transport with [`TransportError::Protocol`]. The close
/// code says which rule was broken: 1003 for a text message, 1009 for a message that is too long, 1002 for everything
/// else. A message may have [`Config::max_packet`](crate::Config::max_packet) bytes. Until
/// [`handshake_done`](Transport::handshake_done), all messages together may have
/// [`Config::max_handshake`](crate::Config::max_handshake) bytes. Pings are answered, and counted in
/// [`Progress::controls`]. Extensions are never negotiated.
#[derive(Debug)]
pub struct WebSocket<IO> {
    socket: Socket<IO>,
    max_packet: usize,
    max_handshake: usize,
    /// Bytes that may still come before the handshake is done; `None` once it is.
    handshake_left: Option<usize>,
    /// The number of pings and pongs that came in. The connection limits it.
    controls: u64,
    /// Whether the last write was blocked by the stream below.
    blocked: bool,
    ended: Option<TransportError>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    NotYet,
    Flushing,
    ShuttingDown,
    Discarding(Pin<Box<Sleep>>),
    Done,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    /// The server's end. `leftover` holds the bytes that were read after the head of the request.
    pub fn server(io: IO, leftover: Bytes, config: &Config) -> Self {
        Self::new(io, leftover, Role::Server, config)
    }

    /// The client's end. `leftover` holds the bytes that were read after the head of the response.
    pub fn client(io: IO, leftover: Bytes, config: &Config) -> Self {
        Self::new(io, leftover, Role::Client, config)
    }

    fn new(io: IO, leftover: Bytes, role: Role, config: &Config) -> Self {
        let settings = WebSocketConfig::default()
            .read_buffer_size(config.read_buffer())
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(
                config.max_packet().max(config.chunk()).saturating_add(WRITE_BUFFER).saturating_mul(2),
            )
            .max_message_size(Some(config.max_handshake()))
            .max_frame_size(Some(config.max_handshake()));
        let mut socket = Socket::new(Metered::new(io, &leftover), &leftover, role, settings);
        socket.limit_reads(HANDSHAKE_READ);
        Self {
            socket,
            max_packet: config.max_packet(),
            max_handshake: config.max_handshake(),
            handshake_left: Some(config.max_handshake()),
            controls: 0,
            blocked: false,
            ended: None,
            closing: Closing::NotYet,
        }
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &Socket<IO> {
        &self.socket
    }

    fn deliver(&mut self, packet: Bytes) -> Result<Bytes, TransportError> {
        if let Some(left) = &mut self.handshake_left {
            match left.checked_sub(packet.len()) {
                Some(rest) => *left = rest,
                None => return Err(self.end(handshake_too_long(self.max_handshake))),
            }
            self.socket.settle();
        }
        Ok(packet)
    }

    /// Checks the length of the unfinished message with its frame headers, and before the handshake is done also the
    /// length of all messages together. The library limits the payloads only. This is called once all that was read has
    /// been taken in, so a handshake that has ended is known to have ended, and nothing that follows it is counted.
    fn check_overhead(&mut self) -> Result<(), TransportError> {
        let max = match self.handshake_left {
            Some(left) => left + HANDSHAKE_OVERHEAD,
            None => self.max_packet + OVERHEAD,
        };
        if self.socket.metered().framing().unfinished() > max as u64 {
            return Err(self.end(violation(WebSocketViolation::TooManyFragments { max })));
        }
        let all = self.max_handshake + HANDSHAKE_OVERHEAD;
        if self.handshake_left.is_some() && self.socket.metered().framing().messages() > all as u64 {
            return Err(self.end(handshake_too_long(self.max_handshake)));
        }
        Ok(())
    }

    fn end(&mut self, error: TransportError) -> TransportError {
        self.ended = Some(error.clone());
        error
    }

    fn fail(&mut self, error: Error) -> TransportError {
        if self.handshake_left.is_some() && matches!(error, Error::Capacity(_)) {
            return self.end(handshake_too_long(self.max_handshake));
        }
        let text_seen = self.socket.metered().framing().text_seen();
        self.end(failure(error, text_seen))
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        self.socket.metered_mut().set_waker(cx.waker());
        match self.socket.flush() {
            Ok(()) => {
                self.blocked = false;
                Poll::Ready(Ok(()))
            }
            Err(error) if would_block(&error) => {
                self.blocked = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(self.fail(error))),
        }
    }

    /// Takes one step of closing and returns the next state; `None` if the step has to wait.
    fn drive_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Option<Closing> {
        match &mut self.closing {
            Closing::NotYet => {
                // A pong that is still queued must go out before the close frame (RFC 6455 §5.5.1). If the flush
                // fails, the next call fails too.
                let _ = self.socket.flush();
                // If the other side has sent its close frame first, the library sends nothing here: the answer to that
                // frame is in the buffer already.
                let goodbye = CloseFrame { code: code.sendable().0.into(), reason: cut(reason) };
                match self.socket.close(goodbye) {
                    Err(error) if would_block(&error) => Some(Closing::Flushing),
                    _ => Some(Closing::ShuttingDown),
                }
            }
            Closing::Flushing => match self.socket.flush() {
                Err(error) if would_block(&error) => None,
                _ => Some(Closing::ShuttingDown),
            },
            Closing::ShuttingDown => match self.socket.metered_mut().poll_shutdown(cx) {
                Poll::Pending => None,
                Poll::Ready(_) => Some(Closing::Discarding(Box::pin(sleep(DISCARD)))),
            },
            Closing::Discarding(timer) => {
                let discarded = self.socket.metered_mut().poll_discard(cx).is_ready();
                (discarded || timer.as_mut().poll(cx).is_ready()).then_some(Closing::Done)
            }
            Closing::Done => None,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for WebSocket<IO> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        self.socket.metered_mut().set_waker(cx.waker());
        let ended = loop {
            let Poll::Ready(message) = self.socket.poll_read() else {
                self.socket.metered_mut().begin_round();
                self.check_overhead()?;
                return Poll::Pending;
            };
            match message {
                Ok(Message::Binary(packet)) => return Poll::Ready(self.deliver(packet)),
                Ok(Message::Ping(_) | Message::Pong(_)) => {
                    // Each ping costs an answer, so the driver must count the ping before the next one is read.
                    self.controls += 1;
                    yield_now(cx);
                    return Poll::Pending;
                }
                Ok(Message::Text(_)) => break violation(WebSocketViolation::Text),
                Ok(Message::Close(frame)) => break goodbye(frame),
                Ok(Message::Frame(_)) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        };
        Poll::Ready(Err(self.end(ended)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        // The driver has read as much as it wants to before it writes.
        self.socket.metered_mut().begin_round();
        if self.blocked || self.ended.is_some() { self.poll_write_out(cx) } else { Poll::Ready(Ok(())) }
    }

    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        match self.socket.write(Message::Binary(packet)) {
            Ok(()) => Ok(()),
            // The library has put the packet into its buffer before the write blocked.
            Err(error) if would_block(&error) => {
                self.blocked = true;
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_write_out(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()> {
        self.socket.metered_mut().set_waker(cx.waker());
        while let Some(next) = self.drive_close(cx, code, reason) {
            self.closing = next;
        }
        if !matches!(self.closing, Closing::Done) {
            return Poll::Pending;
        }
        self.ended.get_or_insert_with(|| TransportError::Lost("the WebSocket is closed already".into()));
        Poll::Ready(())
    }

    fn progress(&self) -> Progress {
        let metered = self.socket.metered();
        Progress {
            received: metered.received(),
            sent: metered.sent(),
            writes: metered.writes(),
            controls: self.controls,
            mid_message: metered.framing().unfinished() > 0,
        }
    }

    fn handshake_done(&mut self) {
        // A client may have sent these bytes in one packet before it has the Welcome. The connection counts them.
        self.max_packet = self.max_packet.max(self.handshake_left.take().unwrap_or(0));
        self.socket.limit_reads(READ);
        let limit = Some(self.max_packet);
        self.socket.set_config(|settings| {
            settings.max_message_size = limit;
            settings.max_frame_size = limit;
        });
    }
}

fn cut(reason: &str) -> Utf8Bytes {
    let end = (0..=LONGEST_REASON.min(reason.len())).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    reason[..end].into()
}
