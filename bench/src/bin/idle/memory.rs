//! What a process holds.

use std::{fmt, fs, str::FromStr};

use common::Outcome;

use crate::ALLOCATOR;

/// What a process holds, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What the kernel counts as the process's resident memory.
    resident: u64,
    /// What the allocator has given out.
    heap: u64,
}

/// What a connection takes, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) resident: f64,
    pub(crate) heap: f64,
}

impl Memory {
    /// What this process holds now.
    pub(crate) fn now() -> Outcome<Self> {
        let stats = ALLOCATOR.stats();
        let heap = u64::try_from(stats.bytes_allocated - stats.bytes_deallocated)?;
        Ok(Self { resident: resident()?, heap })
    }

    /// What each of these connections takes that have come since `before`.
    pub(crate) fn since(self, before: Self, connections: usize) -> Taken {
        let each = |now: u64, before: u64| (now as f64 - before as f64) / 1024.0 / connections as f64;
        Taken { resident: each(self.resident, before.resident), heap: each(self.heap, before.heap) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resident, self.heap)
    }
}

impl FromStr for Memory {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Outcome<Self> {
        let (resident, heap) = text.split_once(' ').ok_or_else(|| format!("`{text}` is not two figures"))?;
        Ok(Self { resident: resident.parse()?, heap: heap.parse()? })
    }
}

/// From the sum over the mappings: the figures in `/proc/self/status` may lag behind.
fn resident() -> Outcome<u64> {
    let path = "/proc/self/smaps_rollup";
    let rollup = fs::read_to_string(path)
        .map_err(|error| format!("{path}, which tells the resident memory on Linux, cannot be read: {error}"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or_else(|| format!("{path} has no line Rss"))?;
    Ok(kib.parse::<u64>()? * 1024)
}
