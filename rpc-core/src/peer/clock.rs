//! The time.

use std::time::Instant;

/// The time, tokio's: in tests it can stand still.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
