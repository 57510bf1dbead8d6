//! The time limits of a server for peers that send nothing, or almost nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{future::Future, time::Duration};

use raw::{Raw, UPGRADE, connections, endless, listen};
use rpc_core::Config;
use rpc_testing::SOON;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, interval, timeout},
};

const SHORT: Duration = Duration::from_millis(100);

/// A configuration in which only the upgrade has a time limit that is reached.
fn short_upgrade() -> Config {
    endless().to_builder().upgrade_timeout(SHORT).build().unwrap()
}

/// A configuration in which only the wait for the Hello has a time limit that is reached.
fn short_hello() -> Config {
    endless().to_builder().hello_timeout(SHORT).build().unwrap()
}

/// Runs a future that must end because of the short time limit, and not before.
async fn after_the_short_time<T>(run: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = timeout(SOON, run).await.unwrap();
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    result
}

/// Sends one byte after the other until the server has ended the connection. Returns the bytes that the server sent.
async fn trickle(raw: &mut Raw, bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let (mut read, mut write) = raw.0.split();
    let send = async {
        let mut pace = interval(Duration::from_millis(5));
        for byte in bytes {
            pace.tick().await;
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    tokio::select! {
        () = send => {}
        _ = read.read_to_end(&mut said) => {}
    }
    said
}

#[tokio::test]
async fn one_useless_request_after_another_gains_no_time() {
    let server = listen(short_upgrade()).await;
    after_the_short_time(async {
        let mut raw = Raw::connect(&server).await;
        loop {
            let head = raw.get(&["Host: localhost"]).await;
            if !head.ends_with("\r\n\r\n") {
                break;
            }
            assert!(head.starts_with("HTTP/1.1 426"), "{head}");
            raw.body(&head).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let server = listen(short_upgrade()).await;
    timeout(SOON, async {
        let mut raw = Raw::connect(&server).await;
        let head = raw.request("POST", &["Host: localhost", "Content-Length: 1000000"]).await;
        assert!(head.starts_with("HTTP/1.1 405"), "{head}");
        trickle(&mut raw, std::iter::repeat(b'x')).await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_upgrade_without_a_hello_is_closed() {
    let server = listen(short_hello()).await;
    let close = after_the_short_time(async {
        let mut raw = Raw::upgraded(&server).await;
        connections(&server, 1).await;
        raw.close().await
    })
    .await;
    let (code, reason) = close.unwrap();
    assert_eq!(code, 4408, "{reason}");
    assert!(!reason.is_empty());
    connections(&server, 0).await;
}

#[tokio::test]
async fn a_hello_that_never_ends_is_closed() {
    let server = listen(short_hello()).await;
    let said = after_the_short_time(async {
        let mut raw = Raw::upgraded(&server).await;
        // A binary message of 10,000 bytes.
        trickle(&mut raw, [0x82, 0xfe, 0x27, 0x10].into_iter().chain(std::iter::repeat(0))).await
    })
    .await;
    assert_eq!(raw::frames(&said).pop().unwrap().1[..2], 4408_u16.to_be_bytes());
    connections(&server, 0).await;
}

#[tokio::test]
async fn pings_in_place_of_a_hello_gain_no_time() {
    let server = listen(short_hello()).await;
    let said = after_the_short_time(async {
        let mut raw = Raw::upgraded(&server).await;
        trickle(&mut raw, [0x89, 0x80, 0, 0, 0, 0].into_iter().cycle()).await
    })
    .await;
    let said = raw::frames(&said);
    let (opcode, payload) = said.last().unwrap();
    assert_eq!((*opcode, &payload[..2]), (8, &4408_u16.to_be_bytes()[..]), "{said:?}");
    connections(&server, 0).await;
}

#[tokio::test]
async fn what_comes_before_the_handshake_is_bounded_in_all() {
    let server = listen(endless()).await;
    let piece = [0; 1000];
    // Each case sends more than 16 KiB, unless the server refuses it as a flood before.
    for (what, first, next, payload, times, code) in [
        ("pieces", 0x02, 0x00, &piece[..], 20, 1009),
        ("empty pieces", 0x02, 0x00, b"", 3_000, 1009),
        ("pings", 0x89, 0x89, &piece[..125], 200, 1002),
        ("pongs", 0x8a, 0x8a, &piece[..125], 200, 1002),
        ("whole", 0x82, 0x82, &[0; 17 * 1024], 1, 1009),
    ] {
        let mut raw = Raw::upgraded(&server).await;
        let mut bytes = raw::masked(first, payload);
        for _ in 1..times {
            bytes.extend(raw::masked(next, payload));
        }
        raw.send(&bytes).await;
        let close = raw.close().await.unwrap();
        assert_eq!(close.0, code, "{what}: {close:?}");
        connections(&server, 0).await;
    }
    assert!(Raw::connect(&server).await.get(&UPGRADE).await.starts_with("HTTP/1.1 101"));
}
