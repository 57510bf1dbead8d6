//! The memory that an idle connection takes does not depend on the content of its upgrade request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;
mod raw;

use rpc_server::ServerHandle;

use allocated::{CONNECTIONS, KIB, allocated};
use raw::{Raw, UPGRADE, connections, endless, listen, masked, sessions};
use rpc_testing::greeting;

/// The memory that each connection takes, as a session or before its Hello. The upgrade request has the additional
/// header lines `more`, and the bytes `early` follow the request, behind the Hello of a session.
async fn taken(server: &ServerHandle, is_session: bool, more: &[String], early: &[u8]) -> usize {
    let hello = if is_session { masked(0x82, &greeting()) } else { Vec::new() };
    let lines: Vec<&str> = UPGRADE.into_iter().chain(more.iter().map(String::as_str)).collect();
    let before = allocated();
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::connect(server).await;
        let head = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        raw.send(&[head.as_bytes(), &hello, early].concat()).await;
        let answer = raw.head().await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        raws.push(raw);
    }
    connections(server, CONNECTIONS).await;
    sessions(server, if is_session { CONNECTIONS } else { 0 }).await;
    let taken = allocated().saturating_sub(before) / CONNECTIONS;
    drop(raws);
    connections(server, 0).await;
    taken
}

/// Headers are kept for handlers, and packets may come with the request. Both lie in the buffer that the request was
/// read into until they are copied out of it.
#[tokio::test]
async fn what_came_with_the_request_keeps_no_more_than_it_is_long() {
    let config = endless();
    let most = 24 * KIB;
    let server = listen(config).await;
    // The beginning of a message.
    let begun = &masked(0x82, &[0; 8 * KIB])[..4 * KIB];
    let cases = [
        (vec![], &[][..]),
        (vec![line(63 * KIB)], &[]),
        (vec![line(630); 90], &[]),
        (vec![line(10); 90], &[]),
        (vec![line(59 * KIB)], begun),
    ];
    for (lines, early) in cases {
        let len: usize = lines.iter().map(String::len).sum::<usize>() + early.len();
        let bound = most + len + lines.len() * 256;
        for is_session in [false, true] {
            let taken = taken(&server, is_session, &lines, early).await;
            let what = if is_session { "session" } else { "connection" };
            assert!(taken <= bound, "a {what}, {} headers, {len} bytes: {taken}, {bound} at most", lines.len());
        }
    }
    server.shutdown().await;
}

fn line(len: usize) -> String {
    format!("x-long: {}", "x".repeat(len))
}
