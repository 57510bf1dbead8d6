//! Virtual time.

use std::time::Duration;

use tokio::time::{advance, sleep};

/// Lets all tasks run until each of them waits: for another one, for the network or for time to pass. Then a test can
/// assert what has *not* happened, which no waiting for an event shows.
///
/// A paused clock moves only when no task can run, and this function waits until the clock has moved by a millisecond.
/// To let more time pass, sleep: `tokio::time::sleep(Duration::from_secs(60)).await` takes no real time, and each
/// timer goes off when it is due. (`tokio::time::advance` jumps, and what is due in between is late.)
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static DONE: AtomicBool = AtomicBool::new(false);
///
/// // In a test: #[tokio::test(start_paused = true)]
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// tokio::spawn(async { DONE.store(true, Ordering::SeqCst) });
/// rpc_test::settle().await;
/// assert!(DONE.load(Ordering::SeqCst));
/// # }
/// ```
///
/// # Panics
///
/// When the clock is not paused: a millisecond of real time proves nothing.
pub async fn settle() {
    // Panics unless the clock is paused.
    advance(Duration::ZERO).await;
    sleep(Duration::from_millis(1)).await;
}
