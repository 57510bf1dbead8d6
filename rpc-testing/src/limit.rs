//! Time of processors, which other programs of a busy machine do not use up, and a limit for tests that may hang.

use std::{
    fmt, fs,
    process::abort,
    sync::{
        OnceLock,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::waiting::SOON;

/// The time for which this thread has run on a processor; where the system does not tell (Linux does), the time since
/// the first call. Only differences mean something.
pub fn thread_time() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| FIRST.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// Ends the process when the test that holds this value has taken five times [`SOON`], since a test that waits for
/// ever tells nothing. The time is real time, also where tokio's clock is paused.
pub struct Limit {
    /// The end of the test closes the channel.
    _end: Sender<()>,
}

impl Limit {
    /// Begins the time of the test that runs on this thread.
    #[expect(clippy::print_stderr, reason = "nothing else of the process is left to tell it")]
    pub fn begin() -> Self {
        let (end, ended) = channel::<()>();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if ended.recv_timeout(SOON * 5) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} has not ended within {:?}", SOON * 5);
                abort();
            }
        });
        Self { _end: end }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::begin()
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").finish_non_exhaustive()
    }
}
