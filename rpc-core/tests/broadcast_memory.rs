//! What a broadcast to members that do not read costs, counted by the allocator.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "groups/rooms.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rooms;

use std::alloc::System;

use rooms::{Room, deaf};
use rpc_core::Config;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MEMBERS: usize = 50;
const BYTES: usize = 100_000;
/// What a call that waits takes beside its bytes, with the memory that its queue keeps for more.
const ENTRY: usize = 256;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_many_members_is_in_memory_once() {
    let config = Config::builder().max_queued_bytes(1 << 30).build().unwrap();
    let (mut sessions, mut drivers) = (Vec::new(), Vec::new());
    for _ in 0..MEMBERS {
        let (session, driver) = deaf(&config).await;
        sessions.push(session);
        drivers.push(driver);
    }
    let room = Room::of(&sessions).all();
    let text = "x".repeat(BYTES);
    // The window is full after this, and so nothing more leaves the queues.
    for _ in 0..3 {
        room.said(&text).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let waiting = |session: &rpc_core::Session| session.stats().connection.queued_calls;
    assert!(sessions.iter().all(|session| waiting(session) > 0));
    let (before, calls) = (held(), 20);
    for _ in 0..calls {
        assert_eq!(room.said(&text).await.unwrap().queued, MEMBERS);
    }
    let grown = held() - before;
    println!("{calls} broadcasts of {BYTES} bytes to {MEMBERS} members that do not read: {grown} bytes");
    let most = calls * (BYTES + BYTES / 4 + MEMBERS * ENTRY);
    assert!(grown <= most, "{grown} bytes, and {most} were expected at most");
    drop(drivers);
    for session in &sessions {
        session.closed().await;
    }
    drop(sessions);
}
