//! `Reading`: a link on which the first frame of the other side is awaited, at a server the Hello and at a client that
//! resumes a session the Welcome.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::{Transport, trace::trace_packet, yield_now::yield_now};
use crate::{
    error::{ConnectionError, ProtocolError},
    peer::now,
    proto::{HelloReader, WelcomeReader},
    wire::{Hello, Welcome},
};

/// Packets that one poll takes in. Other tasks run next.
const ROUND_PACKETS: usize = 64;

/// The state machine of a link before the first frame of the other side.
pub(super) trait FirstFrame {
    type Frame;

    fn handle_packet(&mut self, now: Instant, packet: Bytes) -> Result<Option<Self::Frame>, ProtocolError>;
    fn handle_controls(&mut self, now: Instant, seen: u64) -> Result<(), ProtocolError>;
    fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool);
    fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError>;
    fn poll_timeout(&self) -> Option<Instant>;
}

macro_rules! first_frame {
    ($($reader:ident reads $frame:ident;)*) => {
        $(impl FirstFrame for $reader {
            type Frame = Box<$frame>;

            fn handle_packet(&mut self, now: Instant, packet: Bytes) -> Result<Option<Self::Frame>, ProtocolError> {
                Self::handle_packet(self, now, packet)
            }

            fn handle_controls(&mut self, now: Instant, seen: u64) -> Result<(), ProtocolError> {
                Self::handle_controls(self, now, seen)
            }

            fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
                Self::handle_activity(self, now, received, mid_message);
            }

            fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
                Self::handle_timeout(self, now)
            }

            fn poll_timeout(&self) -> Option<Instant> {
                Self::poll_timeout(self)
            }
        })*
    };
}

first_frame! {
    HelloReader reads Hello;
    WelcomeReader reads Welcome;
}

/// A link whose other side has not said its first frame.
pub(super) struct Reading<R> {
    pub(super) transport: Box<dyn Transport>,
    pub(super) reader: R,
    timer: Pin<Box<Sleep>>,
}

impl<R: FirstFrame> Reading<R> {
    pub(super) fn new(transport: Box<dyn Transport>, reader: R) -> Self {
        Self { transport, reader, timer: Box::pin(sleep(Duration::ZERO)) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<R::Frame, ConnectionError>> {
        loop {
            if let Some(first) = self.receive(cx)? {
                return Poll::Ready(Ok(first));
            }
            let Some(next) = self.reader.poll_timeout() else { return Poll::Pending };
            self.timer.as_mut().reset(next.into());
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Takes packets in until the frame has come, and lets time pass.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Option<R::Frame>, ConnectionError> {
        let now = now();
        let mut packets = 0;
        let lost = loop {
            if packets >= ROUND_PACKETS {
                yield_now(cx);
                break None;
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => break None,
                Poll::Ready(Err(error)) => break Some(error),
                Poll::Ready(Ok(packet)) => {
                    trace_packet(None, "in", &packet);
                    packets += 1;
                    let first = self.reader.handle_packet(now, packet).map_err(ConnectionError::Protocol)?;
                    if first.is_some() {
                        return Ok(first);
                    }
                }
            }
        };
        let progress = self.transport.progress();
        self.reader.handle_controls(now, progress.controls).map_err(ConnectionError::Protocol)?;
        self.reader.handle_activity(now, progress.received, progress.mid_message);
        if let Some(error) = lost {
            return Err(error.into());
        }
        self.reader.handle_timeout(now)?;
        Ok(None)
    }
}
