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
/// What a question takes at its caller for each member: the future of the call, its slot and its frame.
const ASKED: usize = 2048;
/// What it takes at both ends together, while a handler of each member works on it.
const UNDER_WAY: usize = 6 * 1024;
/// What may be left for each member: memory that its session keeps for a second.
const LEFT: usize = 512;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes for each member beyond `before`.
fn each(before: usize) -> usize {
    held().saturating_sub(before) / MEMBERS
}

#[tokio::test(start_paused = true)]
async fn a_question_to_many_takes_little_for_each_and_nothing_when_it_is_over() {
    let mut clients = Vec::new();
    for _ in 0..MEMBERS {
        clients.push(Client::new(&Config::default()).await);
    }
    for client in clients.iter().skip(MAJORITY) {
        *client.seen.answer.lock().unwrap() = None;
    }
    let room = Room::of(clients.iter().map(|client| &client.at_server)).all();
    let count = |counted: fn(&Client) -> usize| clients.iter().map(counted).sum::<usize>();
    // The first question brings what later ones use again.
    for round in 1..=2 {
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
        assert!(asked <= ASKED, "{asked} bytes, and {ASKED} were expected at most");
        assert!(under_way <= UNDER_WAY, "{under_way} bytes, and {UNDER_WAY} were expected at most");
        assert!(round == 1 || left <= LEFT, "{left} bytes are left, and {LEFT} were expected at most");
    }
}
