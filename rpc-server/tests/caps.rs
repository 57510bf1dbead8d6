//! The limits on the number of connections of a server, and the refusal of connections beyond the limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, Raw, UPGRADE, builder, connections, endless, sessions};
use rpc_client::Connect;
use rpc_core::Stub;
use rpc_server::{ServerBuilder, ServerHandle};
use rpc_testing::{SOON, greeting};
use tokio::time::timeout;

/// Two servers: one takes `most` connections in all, the other takes `most` connections from one address.
async fn capped(most: usize) -> [ServerHandle; 2] {
    let listen = |builder: ServerBuilder| builder.config(endless()).listen("127.0.0.1:0");
    [
        listen(builder().max_connections(most)).await.unwrap(),
        listen(builder().max_connections_per_address(most)).await.unwrap(),
    ]
}

/// Makes a connection that must not be taken, and reads why. Nothing is sent, so no reset can swallow the answer.
async fn refused(server: &ServerHandle) {
    let mut raw = Raw::connect(server).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    let body = raw.body(&head).await;
    assert!(body.contains("too many connections"), "{body}");
    assert!(raw.rest().await.is_empty());
}

/// Makes a connection that must not be taken, says more than the server wants to hear, and reads why.
async fn refused_while_it_talks(server: &ServerHandle) {
    let mut raw = Raw::connect(server).await;
    let talk = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(32 * 1024));
    let (first, second) = talk.split_at(100);
    raw.send(first.as_bytes()).await;
    timeout(SOON, raw.0.readable()).await.unwrap().unwrap();
    // A reset would fail this, and the answer would be lost to a client that sends its request before it reads.
    raw.send(second.as_bytes()).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head:?}");
    let body = raw.body(&head).await;
    assert!(body.trim_end().ends_with("max_connections_per_address."), "{body:?}");
}

/// Connects until there is a place.
async fn taken(server: &ServerHandle) -> Raw {
    let tries = async {
        loop {
            let mut raw = Raw::connect(server).await;
            if raw.get(&UPGRADE).await.starts_with("HTTP/1.1 101") {
                return raw;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, tries).await.unwrap()
}

#[tokio::test]
async fn sessions_count_until_they_end() {
    for server in capped(2).await {
        let url = format!("ws://{}/", server.local_addr());
        let first = DeskClient::connect(&url).await.unwrap();
        let second = DeskClient::connect(&url).await.unwrap();
        refused(&server).await;
        assert!(DeskClient::connect(&url).await.is_err());
        // The accepted connections are not affected.
        first.address().await.unwrap();
        second.address().await.unwrap();
        first.session().close();
        let _third = taken(&server).await;
        refused(&server).await;
        second.address().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_client_says_does_not_swallow_the_refusal() {
    for server in capped(1).await {
        let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
        for _ in 0..50 {
            refused_while_it_talks(&server).await;
            desk.address().await.unwrap();
        }
    }
}

#[tokio::test]
async fn many_silent_clients_are_turned_away_without_an_effect_on_others() {
    for server in capped(1).await {
        let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
        // They keep their sockets open, and more of them than the server waits for.
        let mut silent = Vec::new();
        for _ in 0..200 {
            let mut raw = Raw::connect(&server).await;
            assert!(raw.head().await.starts_with("HTTP/1.1 503"));
            silent.push(raw);
            desk.address().await.unwrap();
        }
        drop(silent);
        // The server waits for none of them when it ends.
        timeout(SOON, server.shutdown()).await.unwrap();
    }
}

#[tokio::test]
async fn connections_count_before_they_are_sessions() {
    for server in capped(2).await {
        let silent = Raw::connect(&server).await;
        let upgraded = Raw::upgraded(&server).await;
        refused(&server).await;
        drop(silent);
        let _next = taken(&server).await;
        refused(&server).await;
        // The connection is reset without a close frame.
        upgraded.0.set_zero_linger().unwrap();
        drop(upgraded);
        taken(&server).await;
    }
}

#[tokio::test]
async fn a_refused_upgrade_gives_its_place_back() {
    for server in capped(1).await {
        for _ in 0..10 {
            let answer = Raw::connect(&server).await.get(&["Host: localhost"]).await;
            // The connection before may still hold the place.
            assert!(answer.starts_with("HTTP/1.1 426") || answer.starts_with("HTTP/1.1 503"), "{answer}");
        }
        taken(&server).await;
        connections(&server, 0).await;
    }
}

#[tokio::test]
async fn a_session_that_breaks_the_rules_gives_its_place_back() {
    for server in capped(1).await {
        // Before its Hello, and as a session.
        for is_session in [false, true] {
            let mut raw = taken(&server).await;
            if is_session {
                raw.frame(0x82, &greeting()).await;
                sessions(&server, 1).await;
            }
            refused(&server).await;
            raw.frame(0x81, b"text").await;
            assert_eq!(raw.close_code().await, Some(1003));
        }
        taken(&server).await;
    }
}

// On other systems only 127.0.0.1 is a loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_cannot_take_the_places_of_another() {
    let server = builder().max_connections_per_address(1).config(endless()).listen("0.0.0.0:0").await.unwrap();
    let port = server.local_addr().port();
    let from = |last: u8| async move {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        Raw(socket.connect(([127, 0, 0, 1], port).into()).await.unwrap())
    };
    let mut first = from(1).await;
    assert!(first.get(&UPGRADE).await.starts_with("HTTP/1.1 101"));
    assert!(from(1).await.head().await.starts_with("HTTP/1.1 503"));
    let mut other = from(2).await;
    assert!(other.get(&UPGRADE).await.starts_with("HTTP/1.1 101"));
}
