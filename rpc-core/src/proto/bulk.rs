//! `BulkWindow`: the congestion window of bulk, which keeps the path full and its queue short.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use super::shrink::trim_line;
use crate::config::MIN_BULK;

/// How long one minimum of the round-trip time is collected. The minimum of the period before counts too.
const PERIOD: Duration = Duration::from_secs(10);

/// A packet with a longer round-trip time came over a slow path, where the window may fall to [`MIN_BULK`].
const SLOW: Duration = Duration::from_millis(100);

/// A link with a shorter round-trip time leads to the same machine or to one nearby.
const NEAR: Duration = Duration::from_millis(5);

/// A factor as a fraction, so that windows and times stay whole numbers.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    numerator: u32,
    denominator: u32,
}

const fn ratio(numerator: u32, denominator: u32) -> Ratio {
    Ratio { numerator, denominator }
}

/// The factors of the window when it grows, and when a queue has built up.
const GROW: Ratio = ratio(3, 2);
const BACK_OFF: Ratio = ratio(2, 3);
/// The factor of the window at the beginning of a period, so that the path's queue drains and the minimum of the
/// round-trip time is measured anew.
const PROBE_RTT: Ratio = ratio(1, 2);

/// A queue has built up when the round-trip time is longer than this many times the minimum: at any time, and right
/// after the window has grown.
const QUEUE: Ratio = ratio(3, 1);
const QUEUE_AFTER_GROWTH: Ratio = ratio(7, 4);

/// The part of the minimum by which a round-trip time varies without a queue, on a near path and on all others.
const NEAR_JITTER: Ratio = ratio(1, 4);
const JITTER: Ratio = ratio(1, 2);

/// Bulk that was sent and not acknowledged, and the window that bounds it.
///
/// This is delay-based congestion control, of the family of TCP Vegas and BBR: the signal is the time from sending a
/// packet to its acknowledgement, in comparison with the minimum of that time, and not loss, which TCP hides. All
/// amounts are bytes of bulk; all times are round-trip times, in which the other side's delay of acknowledgements is
/// included.
///
/// - The window grows by half when it has held the sender up, and packets are acknowledged in about the minimum time:
///   the path holds more than the window.
/// - The window shrinks to two thirds when packets take much longer than the minimum, or noticeably longer right after
///   it has grown: what the path does not hold stands in a queue, with small calls behind it. After that the window
///   does not grow before the next period.
/// - The window is halved at the beginning of each period, which drains the queue and measures the minimum anew.
///
/// Within the limits that the configuration sets, multiplicative changes suffice: the window reaches any size in a few
/// round trips, and it is not meant to share a path fairly, which TCP underneath does.
#[derive(Debug)]
pub(crate) struct BulkWindow {
    packets: VecDeque<Packet>,
    /// Bytes sent and not acknowledged.
    under_way: usize,
    /// Bytes acknowledged since the beginning.
    acked: u64,
    /// Bytes that may be under way, and the bounds of that number.
    window: usize,
    least: usize,
    most: usize,
    /// Whether the window has held the sender up since the last acknowledgement.
    stalled: bool,
    last_change: LastChange,
    /// Packets before this one were sent with another window: their acknowledgements say nothing about this window.
    changed_at: u64,
    /// The last packet that was sent before over another link.
    sent_again: u64,
    min_rtt: MinRtt,
}

/// The last change of the window, while it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastChange {
    /// The window may grow.
    Settled,
    /// The window has grown, and no acknowledgement has shown the effect. It may grow further.
    Grew,
    /// The window has shrunk in this period, and does not grow before the next one.
    Shrank,
}

#[derive(Debug)]
struct Packet {
    seq: u64,
    bytes: usize,
    sent: Instant,
}

/// The minimum of the round-trip time in this period and the one before.
#[derive(Debug, Default)]
struct MinRtt {
    /// When this period began.
    since: Option<Instant>,
    current: Option<Duration>,
    previous: Option<Duration>,
}

