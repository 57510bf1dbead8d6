//! One measurement, as it goes from process to process and into the file.

use serde::{Deserialize, Serialize};

use crate::counters::Counters;

/// What one round of one row gave for one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The row's figure, in its unit.
    pub(crate) value: f64,
    pub(crate) server: Use,
    pub(crate) client: Use,
    /// The median time of a call, where the row measures times.
    pub(crate) p50_us: Option<f64>,
    /// The time that 99 calls of 100 did not exceed.
    pub(crate) p99_us: Option<f64>,
}

/// What one process used for one call, message or item, or for one MiB of streams.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Use {
    pub(crate) user_us: Option<f64>,
    pub(crate) system_us: Option<f64>,
    /// System calls that write to a socket.
    pub(crate) writes: Option<f64>,
    pub(crate) allocations: Option<f64>,
    /// Memory of a connection that does nothing.
    pub(crate) idle_kib: Option<f64>,
}

impl Use {
    /// Divides what was used by the number of calls; the allocations were counted during other calls.
    pub(crate) fn of_a_call(used: &Counters, calls: u64, allocations: u64, counted_calls: u64) -> Self {
        let calls = calls.max(1) as f64;
        Self {
            user_us: Some(used.user.as_secs_f64() * 1e6 / calls),
            system_us: Some(used.system.as_secs_f64() * 1e6 / calls),
            writes: cfg!(target_os = "linux").then_some(used.writes as f64 / calls),
            allocations: Some(allocations as f64 / counted_calls.max(1) as f64),
            idle_kib: None,
        }
    }
}
