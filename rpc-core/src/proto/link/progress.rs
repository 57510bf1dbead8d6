//! `Progress`: how many bytes a link has moved, and whether that is enough.

use crate::proto::assembly::MIN_PROGRESS;

/// While more bytes than this wait to be written, the other side must take some of them …
pub(crate) const BACKLOG: usize = 64 * 1024;
/// … namely this many in each [`Config::progress_timeout`](crate::Config::progress_timeout).
pub(crate) const BACKLOG_PROGRESS: u64 = 64 * 1024;

/// The bytes that one link has moved each way since it began, and what they were when each of its watches began. A
/// watch is a timer of the link; its baseline is meaningful only while the timer is set.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    received: u64,
    sent: u64,
    /// The transport cannot take a packet now.
    stuck: bool,
    message: Baseline,
    write: Baseline,
    backlog: Baseline,
}

/// The value of a byte count at the beginning of a period.
#[derive(Clone, Copy, Debug, Default)]
struct Baseline(u64);

impl Baseline {
    /// Whether the count has grown by `least` since the baseline. If so, the next period begins.
    fn is_passed(&mut self, count: u64, least: u64) -> bool {
        let passed = count.saturating_sub(self.0) >= least;
        if passed {
            self.0 = count;
        }
        passed
    }
}

impl Progress {
    /// Notes how many bytes have come in since the link began; true if that is more than before.
    #[inline]
    pub(crate) fn note_received(&mut self, received: u64) -> bool {
        let is_more = received > self.received;
        if is_more {
            self.received = received;
        }
        is_more
    }

    /// Notes how many bytes have gone out since the link began.
    #[inline]
    pub(crate) fn note_sent(&mut self, sent: u64) {
        self.sent = sent;
    }

    /// Whether the transport cannot take a packet.
    #[inline]
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck
    }

    pub(crate) fn set_stuck(&mut self, stuck: bool) {
        self.stuck = stuck;
    }

    /// A message has begun to come in.
    pub(crate) fn begin_message(&mut self) {
        self.message = Baseline(self.received);
    }

    /// A write is stuck from now on.
    pub(crate) fn begin_write(&mut self) {
        self.write = Baseline(self.sent);
    }

    /// A backlog waits to be written from now on.
    pub(crate) fn begin_backlog(&mut self) {
        self.backlog = Baseline(self.sent);
    }

    /// Whether the message has grown enough in this period. If so, the next one begins.
    pub(crate) fn has_message_grown(&mut self) -> bool {
        self.message.is_passed(self.received, MIN_PROGRESS)
    }

    /// Whether the stuck write has moved at all in this period. If so, the next one begins.
    pub(crate) fn has_write_moved(&mut self) -> bool {
        self.write.is_passed(self.sent, 1)
    }

    /// Whether enough of the backlog was taken in this period. If so, the next one begins.
    pub(crate) fn has_backlog_moved(&mut self) -> bool {
        self.backlog.is_passed(self.sent, BACKLOG_PROGRESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_came_before_are_no_news() {
        let mut progress = Progress::default();
        assert!(!progress.note_received(0));
        assert!(progress.note_received(5));
        assert!(!progress.note_received(5) && !progress.note_received(4));
    }

    #[test]
    fn a_period_is_judged_by_what_moved_in_it() {
        let mut progress = Progress::default();
        progress.note_received(100);
        progress.begin_message();
        progress.note_received(100 + MIN_PROGRESS - 1);
        assert!(!progress.has_message_grown());
        progress.note_received(100 + MIN_PROGRESS);
        assert!(progress.has_message_grown());
        assert!(!progress.has_message_grown(), "a new period has begun");
    }

    #[test]
    fn one_byte_moves_a_write_and_a_backlog_takes_more() {
        let mut progress = Progress::default();
        progress.note_sent(10);
        progress.begin_write();
        progress.begin_backlog();
        assert!(!progress.has_write_moved());
        progress.note_sent(11);
        assert!(progress.has_write_moved() && !progress.has_write_moved());
        assert!(!progress.has_backlog_moved());
        progress.note_sent(10 + BACKLOG_PROGRESS);
        assert!(progress.has_backlog_moved() && !progress.has_backlog_moved());
    }
}
