//! What a broadcast to members that do not read costs, counted by the allocator.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "groups/rooms.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rooms;

use std::alloc::System;

use rooms::{Room, deaf_with};
use rpc_core::{Config, Session, session::Greeting};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MEMBERS: usize = 50;
const BYTES: usize = 100_000;
/// What a call that waits takes beside its bytes, with the memory that its queue keeps for more.
const ENTRY: usize = 256;
/// What a member may have under way: chunks that fill the window, with some room for their packets.
const UNDER_WAY: usize = 80 * 1024;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Members that do not read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Members {
    /// Their sessions end with their links.
    WithLink,
    /// Their sessions can be resumed, and they acknowledge nothing.
    Resumable,
}

/// What is held for all members together: by calls that have left the queues, and by each call that waits.
struct Measured {
    under_way: usize,
    waiting: usize,
}

/// Lets the drivers do what they can now.
async fn let_run() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn measure(members: Members) -> Measured {
    let config = Config::builder().max_queued_bytes(1 << 30).build().unwrap();
    let greeting = Greeting { resumes: members != Members::WithLink, ..Greeting::default() };
    let (mut sessions, mut drivers) = (Vec::new(), Vec::new());
    for _ in 0..MEMBERS {
        let (session, driver) = deaf_with(greeting, &config).await;
        sessions.push(session);
        drivers.push(driver);
    }
    let room = Room::of(&sessions).all();
    let text = "x".repeat(BYTES);
    let before = held();
    // The window is full after this, and so nothing more leaves the queues.
    for _ in 0..3 {
        room.said(&text).await.unwrap();
        let_run().await;
    }
    let waiting = |session: &Session| session.stats().connection.queued_calls;
    let longest = sessions.iter().map(waiting).max().unwrap();
    assert!(sessions.iter().all(|session| waiting(session) > 0));
    let keeps = |session: &Session| session.stats().connection.replay_bytes > BYTES / 2;
    assert!(sessions.iter().all(|session| keeps(session) == (members == Members::Resumable)));
    let (filled, calls) = (held(), 20);
    for _ in 0..calls {
        assert_eq!(room.said(&text).await.unwrap().queued, MEMBERS);
    }
    let measured =
        Measured { under_way: (filled - before).saturating_sub(longest * BYTES), waiting: (held() - filled) / calls };
    drop(drivers);
    for session in &sessions {
        session.discard();
        session.closed().await;
    }
    measured
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_many_members_is_in_memory_once() {
    for members in [Members::WithLink, Members::Resumable] {
        let Measured { under_way, waiting } = measure(members).await;
        println!(
            "{BYTES} bytes to {MEMBERS} members, {members:?}: {waiting} for each call that waits, {under_way} under way"
        );
        let most = BYTES + BYTES / 4 + MEMBERS * ENTRY;
        assert!(waiting <= most, "{members:?}: {waiting} bytes, and {most} were expected at most");
        let most = MEMBERS * UNDER_WAY;
        assert!(under_way <= most, "{members:?}: {under_way} bytes, and {most} were expected at most");
    }
}
