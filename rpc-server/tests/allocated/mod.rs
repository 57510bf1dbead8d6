//! What this test program has allocated. It counts for all tests of the program.

#![allow(dead_code, reason = "each test program uses its part")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

pub(crate) const KIB: usize = 1024;
/// The number of idle connections whose memory a test averages.
pub(crate) const CONNECTIONS: usize = 20;

/// The bytes that are allocated now.
pub(crate) fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The bytes that have ever been asked for.
pub(crate) fn asked_for() -> usize {
    ALLOCATOR.stats().bytes_allocated
}
