//! `BulkWindow`: how much bulk may be under way, so that the path is full and no small call waits behind a queue.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use crate::config::MIN_BULK;

/// How long the path's shortest time is good for; after twice that it is forgotten.
const PERIOD: Duration = Duration::from_secs(10);
/// An ack that takes longer than this has come by a slow path, where less than the limit's beginning will do.
const SLOW: Duration = Duration::from_millis(100);

/// An ack that takes less than this has come from the same machine or from one nearby.
const NEAR: Duration = Duration::from_millis(5);

/// Bulk that was sent and not acknowledged, and its limit.
///
/// The limit grows while it is what holds the sender up and acks come about as soon as they ever do: the path holds
/// more than we thought. It shrinks when they take longer for its growth, or much longer for whatever reason: what is
/// beyond what the path holds stands in a queue, with small calls behind it. Then it does not grow again in this
/// period.
#[derive(Debug)]
pub(crate) struct BulkWindow {
    packets: VecDeque<Packet>,
    under_way: usize,
    acked: u64,
    limit: usize,
    least: usize,
    most: usize,
    stalled: bool,
    /// It has grown, and no ack has told yet what came of that.
    grown: bool,
    /// It has shrunk in this period.
    shrunk: bool,
    /// Acks of packets before this one tell nothing of the limit as it is now.
    changed_at: u64,
    shortest: Shortest,
}

#[derive(Debug)]
struct Packet {
    seq: u64,
    bytes: usize,
    sent: Instant,
}

/// The shortest time to an ack in this period and the one before.
#[derive(Debug, Default)]
struct Shortest {
    since: Option<Instant>,
    now: Option<Duration>,
    before: Option<Duration>,
}

impl BulkWindow {
    pub(crate) fn new(limit: usize, most: usize) -> Self {
        let least = limit.max(MIN_BULK);
        Self {
            packets: VecDeque::new(),
            under_way: 0,
            acked: 0,
            limit: least,
            least,
            most: most.max(MIN_BULK),
            stalled: false,
            grown: false,
            shrunk: false,
            changed_at: 0,
            shortest: Shortest::default(),
        }
    }

    /// The packet of this number carries so many bytes of bulk.
    pub(crate) fn count(&mut self, seq: u64, bytes: usize, now: Instant) {
        self.packets.push_back(Packet { seq, bytes, sent: now });
        self.under_way += bytes;
    }

    /// Packets up to this number have come to the other side.
    pub(crate) fn handle_ack(&mut self, ack: u64, now: Instant) {
        let mut last = None;
        while self.packets.front().is_some_and(|packet| packet.seq <= ack) {
            last = self.packets.pop_front();
            let bytes = last.as_ref().map_or(0, |packet| packet.bytes);
            self.under_way -= bytes;
            self.acked += bytes as u64;
        }
        let Some(last) = last else { return };
        let took = now.saturating_duration_since(last.sent);
        let least = if took > SLOW { MIN_BULK } else { self.least };
        if self.shortest.note(took, now) {
            // Now and then less is under way, to see how long the path takes by itself.
            self.shrunk = false;
            self.set(self.limit / 2, least);
        }
        let shortest = self.shortest.get().unwrap_or(took);
        if !mem::take(&mut self.stalled) || last.seq < self.changed_at {
            return;
        }
        let grown = mem::take(&mut self.grown);
        if took > shortest * 3 || (grown && took * 4 > shortest * 7) {
            self.shrunk = true;
            self.set(self.limit / 3 * 2, least);
        } else if took <= shortest + usual_delay(shortest) && !self.shrunk {
            self.grown = true;
            self.set(self.limit / 2 * 3, least);
        }
    }

    /// Whether one more chunk may be under way. Call it only when the socket could take one: a refusal is remembered as
    /// a stall.
    pub(crate) fn allows(&mut self) -> bool {
        let allowed = self.under_way < self.limit;
        self.stalled |= !allowed;
        allowed
    }

    /// Bytes acknowledged since the beginning.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// Bytes sent and not acknowledged.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    fn set(&mut self, limit: usize, least: usize) {
        let limit = limit.clamp(least.min(self.limit), self.most.max(self.least));
        if limit != self.limit {
            self.limit = limit;
            self.changed_at = self.packets.back().map_or(0, |packet| packet.seq + 1);
        }
    }
}

