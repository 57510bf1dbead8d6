//! `RawDriver`: the only future that touches the stream of a WebSocket.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Sleep, sleep},
};

use super::{
    CloseFrame, Event, RawError, RawLimits, Role,
    closing::Closing,
    outbox::Outgoing,
    shared::{Ask, RawShared},
    timers::{Due, Timers},
    wire::{Incoming, Wire},
};
use crate::{error::CloseCode, session::yield_now};

/// Moves the bytes of a [`RawSocket`](super::RawSocket): a future that is ready when the WebSocket is over. Poll the
/// driver within a tokio runtime that has timers. Dropping the driver ends the connection without a goodbye.
#[must_use = "a WebSocket moves only while its driver is polled"]
pub struct RawDriver<IO> {
    wire: Wire<IO>,
    role: Role,
    close_timeout: Duration,
    shared: Arc<RawShared>,
    queue: mpsc::UnboundedReceiver<Outgoing>,
    /// All handles that send are gone, or the queue was closed and is empty.
    is_queue_over: bool,
    /// The goodbye that goes out when the queue is empty.
    parting: Option<CloseFrame>,
    /// The other side's breach of the rules. What came before it is read and answered first, in a bounded time.
    breach: Option<(RawError, Pin<Box<Sleep>>)>,
    timers: Timers,
    closing: Option<Closing>,
    /// What [`Connection::closed`](super::Connection::closed) will say, once the WebSocket is closing.
    end: Result<CloseFrame, RawError>,
    is_over: bool,
}

