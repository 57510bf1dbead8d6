//! `Driver`: the only task that touches a session's transport.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

use super::{
    Transport, TransportError,
    dispatch::{Dispatch, Ended},
    trace::trace_packet,
};
use crate::{
    error::ConnectionError,
    peer::{Life, Shared, now},
    proto::{Event, ServedKey},
    service::Hosting,
};

/// One poll takes in so many bytes, then writes, so that both ends work at the same time; then others have their turn.
const ROUND_BYTES: usize = 64 * 1024;
/// As above, in frames.
const ROUND_FRAMES: usize = 64;
/// With so many bytes waiting, company is not worth waiting for.
const ENOUGH_BYTES: usize = 32 * 1024;

/// Moves a session's packets, runs its handlers and keeps its times. A future that ends when the session is over; spawn it. Dropping it
/// ends the session as a lost link does.
#[must_use = "a session does nothing until its driver is spawned"]
pub struct Driver<T> {
    transport: T,
    shared: Arc<Shared>,
    dispatch: Dispatch,
    stage: Stage,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, if that is of interest.
    armed: Option<Instant>,
    /// Something was handed to the transport since the last flush.
    dirty: bool,
    /// This side has put off writing once, for callers who are about to call as well.
    put_off: bool,
    /// A write is stuck.
    stuck: bool,
    // Scratch, kept for its memory.
    events: Vec<Event>,
    ended: Vec<Ended>,
    finished: Vec<ServedKey>,
}

#[derive(Debug)]
enum Stage {
    Running,
    /// The connection has ended; output is flushed and the other side told, until this time.
    Closing(ConnectionError, Instant),
    Over,
}

/// What a round of writing came to.
enum Written {
    /// All that was there.
    All,
    /// There is more; others have their turn first.
    More,
    /// The transport takes no more for now.
    Stuck,
    Failed(TransportError),
}

impl<T: Transport> Driver<T> {
    pub(super) fn new(transport: T, shared: Arc<Shared>, hosting: Hosting) -> Self {
        Self {
            transport,
            dispatch: Dispatch::new(shared.clone(), hosting),
            stage: Stage::Running,
            timer: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            armed: None,
            dirty: false,
            put_off: false,
            stuck: false,
            events: Vec::new(),
            ended: Vec::new(),
            finished: Vec::new(),
            shared,
        }
    }

    /// Takes packets in, and lets time pass.
    fn drive_receive(&mut self, cx: &mut Context<'_>) {
        let (mut bytes, mut frames) = (0, 0);
        let now = now();
        let lost = loop {
            if bytes >= ROUND_BYTES || frames >= ROUND_FRAMES {
                cx.waker().wake_by_ref();
                break None;
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => break None,
                Poll::Ready(Err(error)) => break Some(error),
                Poll::Ready(Ok(packet)) => {
                    trace_packet(self.shared.id, "in", &packet);
                    bytes += packet.len();
                    frames += self.shared.with(|locked| locked.connection.handle_packet(now, packet)).max(1);
                }
            }
        };
        let (progress, stuck) = (self.transport.progress(), self.stuck);
        let Self { shared, events, finished, .. } = self;
        shared.with(|locked| {
            let connection = &mut locked.connection;
            connection.handle_activity(now, progress.received, progress.mid_message);
            connection.handle_write(now, stuck, progress.sent);
            if let Some(error) = lost {
                connection.handle_lost(error.into());
            }
            connection.handle_timeout(now);
            events.extend(std::iter::from_fn(|| connection.poll_event()));
            mem::swap(finished, &mut locked.finished);
        });
        self.dispatch.forget(&mut self.finished);
    }

