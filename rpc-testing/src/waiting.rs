//! Waiting until something holds, and counting what waits.

use std::{
    panic::Location,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rpc_core::{Session, Stats};
use tokio::{
    task::yield_now,
    time::{advance, sleep, timeout},
};

/// Long beyond anything that should happen.
pub const SOON: Duration = Duration::from_secs(60);

/// Lets tasks run, then time pass, until something holds; [`SOON`] is more than anything may take. Where the clock is
/// paused, that time is virtual.
///
/// # Panics
///
/// With `what`, when that time is over.
#[track_caller]
pub fn until(what: &str, holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let at = Location::caller();
    async move { assert!(is_soon(holds).await, "still not: {what} ({at})") }
}

/// Whether it has come to hold within [`SOON`].
async fn is_soon(mut holds: impl FnMut() -> bool) -> bool {
    let held = async {
        for turn in 0.. {
            if holds() {
                return;
            }
            if turn < 1000 {
                yield_now().await;
            } else {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(SOON, held).await.is_ok()
}

/// Lets all tasks run until each of them waits, so that a test can assert what has *not* happened, or how far
/// something went. A paused clock moves only when no task can run, and this function waits until it has moved by a
/// second; timers that are due within this second go off.
///
/// # Panics
///
/// When the clock is not paused: a second of real time proves nothing.
pub async fn settle() {
    // Panics unless the clock is paused.
    advance(Duration::ZERO).await;
    sleep(Duration::from_secs(1)).await;
}

/// Moves a paused clock by this time, a second at a time, so that what is due on the way goes off when it is due.
///
/// # Panics
///
/// When the clock is not paused.
pub async fn pass(time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(Duration::from_secs(1));
        advance(step).await;
        left -= step;
    }
}

/// Waits until a session has no call, stream or byte left. What it sent last may not have been acknowledged, and calls
/// may have been dropped for want of room.
///
/// # Panics
///
/// With what is left, when that takes longer than [`SOON`].
pub async fn at_rest(session: &Session) {
    let is_at_rest = || {
        let mut stats = session.stats();
        (stats.connection.unacked_bulk, stats.oneway_dropped) = (0, 0);
        stats == Stats::default()
    };
    assert!(is_soon(is_at_rest).await, "not at rest: {:?}", session.stats());
}

/// Counts a handler while it is inside, however it leaves.
#[derive(Debug)]
pub struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    /// Counts until the value is dropped.
    pub fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
