//! What a process has used: processor time, writes to sockets, allocations, memory.

mod allocations;
mod writes;

use std::{ops::Sub, time::Duration};

use common::Outcome;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use serde::{Deserialize, Serialize};

pub(crate) use allocations::{Counting, count_allocations};

/// What one process has used since it began, or between two moments.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// In user space.
    pub(crate) user: Duration,
    /// In the kernel.
    pub(crate) system: Duration,
    /// System calls that write to a socket; always 0 where nothing counts them (elsewhere than on Linux).
    pub(crate) writes: u64,
    /// Allocations while they were counted.
    pub(crate) allocations: u64,
    /// Resident memory, in KiB; between two moments, by how much it grew.
    pub(crate) resident_kib: i64,
}

impl Counters {
    /// Those of this process.
    pub(crate) fn read() -> Outcome<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let time = |value: TimeVal| Duration::from_micros(value.num_microseconds().unsigned_abs());
        Ok(Self {
            user: time(usage.user_time()),
            system: time(usage.system_time()),
            writes: writes::count(),
            allocations: allocations::count(),
            resident_kib: resident_kib(),
        })
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            writes: self.writes.saturating_sub(before.writes),
            allocations: self.allocations.saturating_sub(before.allocations),
            resident_kib: self.resident_kib - before.resident_kib,
        }
    }
}

/// What Linux says of this process; 0 where there is no such file.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
