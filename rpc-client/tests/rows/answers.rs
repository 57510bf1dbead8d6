//! Rows 1 to 3, 5 and 15 at a client: servers whose answer to the upgrade is none, or is not what was asked for, with
//! the memory that the attempts leave.

use std::time::Duration;

use rpc_client::{Connect, ConnectError, Reconnect};
use rpc_testing::{
    SOON,
    rows::{AGAIN, Guest, HostClient, Pace, Scene, config},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{Place, listen};

/// What a server says to a client whose key is given, before it says no more.
type Answer = fn(key: &str) -> Vec<String>;

/// The time of an upgrade.
const LIMIT: Duration = Duration::from_secs(1);
const LINES: [&str; 3] = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
const PROTOCOL: &str = "Sec-WebSocket-Protocol: duplex-rpc.v1";

fn with(key: &str, more: impl IntoIterator<Item = String>) -> Vec<String> {
    let accept = format!("Sec-WebSocket-Accept: {}", derive_accept_key(key.as_bytes()));
    LINES.map(str::to_owned).into_iter().chain([accept]).chain(more).collect()
}

/// The connection of a client, and its key.
async fn asked(listener: &TcpListener) -> (TcpStream, String) {
    let mut stream = listener.accept().await.unwrap().0;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).expect("a key");
    (stream, key.to_owned())
}

/// A client connects while a server does this to it.
async fn attempt(place: &Place, server: impl AsyncFnOnce(TcpStream, String)) -> ConnectError {
    let (listener, url) = listen().await;
    let connecting = HostClient::connect(url).callback(Guest::serve(place.victim.clone()));
    let connecting = connecting.config(config(Pace::Hasty)).reconnect(Reconnect::never());
    let attempt = async { connecting.await.map(drop).expect_err("it is no server") };
    let answer = async {
        let (stream, key) = asked(&listener).await;
        server(stream, key).await;
    };
    tokio::join!(attempt, answer).0
}

/// Asserts that the time of an upgrade has been over, and not before.
fn is_late(error: &ConnectError, since: Instant) {
    assert!(matches!(error, ConnectError::TimedOut { reached: Some(_), limit: LIMIT, .. }), "{error:?}");
    // Time limits do not end early, however slow the machine is.
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
}

/// Why the answer of a server is not taken. Panics if another thing was wrong.
fn why(error: &ConnectError) -> String {
    match error {
        ConnectError::NotWebSocket { why, .. } => why.clone(),
        ConnectError::NoCommonProtocol { .. } => "no common sub-protocol".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// All of these rows.
pub(crate) async fn run(place: &Place) {
    let answers: [(&str, Answer, &str); 6] = [
        (
            "row 3: a long head",
            |key| with(key, [PROTOCOL.to_owned(), format!("X: {}", "x".repeat(68 * 1024))]),
            "more than 65536 bytes",
        ),
        (
            "row 3: many headers",
            |key| with(key, [PROTOCOL.to_owned()].into_iter().chain((0..125).map(|number| format!("X-{number}: x")))),
            "too many headers",
        ),
        ("row 5: another key", |_| with("another", [PROTOCOL.to_owned()]), "its answer is wrong"),
        (
            "row 5: another sub-protocol",
            |key| with(key, ["Sec-WebSocket-Protocol: chat".to_owned()]),
            "a sub-protocol that was not offered",
        ),
        ("row 5: no version of HTTP", |_| vec!["SSH-2.0-server".to_owned()], "does not speak HTTP/1.1"),
        (
            "row 15: compression",
            |key| with(key, [PROTOCOL, "Sec-WebSocket-Extensions: permessage-deflate"].map(str::to_owned)),
            "an extension that was not offered",
        ),
    ];
    for (what, answer, says) in answers {
        let run = async || {
            let server = async |mut stream: TcpStream, key: String| {
                let head = format!("{}\r\n\r\n", answer(&key).join("\r\n"));
                // A client that refuses early closes while the server still writes.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = timeout(SOON, stream.read_to_end(&mut Vec::new())).await.expect("the client hangs up");
            };
            let error = attempt(place, server).await;
            assert!(!error.is_retryable() && why(&error).contains(says), "{what}: {error:?}");
        };
        place.leaves_nothing(what, AGAIN, run).await;
    }
    let silent = async || {
        let since = Instant::now();
        let server = async |mut stream: TcpStream, _| {
            let _ = timeout(SOON, stream.read_to_end(&mut Vec::new())).await.expect("the client hangs up");
        };
        is_late(&attempt(place, server).await, since);
    };
    place.leaves_nothing("row 1: silence", 2, silent).await;
    let drips = async || {
        let since = Instant::now();
        let server = async |mut stream: TcpStream, _| {
            let (mut reads, mut writes) = stream.split();
            let (mut said, bytes) = (Vec::new(), LINES[0].bytes().chain(std::iter::repeat(b'x')));
            let drip = async {
                for byte in bytes {
                    let _ = writes.write_all(&[byte]).await;
                    sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                // A reset ends the connection as well.
                heard = timeout(SOON, reads.read_to_end(&mut said)) => drop(heard.expect("the client hangs up")),
                () = drip => unreachable!("the head has no end"),
            }
        };
        is_late(&attempt(place, server).await, since);
    };
    place.leaves_nothing("row 2: a byte after the other", 2, drips).await;
}
