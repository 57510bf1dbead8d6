//! `DoneReports`: the one-way calls that are over, and what the other side has yet to be told of them.

use std::time::Instant;

use crate::{proto::acks::ACK_DELAY, wire::Frame};

use super::oneway_counts::{OnewayCount, OnewayCounts};

/// The caller sends few calls that it might have dropped before it has heard of their end, so this many of them are
/// reported at once.
const MARKED: u32 = 8;

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
    /// Calls that the caller might have dropped: how many are over, and how many of these it has not been told of.
    marked: u64,
    untold_marked: u32,
    /// When they are reported, if no packet has taken the report along before.
    due: Option<Instant>,
}

impl DoneReports {
    /// For calls of up to this depth.
    pub(super) fn new(depth: u32) -> Self {
        Self {
            done: OnewayCounts::new(depth),
            untold: Vec::new(),
            calls: 0,
            owes_bytes: false,
            marked: 0,
            untold_marked: 0,
            due: None,
        }
    }

    /// Counts a one-way call that is over, or was refused; `marked` if its caller might have dropped it.
    #[inline]
    pub(super) fn count(&mut self, depth: u32, bytes: u64, marked: bool) {
        // A depth beyond the limit was refused, and its sender did not count it either.
        let Some(done) = self.done.at(depth) else { return };
        done.count += 1;
        // Only a peer that breaks the rules announces lengths that add up to more than 64 bits hold.
        done.bytes = done.bytes.saturating_add(bytes);
        self.calls = self.calls.saturating_add(1);
        self.owes_bytes |= bytes > 0;
        if marked {
            self.marked += 1;
            self.untold_marked += 1;
        }
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
        self.owes_bytes || self.untold_marked >= MARKED || due <= now
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
            (self.calls, self.owes_bytes, self.untold_marked, self.due) = (0, false, 0, None);
        }
        let OnewayCount { count, bytes } = self.done.of(depth);
        Some(Frame::Done { depth, count, bytes, marked: self.marked })
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
            reports.count(depth, bytes, false);
        }
        assert_eq!(reports.calls(), 3, "a depth that is not served does not count");
        assert_eq!(reports.next(), Some(Frame::Done { depth: 2, count: 1, bytes: 0, marked: 0 }));
        assert_eq!(reports.next(), Some(Frame::Done { depth: 0, count: 2, bytes: 42, marked: 0 }));
        assert_eq!((reports.next(), reports.calls()), (None, 0));
        reports.count(0, 0, false);
        assert_eq!(reports.next(), Some(Frame::Done { depth: 0, count: 3, bytes: 42, marked: 0 }));
    }

    #[test]
    fn a_report_waits_as_an_ack_does_unless_it_owes_bytes() {
        let now = Instant::now();
        let mut reports = DoneReports::new(0);
        assert_eq!(reports.due(), None);
        reports.count(0, 0, false);
        assert!(!reports.is_due(now));
        reports.count(0, 0, false);
        assert!(!reports.is_due(now + ACK_DELAY / 2), "later calls do not put it off");
        assert_eq!(reports.due(), Some(now + ACK_DELAY));
        assert!(reports.is_due(now + ACK_DELAY));
        reports.next();
        assert_eq!(reports.due(), None);
        reports.count(0, 1, false);
        assert!(reports.is_due(now));
    }

    #[test]
    fn calls_that_might_have_been_dropped_are_counted_once_more_and_reported_soon() {
        let now = Instant::now();
        let mut reports = DoneReports::new(1);
        for _ in 1..MARKED {
            reports.count(0, 0, true);
        }
        reports.count(1, 0, false);
        assert!(!reports.is_due(now));
        reports.count(1, 0, true);
        assert!(reports.is_due(now));
        assert_eq!(reports.next(), Some(Frame::Done { depth: 1, count: 2, bytes: 0, marked: u64::from(MARKED) }));
        assert_eq!(reports.next(), Some(Frame::Done { depth: 0, count: 7, bytes: 0, marked: u64::from(MARKED) }));
        reports.count(0, 0, true);
        assert!(!reports.is_due(now), "those that were told do not count again");
        reports.count(u32::MAX, 0, true);
        assert_eq!(reports.next(), Some(Frame::Done { depth: 0, count: 8, bytes: 0, marked: u64::from(MARKED) + 1 }));
    }
}
