//! How a session's driver ends: it writes the rest, tells the other side, waits for handlers and runs the `closed`
//! hooks.

use std::{
    mem,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use futures::FutureExt;
use tokio::runtime::Handle;

use super::{
    super::{opening::closed_hooks, transport::Gone, yield_now::yield_now},
    Driver, Round, Stage, Written,
};
use crate::{
    error::ConnectionError,
    panics::wake_all,
    peer::{EndOfValues, Polled, now},
    proto::Event,
    text::excerpt_of,
};

/// The rounds in which a driver that is dropped writes the rest. One writes 64 KiB; a socket takes little more at once.
const LAST_ROUNDS: usize = 16;

impl Driver {
    /// Writes the rest, says goodbye and waits for handlers, because the connection has ended.
    pub(super) fn drive_close(&mut self, cx: &mut Context<'_>, error: &ConnectionError, until: Instant) -> Poll<()> {
        let code = self.shared.look(|connection| connection.close_code(error));
        let Some(code) = code.filter(|_| !self.has_no_link && until > now()) else {
            return self.finish_close(cx, until);
        };
        if !self.flush_rest(cx) {
            return self.pend_until(cx, Some(until));
        }
        match self.transport.poll_close(cx, code, &error.close_reason()) {
            Poll::Ready(()) => self.finish_close(cx, until),
            Poll::Pending => self.pend_until(cx, Some(until)),
        }
    }

    /// The last words have been acknowledged, or the other side has had its own. The link is closed next.
    pub(super) fn end_linger(&mut self) {
        self.is_lingering = false;
        let ended = self.shared.look(|connection| connection.ended().cloned());
        if let (Stage::Closing(end), Some(ended)) = (&mut self.stage, ended) {
            **end = (ended, now() + self.shared.config.close_timeout());
        }
    }

    /// Writes the rest, and takes acknowledgements in meanwhile. True when nothing is left or nothing more can be
    /// written.
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
        let controls = self.transport.progress().controls;
        if gone || !self.shared.with(|locked| locked.connection.handle_controls(now(), controls)) {
            return true;
        }
        let written = self.drive_transmit(cx, &mut Round::begun(), false);
        self.note_stuck(&written);
        match written {
            Written::All => self.shared.look(|connection| !connection.has_output()),
            Written::Failed(_) => true,
            Written::Stuck => false,
            Written::More | Written::Later => {
                yield_now(cx);
                false
            }
        }
    }

    /// Waits for handlers, which stop at their next await, and for producers of streams.
    fn finish_close(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let idle = self.dispatch.is_idle() && self.shared.producers() == 0;
        if idle || until <= now() { Poll::Ready(()) } else { self.pend_until(cx, Some(until)) }
    }

    pub(super) fn pend_until(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> Poll<()> {
        let next = self.shared.look(|connection| connection.poll_timeout());
        if self.alarm.poll(cx, now(), next.into_iter().chain(until).min()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    pub(super) fn finish(&mut self, error: ConnectionError) {
        tracing::debug!(session = %self.shared.id, reason = excerpt_of(&error), "the session is over");
        self.transport = Box::new(Gone);
        self.tell_of_end(&error);
        self.end_values();
        self.shared.finish(error);
        self.stage = Stage::ClosedHooks;
    }

    /// The driver is dropped while its session is open, for instance because the program's runtime ends: writes what
    /// the transport takes without waiting. Gives the reason for the end.
    fn end_at_once(&mut self) -> ConnectionError {
        let events = &mut self.events;
        self.shared.with(|locked| locked.connection.take_events(events));
        // The session may have been closed just before, and the driver not been polled since.
        let closed = self.events.drain(..).find_map(|event| match event {
            Event::Closed(error) => Some(error),
            _ => None,
        });
        self.write_last(closed.as_ref());
        closed.unwrap_or_else(|| ConnectionError::Lost("the session's driver was dropped".to_owned()))
    }

    /// Writes what waits, and the goodbye if the session has been closed, as far as the transport takes it at once.
    fn write_last(&mut self, closed: Option<&ConnectionError>) {
        let code = closed.and_then(|error| self.shared.look(|connection| connection.close_code(error)));
        let is_lost = closed.is_some() && code.is_none();
        if is_lost || !self.handshake_done || thread::panicking() || Handle::try_current().is_err() {
            return;
        }
        let cx = &mut Context::from_waker(Waker::noop());
        let is_written = (0..LAST_ROUNDS).any(|_| self.flush_rest(cx));
        if let Some((error, code)) = closed.zip(code).filter(|_| is_written) {
            // This writes the Close frame. The other side's answer is not waited for.
            let _ = self.transport.poll_close(cx, code, &error.close_reason());
        }
    }

    /// Tells the observers of the end, unless that has been done.
    pub(super) fn tell_of_end(&mut self, error: &ConnectionError) {
        if mem::replace(&mut self.has_told_of_end, true) {
            return;
        }
        let was_open = self.was_open;
        self.observe(|observer, session| {
            if was_open {
                observer.session_closed(session, error);
            } else {
                observer.session_failed(&session.info(), error);
            }
        });
    }

    /// Stops the handlers, drops the objects and gets the `closed` hooks ready, unless that has been done.
    pub(super) fn begin_closed_hooks(&mut self, error: &ConnectionError) {
        self.dispatch.stop_all();
        let opened = self.shared.hooks_opened.swap(0, Ordering::Relaxed);
        if opened > 0 {
            let hosting = self.dispatch.hosting().clone();
            self.closed_hooks = Some(closed_hooks(hosting, self.shared.clone(), opened, error.clone()).boxed());
        }
    }

    /// The handlers have stopped, or have had the time for it: the session's values go when the `closed` hooks have
    /// run, which may ask for them. What the session hosts goes as well.
    fn end_values(&mut self) {
        drop(self.dispatch.take_hosting());
        let values = EndOfValues::new(&self.shared.facts);
        self.closed_hooks = self.closed_hooks.take().map(|hooks| {
            let values_last = async move {
                hooks.await;
                drop(values);
            };
            values_last.boxed()
        });
    }

    /// Runs the `closed` hooks on, if there are any.
    pub(super) fn drive_closed_hooks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(closed_hooks) = &mut self.closed_hooks else { return Poll::Ready(()) };
        let polled = self.shared.polling(Polled::Hook, || closed_hooks.poll_unpin(cx));
        if polled.is_ready() {
            self.closed_hooks = None;
        }
        polled
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        wake_all(&mut self.wakes);
        let error = match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Running => self.end_at_once(),
            Stage::Closing(end) => {
                let (error, _) = *end;
                self.write_last(Some(&error));
                error
            }
            Stage::ClosedHooks | Stage::Over => return,
        };
        self.shared.with(|locked| {
            locked.connection.handle_lost(now(), error.clone());
            // Another link would have no driver.
            locked.connection.give_up_links();
        });
        self.begin_closed_hooks(&error);
        self.tell_of_end(&error);
        self.end_values();
        self.shared.finish(error);
        if let (Some(closed_hooks), Ok(runtime)) = (self.closed_hooks.take(), Handle::try_current()) {
            runtime.spawn(closed_hooks);
        }
    }
}
