//! `DoneReports`: the one-way calls that are over, and what the other side has yet to be told of them.

use std::time::Instant;

use crate::{proto::acks::ACK_DELAY, wire::Frame};

use super::oneway_counts::{OnewayCount, OnewayCounts};

/// One-way calls that are over, by depth, counted since the session began.
///
/// A report gives permits back, which a caller with permits left does not miss. So a report waits for a packet that
/// goes out anyway, or as long as an ack waits, and one report stands for many calls.
#[derive(Debug)]
pub(super) struct DoneReports {
    done: OnewayCounts,
    /// The depths of which the other side has not been told the latest.
    untold: Vec<u32>,
    /// Calls that the other side has not been told of.
    calls: u32,
    /// Some of these calls hold bytes of the limit of arguments.
    owes_bytes: bool,
    /// When they are reported, if no packet has taken the report along before.
    due: Option<Instant>,
}

impl DoneReports {
    /// For calls of up to this depth.
    pub(super) fn new(depth: u32) -> Self {
        Self { done: OnewayCounts::new(depth), untold: Vec::new(), calls: 0, owes_bytes: false, due: None }
    }

    /// Counts a one-way call that is over, or was refused.
    #[inline]
    pub(super) fn count(&mut self, depth: u32, bytes: u64) {
        // A depth beyond the limit was refused, and its sender did not count it either.
        let Some(done) = self.done.at(depth) else { return };
        done.count += 1;
        // Only a peer that breaks the rules announces lengths that add up to more than 64 bits hold.
        done.bytes = done.bytes.saturating_add(bytes);
        self.calls = self.calls.saturating_add(1);
        self.owes_bytes |= bytes > 0;
        if !self.untold.contains(&depth) {
            self.untold.push(depth);
        }
    }

    /// Calls that the other side has not been told of.
    #[inline]
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether the report that there is must go now, even if nothing else goes. The first call of this after
    /// [`Self::count`] begins the time that the report may wait.
    #[inline]
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = *self.due.get_or_insert(now + ACK_DELAY);
        self.owes_bytes || due <= now
    }

    /// When a report must go at the latest.
    #[inline]
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The next report, if the other side has not been told all.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Frame> {
        let depth = self.untold.pop()?;
        if self.untold.is_empty() {
            (self.calls, self.owes_bytes, self.due) = (0, false, None);
        }
        let OnewayCount { count, bytes } = self.done.of(depth);
        Some(Frame::Done { depth, count, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_calls_are_reported_in_sum_and_by_depth() {
        let mut reports = DoneReports::new(2);
        assert_eq!(reports.next(), None);
        for (depth, bytes) in [(0, 40), (2, 0), (0, 2), (u32::MAX, 5)] {
            reports.count(depth, bytes);
        }
        assert_eq!(reports.calls(), 3, "a depth that is not served does not count");
        assert_eq!(reports.next(), Some(Frame::Done { depth: 2, count: 1, bytes: 0 }));
        assert_eq!(reports.next(), Some(Frame::Done { depth: 0, count: 2, bytes: 42 }));
        assert_eq!((reports.next(), reports.calls()), (None, 0));
        reports.count(0, 0);
        assert_eq!(reports.next(), Some(Frame::Done { depth: 0, count: 3, bytes: 42 }));
    }

    #[test]
    fn a_report_waits_as_an_ack_does_unless_it_owes_bytes() {
        let now = Instant::now();
        let mut reports = DoneReports::new(0);
        assert_eq!(reports.due(), None);
        reports.count(0, 0);
        assert!(!reports.is_due(now));
        reports.count(0, 0);
        assert!(!reports.is_due(now + ACK_DELAY / 2), "later calls do not put it off");
        assert_eq!(reports.due(), Some(now + ACK_DELAY));
        assert!(reports.is_due(now + ACK_DELAY));
        reports.next();
        assert_eq!(reports.due(), None);
        reports.count(0, 1);
        assert!(reports.is_due(now));
    }
}
