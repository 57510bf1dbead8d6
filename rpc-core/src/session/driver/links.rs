//! How a session's driver lets go of a lost link, and goes on over the next one.

use std::{
    mem,
    task::{Context, Poll},
};

use super::{
    super::{
        goodbye::{close_in_background, close_replaced},
        transport::NoLink,
        yield_now::yield_now,
    },
    Driver, Progress, Round, Written,
};
use crate::{error::ConnectionError, peer::now, proto::Event, text::excerpt_of};

impl Driver {
    /// The session has lost its link for this reason. The other side is told, if it still can be.
    pub(super) fn let_go(&mut self, error: &ConnectionError) {
        tracing::debug!(session = %self.shared.id, "the session has lost its link: {}", excerpt_of(error));
        let old = mem::replace(&mut self.transport, Box::new(NoLink));
        if !matches!(error, ConnectionError::Lost(_) | ConnectionError::ClosedByPeer { .. }) {
            let limit = self.shared.config.close_timeout();
            close_in_background(old, error.close_code(), error.close_reason(), limit);
        }
        self.has_no_link = true;
        self.begin_link();
        self.shared.tell_of_link();
    }

    /// The session's links do not wait for the hooks with which it opens: acts on what has become of them, ahead of
    /// other events.
    pub(super) fn drive_links(&mut self, cx: &mut Context<'_>) {
        if !self.events.iter().any(|event| matches!(event, Event::Detached(_) | Event::Attached)) {
            return;
        }
        for event in mem::take(&mut self.events) {
            match event {
                Event::Detached(error) => self.let_go(&error),
                Event::Attached => self.take_link(cx),
                other => self.events.push_back(other),
            }
        }
    }

    /// The session goes on over another link.
    pub(super) fn take_link(&mut self, cx: &mut Context<'_>) {
        // The next but one may be here already, and its event is still to come.
        let (next, epoch) = self.shared.with(|locked| (locked.next_link.take(), locked.connection.epoch()));
        let Some(next) = next else { return };
        tracing::debug!(session = %self.shared.id, epoch, "the session goes on over another link");
        let old = mem::replace(&mut self.transport, next);
        if !mem::take(&mut self.has_no_link) {
            close_replaced(old, self.shared.config.close_timeout());
        }
        self.epoch = epoch;
        self.begin_link();
        self.shared.tell_of_link();
        // Nothing has been read from the new transport, so nothing would wake the driver.
        cx.waker().wake_by_ref();
    }

    /// The session has ended, and its last words are under way: takes in what acknowledges them, over as many links as
    /// it takes. True when nothing is awaited any more.
    pub(super) fn drive_linger(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let events = &mut self.events;
            self.shared.with(|locked| locked.connection.take_events(events));
            while let Some(event) = self.events.pop_front() {
                match event {
                    Event::Detached(error) => self.let_go(&error),
                    Event::Attached => self.take_link(cx),
                    _ => {}
                }
            }
            let epoch = self.epoch;
            let received = self.transport.poll_receive(cx);
            let controls = self.transport.progress().controls;
            let (is_lingering, has_events) = self.shared.with(|locked| {
                let connection = &mut locked.connection;
                if connection.epoch() == epoch {
                    match &received {
                        Poll::Ready(Ok(packet)) => {
                            connection.handle_packet(now(), packet.clone());
                        }
                        Poll::Ready(Err(error)) => connection.handle_lost(now(), error.clone().into()),
                        Poll::Pending => {}
                    }
                    connection.handle_controls(now(), controls);
                }
                connection.handle_timeout(now());
                (connection.is_lingering(), connection.has_events())
            });
            if !is_lingering {
                return true;
            }
            // A transport that has ended says so whenever it is asked.
            if has_events || matches!(received, Poll::Ready(Ok(_))) {
                continue;
            }
            let written = self.drive_transmit(cx, &mut Round::begun(), false);
            self.note_stuck(&written);
            match written {
                Written::Failed(error) => {
                    self.shared.with(|locked| {
                        if locked.connection.epoch() == epoch {
                            locked.connection.handle_lost(now(), error.into());
                        }
                    });
                }
                Written::More | Written::Later => {
                    yield_now(cx);
                    return false;
                }
                Written::All | Written::Stuck => {
                    if !self.shared.look(|connection| connection.has_events()) {
                        return false;
                    }
                }
            }
        }
    }

    /// Forgets what was known of the last link.
    fn begin_link(&mut self) {
        self.told = Progress::default();
        (self.dirty, self.stuck, self.batching) = (false, false, false);
    }
}
