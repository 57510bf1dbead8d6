//! The time.

use std::time::Instant;
#[cfg(not(test))]
use std::time::SystemTime;

/// The time of tokio's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of the clock on the wall, which goes on while the machine sleeps, and which people and programs set.
#[cfg(not(test))]
pub(crate) fn on_the_wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
pub(crate) use in_tests::{move_wall_clock, on_the_wall};

/// A clock on the wall that goes with tokio's, until a test moves it.
#[cfg(test)]
mod in_tests {
    use std::{
        cell::Cell,
        time::{Duration, Instant, SystemTime},
    };

    use super::now;

    thread_local! {
        /// The time at which both clocks agreed, and what the one on the wall is ahead of the other since then.
        static WALL: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
    }

    pub(crate) fn on_the_wall() -> SystemTime {
        let now = now();
        let (then, wall) = WALL.get().unwrap_or((now, SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)));
        WALL.set(Some((then, wall)));
        wall + now.saturating_duration_since(then)
    }

    /// Moves the clock on the wall of this thread, by a number of seconds.
    pub(crate) fn move_wall_clock(seconds: i64) {
        let (now, wall, by) = (now(), on_the_wall(), Duration::from_secs(seconds.unsigned_abs()));
        WALL.set(Some((now, if seconds < 0 { wall - by } else { wall + by })));
    }
}
