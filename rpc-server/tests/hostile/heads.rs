//! Heads of requests that are longer than 64 KiB, or have more headers than the server takes.

use std::time::Duration;

use rpc_client::{Connect, ConnectError};
use rpc_server::ServerBuilder;
use rpc_testing::{Link, SOON, over_both, with_stopped_clock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{advance, timeout},
};

use crate::{
    raw::{DeskClient, Raw, UPGRADE, builder},
    row::{MOST, Row},
    transport::Transport,
};

over_both!(
    a_head_of_64_kib_and_one_beyond,
    a_head_without_an_end,
    the_answer_is_not_lost_to_a_reset,
    a_refused_peer_that_stays_has_its_place_for_a_second,
    a_hundred_headers_and_one_more,
    as_many_headers_as_are_set_and_one_more,
    one_header_and_one_more,
    one_header_less_than_the_client_sends,
);

const MAX_HEAD: usize = 64 * 1024;
const LINE: &str = "GET / HTTP/1.1\r\n";

/// The answer's head to a valid request that is filled up to this number of headers.
async fn with_headers(row: &Row, count: usize) -> (Raw<Link>, String) {
    let more: Vec<_> = (UPGRADE.len()..count).map(|number| format!("X-{number}: x")).collect();
    let lines: Vec<_> = UPGRADE.into_iter().chain(more.iter().map(String::as_str)).collect();
    let mut peer = row.peer().await;
    let head = peer.get(&lines).await;
    (peer, head)
}

/// A valid request is taken with this number of headers, and refused with one more.
async fn taken_up_to(transport: Transport, builder: ServerBuilder, most: usize) {
    let row = Row::begin(transport, builder).await;
    row.beside(async {
        let (_peer, head) = with_headers(&row, most).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let (mut peer, head) = with_headers(&row, most + 1).await;
        assert!(head.starts_with("HTTP/1.1 431"), "{head}");
        peer.rest().await;
    })
    .await;
}

async fn a_head_of_64_kib_and_one_beyond(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    let upgrade = UPGRADE.join("\r\n");
    row.beside(async {
        let fixed = LINE.len() + upgrade.len() + "\r\nX: \r\n\r\n".len();
        let mut peer = row.peer().await;
        peer.send(format!("{LINE}{upgrade}\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD - fixed)).as_bytes()).await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        // The lines of the headers alone have one byte more than 64 KiB.
        let fixed = fixed - LINE.len() - "\r\n".len();
        let long = format!("X: {}", "x".repeat(MAX_HEAD + 1 - fixed));
        let mut peer = row.peer().await;
        let head = peer.get(&UPGRADE.into_iter().chain([long.as_str()]).collect::<Vec<_>>()).await;
        assert!(head.starts_with("HTTP/1.1 431"), "{head}");
    })
    .await;
}

async fn a_head_without_an_end(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    row.beside(async {
        for endless in [&b"X-Long: xxxxxxxx"[..], b"X: x\r\n"] {
            let mut peer = row.peer().await;
            peer.send(format!("{LINE}Host: localhost\r\n").as_bytes()).await;
            let piece = endless.repeat(1024);
            // 1 MiB, of which the server reads no more than it has to.
            for _ in 0..1024 * 1024 / piece.len() {
                if peer.0.write_all(&piece).await.is_err() {
                    break;
                }
            }
            let head = peer.head().await;
            assert!(head.starts_with("HTTP/1.1 431"), "{head}");
            peer.rest().await;
        }
    })
    .await;
}

/// A socket that is closed before its bytes are read resets the connection, and the reset can overtake the answer
/// (RFC 9112 §9.6).
async fn the_answer_is_not_lost_to_a_reset(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    let long = format!("X: {}", "x".repeat(2 * MAX_HEAD));
    row.beside(async {
        for (request, status) in [
            (format!("{LINE}Host: localhost\r\n{long}\r\n\r\n"), "431"),
            (format!("{LINE}Host: localhost\r\nno header\r\n{long}"), "400"),
            (format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n{long}"), "405"),
        ] {
            let mut peer = row.peer().await;
            peer.send(request.as_bytes()).await;
            let mut said = Vec::new();
            timeout(SOON, peer.0.read_to_end(&mut said)).await.unwrap().unwrap();
            let said = String::from_utf8(said).unwrap();
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
            // After a reset, sending fails.
            for _ in 0..3 {
                peer.send(b"more").await;
                row.served().await;
            }
        }
    })
    .await;
}

async fn a_refused_peer_that_stays_has_its_place_for_a_second(transport: Transport) {
    with_stopped_clock(async {
        let row = Row::begin(transport, builder()).await;
        let mut stay = Vec::new();
        row.beside(async {
            for _ in 1..MOST {
                let mut peer = row.peer().await;
                assert!(peer.get(&["no header"]).await.starts_with("HTTP/1.1 400"));
                assert!(peer.rest().await.is_empty());
                stay.push(peer);
            }
            for _ in 0..10 {
                assert!(row.try_upgrade().await.is_none());
            }
            advance(Duration::from_secs(2)).await;
        })
        .await;
        // All places are free, although the peers have not closed their connections.
        drop(stay);
    })
    .await;
}

async fn a_hundred_headers_and_one_more(transport: Transport) {
    taken_up_to(transport, builder(), 100).await;
}

async fn as_many_headers_as_are_set_and_one_more(transport: Transport) {
    // The client that is served beside the peers sends seven headers, of which the program has set one.
    for most in [7, 99, 101, 1_000] {
        taken_up_to(transport.clone(), builder().max_headers(most), most).await;
    }
}

async fn one_header_and_one_more(transport: Transport) {
    // No client gets in, so none is served beside these peers.
    let server = transport.listen(builder().max_headers(1).health_routes()).await;
    for (lines, status) in [(&["Host: localhost"][..], "426"), (&["Host: localhost", "X: x"], "431"), (&UPGRADE, "431")]
    {
        let head = transport.peer(server.local_addr()).await.get(lines).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{lines:?}: {head}");
    }
    // What is no session has the same limit.
    for (lines, status) in [("Host: localhost", "200"), ("Host: localhost\r\nX: x", "431")] {
        let mut peer = transport.peer(server.local_addr()).await;
        peer.send(format!("GET /healthz HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes()).await;
        let head = peer.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{lines:?}: {head}");
    }
    assert!(server.sessions().is_empty());
}

async fn one_header_less_than_the_client_sends(transport: Transport) {
    let connect = async |most| {
        let server = transport.listen(builder().max_headers(most)).await;
        let connecting = transport.trusting(DeskClient::connect(transport.url(server.local_addr(), "/")));
        match timeout(SOON, connecting).await.unwrap() {
            Ok(desk) => desk.address().await.map(drop).map_err(|status| status.to_string()),
            Err(ConnectError::Http { status, .. }) => Err(status.as_str().to_owned()),
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(connect(6).await, Ok(()));
    assert_eq!(connect(5).await, Err("431".to_owned()));
}
