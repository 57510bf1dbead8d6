//! A clock that nothing but a test moves.

use std::sync::mpsc::channel;

use tokio::{task::spawn_blocking, time::pause};

use crate::waiting::SOON;

/// Runs a test with tokio's clock stopped: the clock moves by [`tokio::time::advance`] alone.
///
/// A clock that is only paused jumps to the next timer whenever all tasks wait, also when they wait for the bytes of a
/// real socket. With a stopped clock, real sockets and virtual time go together. Nothing may wait for a sleep, as
/// [`until`](crate::until) does when it has waited for a while.
///
/// Must be called within a runtime of tokio with one thread. When the future has ended, the clock is a paused one.
///
/// # Panics
///
/// When the test takes longer than [`SOON`] of real time.
pub async fn with_stopped_clock<T>(test: impl Future<Output = T>) -> T {
    pause();
    let (end, ended) = channel::<()>();
    // The paused clock does not jump while a blocking task runs.
    let guard = spawn_blocking(move || ended.recv_timeout(SOON));
    tokio::select! {
        biased;
        done = test => {
            drop(end);
            done
        }
        _ = guard => panic!("the test has not ended within {SOON:?} of real time"),
    }
}