/// How much later than the shortest an ack may come where nothing queues: the path's jitter. Within one machine and its
/// neighbours there is little, and a longer time is that of a queue.
fn usual_delay(shortest: Duration) -> Duration {
    if shortest < NEAR { shortest / 4 } else { shortest / 2 }
}

impl Shortest {
    /// True if a new period begins.
    fn note(&mut self, took: Duration, now: Instant) -> bool {
        let over = self.since.is_some_and(|since| now.saturating_duration_since(since) >= PERIOD);
        if over {
            self.before = self.now.take();
        }
        if over || self.since.is_none() {
            self.since = Some(now);
        }
        self.now = Some(self.now.map_or(took, |shortest| shortest.min(took)));
        over
    }

    fn get(&self) -> Option<Duration> {
        self.now.into_iter().chain(self.before).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// A path that takes its time and lets through so many bytes a second, and a sender who always has more.
    struct Path {
        window: BulkWindow,
        now: Instant,
        seq: u64,
        /// When the bytes sent so far will have passed the narrowest place.
        passed: Instant,
        acks: VecDeque<(Instant, u64)>,
    }

    impl Path {
        fn new(least: usize, most: usize) -> Self {
            let now = Instant::now();
            Self { window: BulkWindow::new(least, most), now, seq: 0, passed: now, acks: VecDeque::new() }
        }

        /// Sends for so long. Gives the bytes sent and the longest time to an ack.
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
    fn the_limit_is_worth_two_acks_at_least() {
        let mut window = BulkWindow::new(1, 1);
        let now = Instant::now();
        window.count(1, MIN_BULK - 1, now);
        assert!(window.allows());
        window.count(2, 1, now);
        assert!(!window.allows());
        window.handle_ack(2, now);
        assert_eq!((window.under_way(), window.limit), (0, MIN_BULK));
    }

    #[test]
    fn it_grows_only_while_it_is_what_stalls() {
        let now = Instant::now();
        let mut window = BulkWindow::new(200 * KIB, 800 * KIB);
        window.count(1, 60, now);
        assert!(window.allows());
        window.handle_ack(1, now);
        assert_eq!((window.limit, window.under_way()), (200 * KIB, 0), "no stall, no growth");
        for (seq, limit) in [(2, 300), (3, 450), (4, 675), (5, 800), (6, 800)] {
            window.count(seq, 1000 * KIB, now);
            assert!(!window.allows());
            window.handle_ack(seq, now);
            assert_eq!(window.limit, limit * KIB);
        }
    }

    /// On a near path what is later than usual is a queue sooner than on a long one.
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
            assert_eq!(window.limit > 200 * KIB, grows, "{took} % of {shortest:?}");
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
    fn a_short_path_has_no_queue_to_speak_of_however_long_it_is_busy() {
        let mut path = Path::new(256 * KIB, 8192 * KIB);
        let (delay, rate) = (Duration::from_micros(100), 1e9);
        let (sent, longest) = path.run(Duration::from_secs(120), delay, rate);
        assert!(sent as f64 > 0.95 * 120.0 * rate, "{sent} bytes in two minutes");
        assert!(longest < Duration::from_millis(2), "{longest:?}: 8 MiB would be eight");
    }

    #[test]
    fn it_shrinks_where_the_path_becomes_slow_and_grows_again_where_it_becomes_long() {
        let (second, delay) = (Duration::from_secs(1), Duration::from_millis(50));
        let mut path = Path::new(256 * KIB, 8192 * KIB);
        path.run(5 * second, delay, 60e6);
        assert!(path.window.limit > 2048 * KIB);
        path.run(60 * second, delay, 1e6);
        let (_, longest) = path.run(60 * second, delay, 1e6);
        assert!(longest < second / 2, "{longest:?}: 8 MiB would be eight seconds");
        path.run(60 * second, 4 * delay, 60e6);
        let (sent, _) = path.run(10 * second, 4 * delay, 60e6);
        assert!(sent as f64 > 0.6 * 10.0 * 8192.0 * 1024.0 / 0.2, "{sent} bytes in ten seconds");
    }
}