    /// Acts on what came, starting handlers in order. True if there was something.
    fn drive_dispatch(&mut self) -> bool {
        let busy = !self.events.is_empty();
        if busy {
            self.dispatch.begin();
        }
        let mut events = mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Event::Call { key, call, payload } => self.ended.extend(self.dispatch.start(key, call, payload)),
                Event::Cancel { key } => self.dispatch.cancel(key),
                Event::Hello(hello) => {
                    tracing::debug!(session = self.shared.id, contracts = ?hello.contracts, "a client said hello");
                    let verdict = self.dispatch.hosting().judge(&hello.contracts);
                    let announced = self.dispatch.hosting().announced();
                    self.shared.with(|locked| match verdict {
                        Ok(()) => locked.connection.accept(now(), self.shared.id, announced),
                        Err(status) => locked.connection.refuse(status),
                    });
                    self.opened();
                }
                Event::Welcome(welcome) => {
                    self.dispatch.hosting().compare(&welcome.contracts);
                    self.opened();
                }
                Event::Closed(error) => {
                    self.dispatch.stop_all();
                    let until = now() + self.shared.config.close_timeout;
                    self.stage = Stage::Closing(error, until);
                }
            }
        }
        self.events = events;
        busy
    }

    fn opened(&mut self) {
        if self.shared.look(|connection| connection.is_open()) {
            tracing::debug!(session = self.shared.id, "the session is open");
            self.transport.handshake_done();
            self.shared.life.send_replace(Life::Open);
        }
    }

    /// Reports handlers that have ended, and writes what is there. `alone` says that nothing came in: whoever woke the driver is a caller.
    fn drive_transmit(&mut self, cx: &mut Context<'_>, alone: bool) -> Written {
        if alone && !self.put_off && self.ended.is_empty() {
            // Callers run right after the driver was woken by the first of them: one more turn, and their calls share a packet.
            self.put_off = self.shared.look(|connection| connection.expects_company(ENOUGH_BYTES));
            if self.put_off {
                cx.waker().wake_by_ref();
                return Written::All;
            }
        }
        self.put_off = false;
        let (now, mut written) = (now(), 0);
        loop {
            match self.transport.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Written::Failed(error),
                Poll::Pending => {
                    self.report_ended();
                    return Written::Stuck;
                }
            }
            let ended = &mut self.ended;
            let packet = self.shared.with(|locked| {
                for (key, completion, charges) in ended.drain(..) {
                    locked.connection.complete(key, completion, charges);
                }
                locked.connection.poll_transmit(now)
            });
            let Some(packet) = packet else { return self.flush(cx, Written::All) };
            trace_packet(self.shared.id, "out", &packet);
            written += packet.len();
            if let Err(error) = self.transport.start_send(packet) {
                return Written::Failed(error);
            }
            self.dirty = true;
            // A full packet goes at once, and the other side works on it while this one fills the next.
            if written >= ROUND_BYTES {
                return self.flush(cx, Written::More);
            }
            if let stuck @ (Written::Stuck | Written::Failed(_)) = self.flush(cx, Written::All) {
                return stuck;
            }
        }
    }

    fn report_ended(&mut self) {
        let ended = &mut self.ended;
        self.shared.with(|locked| {
            for (key, completion, charges) in ended.drain(..) {
                locked.connection.complete(key, completion, charges);
            }
        });
    }

    fn flush(&mut self, cx: &mut Context<'_>, written: Written) -> Written {
        if !self.dirty {
            return written;
        }
        match self.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.dirty = false;
                written
            }
            Poll::Ready(Err(error)) => Written::Failed(error),
            Poll::Pending => Written::Stuck,
        }
    }

    /// Sees to it that the driver is polled when the next deadline comes. True if one has come already.
    fn drive_timer(&mut self, cx: &mut Context<'_>, also: Option<Instant>) -> bool {
        let next = self.shared.look(|connection| connection.poll_timeout()).into_iter().chain(also).min();
        let Some(next) = next else {
            self.armed = None;
            return false;
        };
        // A timer that fires too early does no harm, and most deadlines only move away.
        if self.armed.is_none_or(|armed| next < armed) {
            self.timer.as_mut().reset(next.into());
            self.armed = Some(next);
        }
        let fired = self.timer.as_mut().poll(cx).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }

    /// One round. True if another one is due at once.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive_receive(cx);
        let mut alone = true;
        while self.drive_dispatch() {
            alone = false;
            // The Hello's verdict lets packets in that came early.
            let events = &mut self.events;
            self.shared.with(|locked| events.extend(std::iter::from_fn(|| locked.connection.poll_event())));
        }
        let written = self.drive_transmit(cx, alone);
        let stuck = matches!(written, Written::Stuck);
        if stuck != self.stuck {
            self.stuck = stuck;
            let sent = self.transport.progress().sent;
            self.shared.with(|locked| locked.connection.handle_write(now(), stuck, sent));
        }
        match written {
            Written::Failed(error) => {
                self.shared.with(|locked| locked.connection.handle_lost(error.into()));
                return true;
            }
            Written::More => cx.waker().wake_by_ref(),
            Written::All | Written::Stuck => {}
        }
        // The end may have come with what was just done.
        let over = self.shared.look(|connection| connection.ended().is_some());
        over || self.drive_timer(cx, None)
    }

    /// The connection has ended: what may still go goes, the other side is told, handlers are waited for.
    fn drive_close(&mut self, cx: &mut Context<'_>, error: &ConnectionError, until: Instant) -> Poll<()> {
        if matches!(error, ConnectionError::Lost(_)) || until <= now() {
            return self.finish_close(cx, until);
        }
        if !self.flush_rest(cx) {
            return self.pend_until(cx, until);
        }
        let (code, reason) = (error.close_code(), error.close_reason());
        match self.transport.poll_close(cx, code, &reason) {
            Poll::Ready(()) => self.finish_close(cx, until),
            Poll::Pending => self.pend_until(cx, until),
        }
    }

    /// Writes what is left, taking acknowledgements in. True when nothing is left or nothing more can go.
    fn flush_rest(&mut self, cx: &mut Context<'_>) -> bool {
        let mut gone = false;
        while let Poll::Ready(received) = self.transport.poll_receive(cx) {
            match received {
                Ok(packet) => {
                    self.shared.with(|locked| locked.connection.handle_packet(now(), packet));
                }
                Err(_) => {
                    gone = true;
                    break;
                }
            }
        }
        if gone {
            return true;
        }
        self.put_off = true;
        match self.drive_transmit(cx, false) {
            Written::All => self.shared.look(|connection| !connection.has_output()),
            Written::Failed(_) => true,
            Written::Stuck => false,
            Written::More => {
                cx.waker().wake_by_ref();
                false
            }
        }
    }

    /// Handlers that were told to stop do so at their next await.
    fn finish_close(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        if self.dispatch.is_idle() || until <= now() { Poll::Ready(()) } else { self.pend_until(cx, until) }
    }

    fn pend_until(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        if self.drive_timer(cx, Some(until)) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn finish(&mut self, error: ConnectionError) {
        tracing::debug!(session = self.shared.id, reason = %error, "the session is over");
        self.stage = Stage::Over;
        self.shared.finish(error);
    }
}

impl<T: Transport> Future for Driver<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.shared.register_driver(cx.waker());
        loop {
            match &this.stage {
                Stage::Running => {
                    if !this.drive(cx) {
                        return Poll::Pending;
                    }
                }
                Stage::Closing(error, until) => {
                    let (error, until) = (error.clone(), *until);
                    this.shared.with(|locked| mem::swap(&mut this.finished, &mut locked.finished));
                    this.dispatch.forget(&mut this.finished);
                    if this.drive_close(cx, &error, until).is_pending() {
                        return Poll::Pending;
                    }
                    this.finish(error);
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            let error = ConnectionError::Lost("the session's driver was dropped".to_owned());
            self.shared.with(|locked| locked.connection.handle_lost(error.clone()));
            self.shared.finish(error);
        }
    }
}

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("shared", &self.shared).field("stage", &self.stage).finish_non_exhaustive()
    }
}
