//! `Timers`: when a WebSocket pings, and when it gives up.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{RawError, RawLimits};

/// Judges silence and stuck writes by the bytes that have been moved.
#[derive(Debug)]
pub(super) struct Timers {
    ping_after: Duration,
    silence: Duration,
    write_timeout: Duration,
    /// When bytes have come in, and how many in all.
    heard: (Instant, u64),
    has_pinged: bool,
    /// Since when writing is blocked without progress, and how many bytes had been taken then.
    stuck: Option<(Instant, u64)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What a timer has found due.
#[derive(Debug)]
pub(super) enum Due {
    Ping,
    End(RawError),
}

impl Timers {
    pub(super) fn new(limits: &RawLimits) -> Self {
        Self {
            ping_after: limits.ping_after.min(limits.silence / 2),
            silence: limits.silence,
            write_timeout: limits.write_timeout,
            heard: (Instant::now(), 0),
            has_pinged: false,
            stuck: None,
            sleep: None,
        }
    }

    /// Notes how many bytes have come in. While this side does not read, the peer's silence says nothing.
    pub(super) fn heard(&mut self, received: u64, is_reading: bool) {
        if received != self.heard.1 || !is_reading {
            self.heard = (Instant::now(), received);
            self.has_pinged = false;
        }
    }

    /// Notes how many bytes have been taken, if writing is blocked.
    pub(super) fn blocked(&mut self, sent: Option<u64>) {
        self.stuck = match (sent, self.stuck) {
            (None, _) => None,
            (Some(sent), Some((since, before))) if sent == before => Some((since, before)),
            (Some(sent), _) => Some((Instant::now(), sent)),
        };
    }

    /// Ready when something is due. A ping is due once in a silence.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            let (at, due) = self.next();
            let Some(at) = at else { return Poll::Pending };
            if at <= Instant::now() {
                self.has_pinged |= matches!(due, Due::Ping);
                return Poll::Ready(due);
            }
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            // A sleep that ends too soon only looks again, and most sleeps never end.
            if sleep.deadline() > at || sleep.is_elapsed() {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// What is due next, and when. `None` means never.
    fn next(&self) -> (Option<Instant>, Due) {
        let heard = self.heard.0;
        let silence = if self.has_pinged {
            (heard.checked_add(self.silence), Due::End(RawError::Silent(self.silence)))
        } else {
            (heard.checked_add(self.ping_after), Due::Ping)
        };
        let stuck = self.stuck.and_then(|(since, _)| since.checked_add(self.write_timeout));
        match (silence.0, stuck) {
            (Some(at), Some(stuck)) if stuck <= at => (Some(stuck), Due::End(RawError::Stuck(self.write_timeout))),
            (None, Some(stuck)) => (Some(stuck), Due::End(RawError::Stuck(self.write_timeout))),
            _ => silence,
        }
    }
}
