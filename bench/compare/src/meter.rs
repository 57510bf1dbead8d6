//! Counts calls until it says stop, and keeps their times if these are wanted.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::Outcome;

/// What all callers of one phase share.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    is_stopped: AtomicBool,
    is_timed: bool,
    calls: AtomicU64,
    micros: Mutex<Vec<f32>>,
}

/// What one caller counts; it adds that to the meter when it is dropped.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    meter: &'a Meter,
    made: u64,
    micros: Vec<f32>,
}

/// What a phase came to.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Calls, messages or items.
    pub(crate) count: u64,
    pub(crate) elapsed: Duration,
    /// Of each call, sorted, if they are wanted.
    pub(crate) micros: Vec<f32>,
}

impl Meter {
    /// Lets `work` go on for this time, and until it has ended what it has begun.
    pub(crate) async fn run<F>(time: Duration, is_timed: bool, work: impl FnOnce(Arc<Self>) -> F) -> Outcome<Phase>
    where
        F: Future<Output = Outcome<()>>,
    {
        let meter = Arc::new(Self { is_timed, ..Self::default() });
        let begun = Instant::now();
        let stopper = Arc::clone(&meter);
        let stop = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            stopper.stop();
        });
        work(Arc::clone(&meter)).await?;
        let elapsed = begun.elapsed();
        stop.abort();
        let mut micros = std::mem::take(&mut *meter.micros.lock().unwrap_or_else(PoisonError::into_inner));
        micros.sort_by(f32::total_cmp);
        Ok(Phase { count: meter.calls.load(Ordering::Relaxed), elapsed, micros })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Says stop before the time is up.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Counts calls that no tally counts.
    pub(crate) fn add(&self, calls: u64) {
        self.calls.fetch_add(calls, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> Tally<'_> {
        Tally { meter: self, made: 0, micros: Vec::new() }
    }
}

impl Tally<'_> {
    /// A call begins.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.meter.is_timed.then(Instant::now)
    }

    /// A call has ended that began then.
    pub(crate) fn end(&mut self, begun: Option<Instant>) {
        self.made += 1;
        if let Some(begun) = begun {
            self.micros.push(begun.elapsed().as_secs_f32() * 1e6);
        }
    }

    /// The number of calls so far.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.meter.add(self.made);
        self.meter.micros.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.micros);
    }
}

impl Phase {
    /// The time that this share of the calls did not exceed, in microseconds.
    pub(crate) fn percentile(&self, share: f64) -> Option<f64> {
        let at = (self.micros.len() as f64 * share) as usize;
        self.micros.get(at.min(self.micros.len().saturating_sub(1))).map(|micros| f64::from(*micros))
    }
}
