//! What the HTTP upgrade takes and refuses, and what becomes of a connection that stalls.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, Raw, SOON, UPGRADE, builder, patient, sessions};
use rpc_client::Connect;
use tokio::time::timeout;

/// The proper lines, with one replaced by another or left out.
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
    let cases: [(Vec<&str>, &str, &[&str]); 8] = [
        (vec!["Host: localhost"], "426", &["upgrade: websocket"]),
        (with("Sec-WebSocket-Version", None), "426", &["sec-websocket-version: 13"]),
        (with("Sec-WebSocket-Version", Some("Sec-WebSocket-Version: 8")), "426", &["sec-websocket-version: 13"]),
        (with("Sec-WebSocket-Key", None), "400", &["key"]),
        (with("Sec-WebSocket-Key", Some("Sec-WebSocket-Key: short")), "400", &["key"]),
        (with("Sec-WebSocket-Protocol", None), "400", &["duplex-rpc.v1"]),
        (with("Sec-WebSocket-Protocol", Some("Sec-WebSocket-Protocol: chat")), "400", &["duplex-rpc.v1"]),
        (with("Upgrade", Some("Upgrade: h2c")), "426", &["upgrade: websocket"]),
    ];
    for (lines, status, words) in cases {
        let mut raw = Raw::connect(&server).await;
        let mut answer = raw.get(&lines).await;
        let length =
            answer.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        tokio::io::AsyncReadExt::read_exact(&mut raw.0, &mut body).await.unwrap();
        answer.push_str(&String::from_utf8(body).unwrap());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{lines:?}: {answer}");
        for word in words {
            assert!(answer.to_lowercase().contains(word), "{lines:?}: {answer}");
        }
    }
    let answer = Raw::connect(&server).await.request("POST", &UPGRADE).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(server.sessions().is_empty());
}

#[tokio::test]
async fn web_pages_of_other_origins_are_refused() {
    let server = builder().allow_origin("https://app.example.com").listen("127.0.0.1:0").await.unwrap();
    for (origin, status) in [
        ("Origin: https://evil.example.com", "403"),
        ("Origin: null", "403"),
        ("Origin: https://app.example.com", "101"),
        ("Origin: http://localhost", "101"),
    ] {
        let answer = Raw::connect(&server).await.get(&[&UPGRADE[..], &[origin]].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
    }
}

#[tokio::test]
async fn headers_over_the_limits_are_refused() {
    let server = patient().await;
    let long = format!("X-Long: {}", "x".repeat(70 * 1024));
    let many: Vec<String> = (0..150).map(|n| format!("X-{n}: x")).collect();
    let many = many.iter().map(String::as_str);
    for lines in
        [UPGRADE.into_iter().chain([long.as_str()]).collect::<Vec<_>>(), UPGRADE.into_iter().chain(many).collect()]
    {
        let answer = Raw::connect(&server).await.get(&lines).await;
        assert!(answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 400"), "{answer}");
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
    sessions(&server, 0).await;
    // None of it disturbed the others.
    let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
    assert_eq!(desk.header("upgrade").await.unwrap().as_deref(), Some("websocket"));
}

#[tokio::test]
async fn connections_have_caps_and_places_come_free() {
    for (builder, what) in
        [(builder().max_connections(2), "in all"), (builder().max_connections_per_address(2), "an address")]
    {
        let server = builder.listen("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", server.local_addr());
        let first = DeskClient::connect(&url).await.unwrap();
        let _second = DeskClient::connect(&url).await.unwrap();
        assert!(DeskClient::connect(&url).await.is_err(), "{what}");
        drop(first);
        let freed = async {
            while DeskClient::connect(&url).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, freed).await.unwrap();
    }
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
async fn the_upgrade_lives_beside_other_routes_of_a_hyper_server() {
    use hyper::{Request, Response, body::Incoming, service::service_fn};
    use tower_service::Service;

    let upgrade = builder().into_upgrade().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sessions = upgrade.sessions().clone();
    tokio::spawn(async move {
        loop {
            let (socket, peer) = listener.accept().await.unwrap();
            let upgrade = upgrade.clone();
            let route = service_fn(move |mut request: Request<Incoming>| {
                let mut upgrade = upgrade.clone();
                async move {
                    if request.uri().path() == "/rpc" {
                        request.extensions_mut().insert(peer);
                        return upgrade.call(request).await;
                    }
                    Ok(Response::new(http_body_util::Full::from("a page")))
                }
            });
            let io = hyper_util::rt::TokioIo::new(socket);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, route).with_upgrades());
        }
    });
    let desk = DeskClient::connect(format!("ws://{addr}/rpc")).await.unwrap();
    assert!(desk.address().await.unwrap().is_some());
    assert_eq!(sessions.len(), 1);
    let error = DeskClient::connect(format!("ws://{addr}/")).await.unwrap_err();
    assert!(error.to_string().contains("ordinary web server"), "{error}");
}