/// Why the WebSocket leaves its open state.
#[derive(Debug)]
enum Leave {
    /// The other side said goodbye.
    Goodbye(CloseFrame),
    /// This side says goodbye.
    Parting(CloseFrame),
    Failed(RawError),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> RawDriver<IO> {
    pub(super) fn new(
        io: IO,
        leftover: &Bytes,
        role: Role,
        limits: &RawLimits,
        shared: Arc<RawShared>,
        queue: mpsc::UnboundedReceiver<Outgoing>,
    ) -> Self {
        Self {
            wire: Wire::new(io, leftover, role, limits),
            role,
            close_timeout: limits.close_timeout,
            shared,
            queue,
            is_queue_over: false,
            parting: None,
            breach: None,
            timers: Timers::new(limits),
            closing: None,
            end: Err(dropped()),
            is_over: false,
        }
    }

    /// Sends, receives and looks at the clock until there is a reason to close.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Leave> {
        self.wire.set_waker(cx);
        self.shared.driver.register(cx.waker());
        match self.shared.take_ask() {
            None => {}
            Some(Ask::Abort(frame)) => return Poll::Ready(Leave::Failed(RawError::Aborted(frame))),
            // A breach has its own goodbye.
            Some(Ask::Close(_)) if self.breach.is_some() => {}
            Some(Ask::Close(frame)) => {
                self.parting.get_or_insert(frame);
                self.queue.close();
            }
        }
        loop {
            if let Some(leave) = self.transmit(cx).transpose() {
                return Poll::Ready(leave.unwrap_or_else(Leave::Failed));
            }
            if let Some(error) = self.settle_breach(cx) {
                return Poll::Ready(Leave::Failed(error));
            }
            let is_reading = match self.receive(cx) {
                Ok(is_reading) => is_reading,
                Err(Leave::Failed(error @ RawError::Protocol(_))) => {
                    self.shared.inbox.end(Some(error.clone()));
                    self.breach = Some((error, Box::pin(sleep(self.close_timeout))));
                    continue;
                }
                Err(leave) => return Poll::Ready(leave),
            };
            self.timers.heard(self.wire.received(), is_reading);
            self.timers.blocked((!self.wire.is_ready()).then(|| self.wire.sent()));
            match self.timers.poll_due(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Due::End(error)) => return Poll::Ready(Leave::Failed(error)),
                Poll::Ready(Due::Ping) => {
                    if let Err(error) = self.wire.write(Outgoing::Ping(Bytes::new())) {
                        return Poll::Ready(Leave::Failed(error));
                    }
                }
            }
        }
    }

    /// Writes what waits in the queue, as far as the stream takes it. Gives the reason to close, if the end of the
    /// queue is one.
    fn transmit(&mut self, cx: &mut Context<'_>) -> Result<Option<Leave>, RawError> {
        if !self.wire.flush()? {
            return Ok(None);
        }
        while !self.is_queue_over && self.wire.is_ready() {
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(outgoing)) => {
                    self.shared.room.release(&outgoing);
                    self.wire.write(outgoing)?;
                }
                Poll::Ready(None) => self.is_queue_over = true,
                Poll::Pending => break,
            }
        }
        self.wire.flush()?;
        if !self.is_queue_over || self.breach.is_some() {
            return Ok(None);
        }
        if self.parting.is_none() && self.shared.inbox.is_abandoned() {
            self.parting = Some(CloseFrame::new(CloseCode::NORMAL, ""));
        }
        Ok(self.parting.take().map(Leave::Parting))
    }

    /// Gives the breach that ends the connection, once what came before it has been answered, or the time is over.
    fn settle_breach(&mut self, cx: &mut Context<'_>) -> Option<RawError> {
        let (error, limit) = self.breach.as_mut()?;
        let is_answered = self.shared.inbox.is_finished() && self.queue.is_empty() && self.wire.is_ready();
        (is_answered || limit.as_mut().poll(cx).is_ready()).then(|| error.clone())
    }

    /// Reads as far as there is something to read, and room for it. False if there is no room.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, Leave> {
        while self.breach.is_none() && self.shared.inbox.has_room() {
            match self.wire.read().map_err(Leave::Failed)? {
                None => return Ok(true),
                Some(Incoming::Close(frame)) => return Err(Leave::Goodbye(frame)),
                Some(Incoming::Event(event)) => {
                    let is_message = matches!(event, Event::Message(_));
                    self.shared.inbox.push(event);
                    if !is_message {
                        // Each ping costs an answer, so others have their turn before the next one is read.
                        yield_now(cx);
                        return Ok(true);
                    }
                }
            }
        }
        self.wire.settle();
        Ok(false)
    }

    fn leave(&mut self, leave: Leave) {
        self.shared.room.close();
        self.queue.close();
        while self.queue.try_recv().is_ok() {}
        let (goodbye, awaits_answer) = match leave {
            Leave::Goodbye(frame) => {
                let _ = self.shared.goodbye.set(frame.clone());
                self.shared.inbox.end(None);
                self.end = Ok(frame);
                // The library has queued the answer.
                (None, false)
            }
            Leave::Parting(frame) => {
                self.shared.inbox.end(None);
                self.end = Err(RawError::Lost("the other side did not answer the close frame in time".to_owned()));
                (Some(frame), true)
            }
            Leave::Failed(error) => {
                self.shared.inbox.end(Some(error.clone()));
                self.end = Err(error.clone());
                let Some(frame) = error.goodbye() else {
                    self.is_over = true;
                    return;
                };
                (Some(frame), matches!(error, RawError::Aborted(_)))
            }
        };
        if let Some(frame) = goodbye {
            self.wire.close(frame);
        }
        self.closing = Some(Closing::new(self.role, awaits_answer, self.close_timeout));
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.is_none() && !self.is_over {
            match self.poll_open(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(leave) => self.leave(leave),
            }
        }
        if let Some(closing) = &mut self.closing {
            let mut answered = None;
            let polled = closing.poll(&mut self.wire, &mut answered, cx);
            if let Some(frame) = answered {
                let _ = self.shared.goodbye.set(frame.clone());
                if !matches!(self.end, Err(RawError::Aborted(_))) {
                    self.end = Ok(frame);
                }
            }
            if polled.is_pending() {
                return Poll::Pending;
            }
        }
        self.is_over = true;
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for RawDriver<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_over(cx);
        if polled.is_ready() {
            self.shared.finish(self.end.clone());
        }
        polled
    }
}

impl<IO> Drop for RawDriver<IO> {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.finish(self.end.clone());
        }
    }
}

impl<IO> fmt::Debug for RawDriver<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawDriver").field("role", &self.role).finish_non_exhaustive()
    }
}

fn dropped() -> RawError {
    RawError::Lost("the driver of the WebSocket was dropped".to_owned())
}
