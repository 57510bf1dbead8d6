//! What a question to many members costs while their answers are awaited, counted by the allocator.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "groups/rooms.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rooms;

use std::{alloc::System, sync::atomic::Ordering::SeqCst};

use futures::{FutureExt, StreamExt};
use rooms::{Client, Room};
use rpc_core::Config;
use rpc_testing::until;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MEMBERS: usize = 1000;
/// Those who answer; the others leave the question open.
const MAJORITY: usize = MEMBERS / 2 + 1;
/// For each member, what the first question takes, and what another one takes that finds the memory of the first.
struct Most {
    /// When all are asked: the future of the call, its slot and its frame.
    asked: usize,
    /// At both ends together, while a handler of each member works on it.
    under_way: usize,
    /// When it is over: memory that the session keeps for a while, so that the next question finds it.
    left: usize,
}

const MOST: [Most; 2] =
    [Most { asked: 2048, under_way: 6 * 1024, left: 6 * 1024 }, Most { asked: 768, under_way: 1024, left: 256 }];

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes for each member beyond `before`.
fn each(before: usize) -> usize {
    held().saturating_sub(before) / MEMBERS
}

#[tokio::test(start_paused = true)]
async fn a_question_to_many_takes_little_for_each_and_less_when_it_is_asked_again() {
    let mut clients = Vec::new();
    for _ in 0..MEMBERS {
        clients.push(Client::new(&Config::default()).await);
    }
    for client in clients.iter().skip(MAJORITY) {
        *client.seen.answer.lock().unwrap() = None;
    }
    let room = Room::of(clients.iter().map(|client| &client.at_server)).all();
    let count = |counted: fn(&Client) -> usize| clients.iter().map(counted).sum::<usize>();
    for (round, most) in (1..).zip(MOST) {
        let before = held();
        let mut answers = room.confirm("is it so?");
        assert!(answers.next().now_or_never().is_none(), "no driver has run yet");
        let asked = each(before);
        until("all are asked", || count(|client| client.seen.asked.load(SeqCst)) == round * MEMBERS).await;
        let under_way = each(before);
        for _ in 0..MAJORITY {
            let (_, answer) = answers.next().await.unwrap();
            assert_eq!(answer, Ok(true));
        }
        drop(answers);
        let open = MEMBERS - MAJORITY;
        until("the others are cancelled", || count(|client| client.seen.dropped.load(SeqCst)) == round * open).await;
        let left = each(before);
        println!("{MEMBERS} members, for each: {asked} asked, {under_way} under way at both ends, {left} left");
        assert!(asked <= most.asked, "{asked} bytes, and {} were expected at most", most.asked);
        assert!(under_way <= most.under_way, "{under_way} bytes, and {} were expected at most", most.under_way);
        assert!(left <= most.left, "{left} bytes are left, and {} were expected at most", most.left);
    }
}
