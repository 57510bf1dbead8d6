//! What a connection takes that does nothing, whatever the request said that opened it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::alloc::System;

use rpc_server::ServerHandle;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use raw::{Raw, UPGRADE, connections, endless, listen};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;
const CONNECTIONS: usize = 20;

fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// What each connection takes whose request has these header lines beside those of the upgrade.
async fn taken(server: &ServerHandle, more: &[String]) -> usize {
    let lines: Vec<&str> = UPGRADE.into_iter().chain(more.iter().map(String::as_str)).collect();
    let before = allocated();
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::connect(server).await;
        let answer = raw.get(&lines).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        raws.push(raw);
    }
    connections(server, CONNECTIONS).await;
    let taken = allocated().saturating_sub(before) / CONNECTIONS;
    drop(raws);
    connections(server, 0).await;
    taken
}

/// Headers are kept for handlers, and lie in the buffer that the request was read into until they are copied out of it.
#[tokio::test]
async fn headers_keep_no_more_than_they_are_long() {
    let config = endless();
    let most = config.read_buffer + 24 * KIB;
    let server = listen(config).await;
    let cases = [vec![], vec![line(63 * KIB)], vec![line(630); 90], vec![line(10); 90]];
    for lines in cases {
        let len: usize = lines.iter().map(String::len).sum();
        let bound = most + len + lines.len() * 256;
        let taken = taken(&server, &lines).await;
        println!("{} headers of {len} bytes: {taken} bytes taken, {bound} at most", lines.len());
        assert!(taken <= bound, "{} headers of {len} bytes: {taken} bytes, {bound} at most", lines.len());
    }
    server.shutdown().await;
}

fn line(len: usize) -> String {
    format!("x-long: {}", "x".repeat(len))
}