impl BulkWindow {
    /// A window that begins with `window` bytes, which is its lower bound on a fast path too, and grows to at most
    /// `most` bytes.
    pub(crate) fn new(window: usize, most: usize) -> Self {
        let least = window.max(MIN_BULK);
        Self {
            packets: VecDeque::new(),
            under_way: 0,
            acked: 0,
            window: least,
            least,
            most: most.max(MIN_BULK),
            stalled: false,
            last_change: LastChange::Settled,
            changed_at: 0,
            sent_again: 0,
            min_rtt: MinRtt::default(),
        }
    }

    /// Lets no more than this be under way.
    pub(crate) fn bound(&mut self, most: usize) {
        self.most = self.most.min(most.max(MIN_BULK));
        self.least = self.least.min(self.most);
        self.window = self.window.min(self.most);
    }

    /// Frees memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        trim_line(&mut self.packets);
    }

    /// Packet `seq` carries this many bytes of bulk.
    pub(crate) fn count(&mut self, seq: u64, bytes: usize, now: Instant) {
        self.packets.push_back(Packet { seq, bytes, sent: now });
        self.under_way += bytes;
    }

    /// Packet `seq` carries this many bytes of bulk, and was sent before over another link. Its acknowledgement says
    /// nothing about this link: the other side may have it already.
    pub(crate) fn count_again(&mut self, seq: u64, bytes: usize, now: Instant) {
        self.count(seq, bytes, now);
        self.sent_again = seq;
    }

    /// The other side has acknowledged all packets up to this one.
    pub(crate) fn handle_ack(&mut self, ack: u64, now: Instant) {
        let Some(last) = self.take_acked(ack).filter(|last| last.seq > self.sent_again) else { return };
        let rtt = now.saturating_duration_since(last.sent);
        let least = if rtt > SLOW { MIN_BULK } else { self.least };
        if self.min_rtt.note(rtt, now) {
            if self.last_change == LastChange::Shrank {
                self.last_change = LastChange::Settled;
            }
            self.scale(PROBE_RTT, least);
        }
        let was_stalled = mem::take(&mut self.stalled);
        if was_stalled && last.seq >= self.changed_at {
            self.adjust(rtt, least);
        }
    }

    /// Removes the packets up to this one. Gives the last of them.
    fn take_acked(&mut self, ack: u64) -> Option<Packet> {
        let mut last = None;
        while self.packets.front().is_some_and(|packet| packet.seq <= ack) {
            last = self.packets.pop_front();
            let bytes = last.as_ref().map_or(0, |packet| packet.bytes);
            self.under_way -= bytes;
            self.acked += bytes as u64;
        }
        last
    }

    /// The window held the sender up, and a packet that was sent since the window's last change took `rtt`.
    fn adjust(&mut self, rtt: Duration, least: usize) {
        let min = self.min_rtt.get().unwrap_or(rtt);
        let has_grown = self.last_change == LastChange::Grew;
        if has_grown {
            self.last_change = LastChange::Settled;
        }
        let has_queue = exceeds(rtt, QUEUE, min) || (has_grown && exceeds(rtt, QUEUE_AFTER_GROWTH, min));
        if has_queue {
            self.last_change = LastChange::Shrank;
            self.scale(BACK_OFF, least);
        } else if rtt <= min + usual_jitter(min) && self.last_change != LastChange::Shrank {
            self.last_change = LastChange::Grew;
            self.scale(GROW, least);
        }
    }

    /// Whether one more chunk may be under way. Call it only when the socket could take a chunk: a refusal counts as
    /// the window holding the sender up.
    pub(crate) fn allows(&mut self) -> bool {
        let allowed = self.under_way < self.window;
        self.stalled |= !allowed;
        allowed
    }

    /// Bytes acknowledged since the beginning.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// Nothing of what is under way is awaited any more.
    pub(crate) fn forget(&mut self) {
        self.packets.clear();
        self.under_way = 0;
    }

    /// Bytes sent and not acknowledged.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Multiplies the window, within its bounds. A window that is below `least` already does not grow to it.
    fn scale(&mut self, by: Ratio, least: usize) {
        let scaled = self.window / by.denominator as usize * by.numerator as usize;
        let window = scaled.clamp(least.min(self.window), self.most.max(self.least));
        if window != self.window {
            self.window = window;
            self.changed_at = self.packets.back().map_or(0, |packet| packet.seq + 1);
        }
    }
}

