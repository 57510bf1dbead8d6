//! The requests that the HTTP upgrade accepts and refuses, and the end of connections that stall.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, Raw, UPGRADE, builder, connections, masked, patient};
use rpc_client::Connect;
use rpc_core::Stub;

/// The lines of a valid upgrade, with one line replaced or left out.
fn with(line: &str, other: Option<&'static str>) -> Vec<&'static str> {
    let name = line.split(':').next().unwrap();
    let mut lines: Vec<_> = UPGRADE.into_iter().filter(|line| !line.starts_with(name)).collect();
    lines.extend(other);
    lines
}

#[tokio::test]
async fn a_proper_upgrade_is_taken_and_compression_declined() {
    let server = patient().await;
    let mut raw = Raw::connect(&server).await;
    let answer = raw.get(&[&UPGRADE[..], &["Sec-WebSocket-Extensions: permessage-deflate"]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let answer = answer.to_lowercase();
    // The key of RFC 6455 §1.3 and its answer.
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    assert!(answer.contains("sec-websocket-protocol: duplex-rpc.v1"), "{answer}");
    assert!(!answer.contains("extensions"), "{answer}");
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_with_a_sentence() {
    let server = patient().await;
    let version = ["sec-websocket-version: 13", "version 13"];
    let page = ["upgrade: websocket", "connection: upgrade", "not a web page", "ws://"];
    let protocol = ["sec-websocket-protocol: duplex-rpc.v1", "served: duplex-rpc.v1"];
    let cases: [(Vec<&str>, &str, &[&str]); 12] = [
        (vec!["Host: localhost"], "426", &page),
        (with("Upgrade", Some("Upgrade: h2c")), "426", &page),
        (with("Connection", None), "426", &page),
        (with("Sec-WebSocket-Version", None), "426", &version),
        (with("Sec-WebSocket-Version", Some("Sec-WebSocket-Version: 8")), "426", &version),
        (with("Sec-WebSocket-Key", None), "400", &["sec-websocket-key"]),
        (with("Sec-WebSocket-Key", Some("Sec-WebSocket-Key: short")), "400", &["sec-websocket-key"]),
        (with("Sec-WebSocket-Protocol", None), "400", &protocol),
        (with("Sec-WebSocket-Protocol", Some("Sec-WebSocket-Protocol: chat")), "400", &protocol),
        (with("Host", None), "400", &["host"]),
        (with("Host", Some("Host: localhost\r\nHost: localhost")), "400", &["host"]),
        (with("Host", Some("Origin: http://evil.example.com\r\nHost: localhost")), "403", &["allow_origin"]),
    ];
    for (lines, status, words) in cases {
        let mut raw = Raw::connect(&server).await;
        let head = raw.get(&lines).await;
        let answer = format!("{head}{}", raw.body(&head).await).to_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{lines:?}: {answer}");
        for word in words {
            assert!(answer.contains(word), "{lines:?}: {word:?} is missing in: {answer}");
        }
    }
    let answer = Raw::connect(&server).await.request("POST", &UPGRADE).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 405") && answer.contains("allow: get"), "{answer}");
    assert!(server.sessions().connections() == 0);
}

#[tokio::test]
async fn old_http_is_refused() {
    let server = patient().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(format!("GET / HTTP/1.0\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
    let answer = raw.head().await;
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_makes_no_session() {
    let server = patient().await;
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut raw = Raw::connect(&server).await;
        raw.send(noise).await;
        assert!(!raw.rest().await.starts_with(b"HTTP/1.1 101"), "{noise:?}");
    }
    assert!(server.sessions().connections() == 0);
}

#[tokio::test]
async fn a_refused_request_may_be_followed_by_a_better_one() {
    let server = patient().await;
    let mut raw = Raw::connect(&server).await;
    let head = raw.get(&with("Sec-WebSocket-Protocol", None)).await;
    raw.body(&head).await;
    assert!(raw.get(&UPGRADE).await.starts_with("HTTP/1.1 101"));
    connections(&server, 1).await;
}

#[tokio::test]
async fn what_is_sent_together_with_the_request_is_not_lost() {
    let server = patient().await;
    let mut raw = Raw::connect(&server).await;
    let mut bytes = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).into_bytes();
    bytes.extend(masked(0x81, b"text"));
    raw.send(&bytes).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(raw.close_code().await, Some(1003));
}

#[tokio::test]
async fn a_request_with_a_body_is_no_upgrade() {
    let server = patient().await;
    let packets = masked(0x81, b"text");
    let chunked = [format!("{:x}\r\n", packets.len()).as_bytes(), &packets, b"\r\n0\r\n\r\n"].concat();
    let length = format!("Content-Length: {}", packets.len());
    // What one side takes for a body, the other side would take for packets.
    for (line, body) in [
        (length.as_str(), packets.as_slice()),
        ("Transfer-Encoding: chunked", &chunked),
        ("Expect: 100-continue\r\nContent-Length: 3", b""),
    ] {
        let mut raw = Raw::connect(&server).await;
        let lines = UPGRADE.into_iter().chain([line]).collect::<Vec<_>>().join("\r\n");
        raw.send(&[format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes(), body].concat()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 400"), "{line}: {head}");
        assert!(raw.body(&head).await.contains("no body"), "{line}");
    }
    assert_eq!(server.sessions().connections(), 0);
    let mut raw = Raw::connect(&server).await;
    let empty = raw.get(&UPGRADE.into_iter().chain(["Content-Length: 0"]).collect::<Vec<_>>()).await;
    assert!(empty.starts_with("HTTP/1.1 101"), "{empty}");
}

#[tokio::test]
async fn a_target_with_a_host_of_its_own_has_that_of_the_header() {
    let server = builder().allow_host("localhost").listen("127.0.0.1:0").await.unwrap();
    // RFC 9112 §3.2.2: the host in the target counts, and the header is the same or wrong.
    for (target, status) in [
        ("http://localhost/", "101"),
        ("http://LOCALHOST/", "101"),
        ("http://evil.example.com/", "400"),
        ("http://localhost:81/", "400"),
        ("http://ada@localhost/", "400"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n")).as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {head}");
    }
}

#[tokio::test]
async fn web_pages_of_other_origins_are_refused() {
    let server = patient().await;
    let lenient = builder().allow_origin("https://app.example.com").listen("127.0.0.1:0").await.unwrap();
    let own = format!("Origin: http://{}", lenient.local_addr());
    let host = format!("Host: {}", lenient.local_addr());
    for (server, origin, status) in [
        (&server, "Origin: https://evil.example.com", "403"),
        (&server, "Origin: https://app.example.com", "403"),
        (&server, "Origin: null", "403"),
        (&server, "Origin: http://localhost", "403"),
        (&lenient, "Origin: https://evil.example.com", "403"),
        (&lenient, "Origin: https://app.example.com", "101"),
        (&lenient, &own, "101"),
        (&server, &own, "101"),
    ] {
        let before = server.sessions().connections();
        let mut raw = Raw::connect(server).await;
        let mut lines: Vec<_> = UPGRADE.into_iter().filter(|line| !line.starts_with("Host")).collect();
        lines.extend([&host, origin]);
        let answer = raw.get(&lines).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
        if status == "101" {
            connections(server, before + 1).await;
            raw.0.set_zero_linger().unwrap();
            drop(raw);
            connections(server, before).await;
        }
        assert_eq!(server.sessions().connections(), before, "{origin}");
    }
}

#[tokio::test]
async fn what_is_no_packet_is_closed_with_its_code() {
    let server = patient().await;
    let large = vec![0; 17 * 1024];
    for (first, payload, code) in
        [(0x81, &b"text"[..], 1003), (0x82, &large[..], 1009), (0xc2, b"rsv", 1002), (0x83, b"op", 1002)]
    {
        let mut raw = Raw::upgraded(&server).await;
        raw.frame(first, payload).await;
        assert_eq!(raw.close_code().await, Some(code), "{first:#x}");
    }
    let mut unmasked = Raw::upgraded(&server).await;
    unmasked.send(&[0x82, 2, 0, 0]).await;
    assert_eq!(unmasked.close_code().await, Some(1002));
    connections(&server, 0).await;
    // The stalled connections do not affect other clients.
    let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
    assert_eq!(desk.header("upgrade").await.unwrap().as_deref(), Some("websocket"));
}

#[tokio::test]
async fn handlers_see_headers_and_address() {
    let server = patient().await;
    let url = format!("ws://{}/", server.local_addr());
    let desk = DeskClient::connect(url).header("x-key", "value").await.unwrap();
    assert_eq!(desk.header("x-key").await.unwrap().as_deref(), Some("value"));
    assert!(desk.address().await.unwrap().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn a_client_sees_the_headers_of_the_answer() {
    let server = patient().await;
    let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).header("x-key", "value").await.unwrap();
    let info = desk.session().info();
    let headers = &info.headers;
    assert_eq!(headers.get("sec-websocket-protocol").map(|value| value.as_bytes()), Some(&b"duplex-rpc.v1"[..]));
    assert_eq!(headers.get("x-key"), None, "its own are not among them");
}