/// Whether `rtt` is more than `by` times the minimum.
fn exceeds(rtt: Duration, by: Ratio, min: Duration) -> bool {
    rtt * by.denominator > min * by.numerator
}

/// How much longer than the minimum a round-trip time is without a queue. Within one machine and its neighbours the
/// time varies little, and a longer time shows a queue.
fn usual_jitter(min: Duration) -> Duration {
    let part = if min < NEAR { NEAR_JITTER } else { JITTER };
    min * part.numerator / part.denominator
}

impl MinRtt {
    /// Takes note of a round-trip time. True if a new period begins with it.
    fn note(&mut self, rtt: Duration, now: Instant) -> bool {
        let is_over = self.since.is_some_and(|since| now.saturating_duration_since(since) >= PERIOD);
        if is_over {
            self.previous = self.current.take();
        }
        if is_over || self.since.is_none() {
            self.since = Some(now);
        }
        self.current = Some(self.current.map_or(rtt, |min| min.min(rtt)));
        is_over
    }

    fn get(&self) -> Option<Duration> {
        self.current.into_iter().chain(self.previous).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// A path with a delay and a rate in bytes a second, and a sender who always has more to send.
    struct Path {
        window: BulkWindow,
        now: Instant,
        seq: u64,
        /// When the bytes sent so far will have passed the bottleneck.
        passed: Instant,
        acks: VecDeque<(Instant, u64)>,
    }

    impl Path {
        fn new(least: usize, most: usize) -> Self {
            let now = Instant::now();
            Self { window: BulkWindow::new(least, most), now, seq: 0, passed: now, acks: VecDeque::new() }
        }

        /// Sends for a time. Gives the bytes sent and the longest round-trip time.
        fn run(&mut self, length: Duration, delay: Duration, rate: f64) -> (usize, Duration) {
            const CHUNK: usize = 64 * KIB;
            let (end, mut sent, mut longest) = (self.now + length, 0, Duration::ZERO);
            while self.now < end {
                while self.window.allows() {
                    self.seq += 1;
                    self.window.count(self.seq, CHUNK, self.now);
                    sent += CHUNK;
                    self.passed = self.passed.max(self.now) + Duration::from_secs_f64(CHUNK as f64 / rate);
                    let ack = self.passed + delay;
                    longest = longest.max(ack - self.now);
                    self.acks.push_back((ack, self.seq));
                }
                let (at, seq) = self.acks.pop_front().unwrap();
                self.now = self.now.max(at);
                self.window.handle_ack(seq, self.now);
            }
            (sent, longest)
        }
    }

    #[test]
    fn the_window_is_worth_two_acks_at_least() {
        let mut window = BulkWindow::new(1, 1);
        let now = Instant::now();
        window.count(1, MIN_BULK - 1, now);
        assert!(window.allows());
        window.count(2, 1, now);
        assert!(!window.allows());
        window.handle_ack(2, now);
        assert_eq!((window.under_way(), window.window), (0, MIN_BULK));
    }

    #[test]
    fn a_bound_holds_from_the_beginning_and_leaves_two_acks_at_least() {
        let now = Instant::now();
        let mut window = BulkWindow::new(800 * KIB, 8192 * KIB);
        window.bound(300 * KIB);
        for seq in 1..10 {
            window.count(seq, 300 * KIB, now);
            assert!(!window.allows());
            window.handle_ack(seq, now);
        }
        window.bound(1);
        window.count(10, MIN_BULK - 1, now);
        assert!(window.allows());
    }

    #[test]
    fn the_window_grows_only_while_it_holds_the_sender_up() {
        let now = Instant::now();
        let mut window = BulkWindow::new(200 * KIB, 800 * KIB);
        window.count(1, 60, now);
        assert!(window.allows());
        window.handle_ack(1, now);
        assert_eq!((window.window, window.under_way()), (200 * KIB, 0), "no stall, no growth");
        for (seq, limit) in [(2, 300), (3, 450), (4, 675), (5, 800), (6, 800)] {
            window.count(seq, 1000 * KIB, now);
            assert!(!window.allows());
            window.handle_ack(seq, now);
            assert_eq!(window.window, limit * KIB);
        }
    }

    #[test]
    fn acks_of_what_was_sent_again_are_not_measured() {
        let now = Instant::now();
        let mut window = BulkWindow::new(200 * KIB, 800 * KIB);
        for seq in [1, 2] {
            window.count_again(seq, 1000 * KIB, now);
            assert!(!window.allows());
        }
        window.handle_ack(1, now);
        window.handle_ack(2, now);
        assert_eq!((window.window, window.under_way()), (200 * KIB, 0));
        window.count(3, 1000 * KIB, now);
        assert!(!window.allows());
        window.handle_ack(3, now);
        assert_eq!(window.window, 300 * KIB);
    }

    /// On a near path, a smaller delay means a queue.
    #[test]
    fn a_near_path_has_less_jitter() {
        let near = Duration::from_micros(100);
        for (shortest, took, grows) in [(near, 125, true), (near, 130, false), (NEAR, 150, true), (NEAR, 155, false)] {
            let mut now = Instant::now();
            let mut window = BulkWindow::new(200 * KIB, 800 * KIB);
            window.count(1, 1, now);
            now += shortest;
            window.handle_ack(1, now);
            window.count(2, 1000 * KIB, now);
            assert!(!window.allows());
            window.handle_ack(2, now + shortest * took / 100);
            assert_eq!(window.window > 200 * KIB, grows, "{took} % of {shortest:?}");
        }
    }

    #[test]
    fn a_long_path_is_filled() {
        let mut path = Path::new(256 * KIB, 8192 * KIB);
        let (second, delay, rate) = (Duration::from_secs(1), Duration::from_millis(50), 60e6);
        path.run(second, delay, rate);
        let (sent, _) = path.run(60 * second, delay, rate);
        assert!(sent as f64 > 0.95 * 60.0 * rate, "{sent} bytes in a minute");
    }

    #[test]
    fn a_short_path_has_a_short_queue_however_long_it_is_busy() {
        let mut path = Path::new(256 * KIB, 8192 * KIB);
        let (delay, rate) = (Duration::from_micros(100), 1e9);
        let (sent, longest) = path.run(Duration::from_secs(120), delay, rate);
        assert!(sent as f64 > 0.95 * 120.0 * rate, "{sent} bytes in two minutes");
        assert!(longest < Duration::from_millis(2), "{longest:?}: 8 MiB would be eight");
    }

    #[test]
    fn the_window_shrinks_on_a_path_that_becomes_slow_and_grows_again_on_one_that_becomes_long() {
        let (second, delay) = (Duration::from_secs(1), Duration::from_millis(50));
        let mut path = Path::new(256 * KIB, 8192 * KIB);
        path.run(5 * second, delay, 60e6);
        assert!(path.window.window > 2048 * KIB);
        path.run(60 * second, delay, 1e6);
        let (_, longest) = path.run(60 * second, delay, 1e6);
        assert!(longest < second / 2, "{longest:?}: 8 MiB would be eight seconds");
        path.run(60 * second, 4 * delay, 60e6);
        let (sent, _) = path.run(10 * second, 4 * delay, 60e6);
        assert!(sent as f64 > 0.6 * 10.0 * 8192.0 * 1024.0 / 0.2, "{sent} bytes in ten seconds");
    }
}
