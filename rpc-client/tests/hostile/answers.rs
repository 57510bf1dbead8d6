//! Answers that are too long, have too many headers, come too slowly, or agree to what was not asked for.

use std::time::Duration;

use rpc_client::{Config, ConnectError};
use rpc_testing::{SOON, over_both, with_stopped_clock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{advance, timeout},
};

use crate::{
    row::{Attempt, KINDS, Kind, Row},
    transport::Transport,
};

over_both!(
    a_head_of_64_kib_and_a_longer_one,
    a_head_without_an_end,
    as_many_headers_as_the_library_takes_and_one_more,
    an_answer_that_does_not_come,
    a_head_that_comes_at_a_byte_a_second,
    a_text_that_comes_at_a_byte_a_second,
    a_text_without_an_end,
    what_was_not_agreed_on,
);

const MAX_HEAD: usize = 64 * 1024;
/// The head is read in pieces, of which the last one may go beyond the limit.
const PIECE: usize = 4096;
const MAX_HEADERS: usize = 124;
const SECOND: Duration = Duration::from_secs(1);
/// The time of an upgrade with the default configuration.
const LIMIT: Duration = Duration::from_secs(10);
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols";
const REFUSAL: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n";

async fn ended(attempt: Attempt) -> Result<(), ConnectError> {
    timeout(SOON, attempt).await.expect("the attempt ends").unwrap()
}

/// Why the answer was not taken. Panics if another thing was wrong.
#[track_caller]
fn why(ended: Result<(), ConnectError>) -> String {
    match ended {
        Err(error @ ConnectError::NotWebSocket { .. }) => {
            assert!(!error.is_retryable());
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// Answers an upgrade with a head that `fill` makes of the header lines of a valid answer. `None` if the client has
/// taken the answer.
async fn answered(row: &Row, kind: Kind, fill: impl Fn(Vec<String>) -> Vec<String>) -> Option<String> {
    let attempt = row.connect(kind);
    let (mut link, lines) = row.accept().await;
    let head = format!("{SWITCHING}\r\n{}\r\n\r\n", fill(lines).join("\r\n"));
    // A client that refuses early may close while the server still writes.
    let _ = link.write_all(head.as_bytes()).await;
    let _ = link.flush().await;
    match kind {
        Kind::Raw => ended(attempt).await.map_or_else(|error| Some(why(Err(error))), |()| None),
        // A client that has taken the answer says Hello.
        Kind::Session => match timeout(SOON, link.read_u8()).await.unwrap() {
            Ok(0x82) => None,
            other => {
                assert!(other.is_err(), "{other:?}");
                Some(why(ended(attempt).await))
            }
        },
    }
}

async fn a_head_of_64_kib_and_a_longer_one(transport: Transport) {
    let row = Row::begin(transport).await;
    row.beside(async {
        for kind in KINDS {
            let filled = |size: usize| {
                move |mut lines: Vec<String>| {
                    let line = lines.iter().map(|line| line.len() + 2).sum::<usize>();
                    let fixed = SWITCHING.len() + 2 + line + "X: \r\n\r\n".len();
                    lines.push(format!("X: {}", "x".repeat(size - fixed)));
                    lines
                }
            };
            assert_eq!(answered(&row, kind, filled(MAX_HEAD)).await, None, "{kind:?}");
            let why = answered(&row, kind, filled(MAX_HEAD + PIECE)).await.unwrap();
            assert!(why.contains("more than 65536 bytes"), "{why}");
        }
    })
    .await;
}

async fn a_head_without_an_end(transport: Transport) {
    let row = Row::begin(transport).await;
    row.beside(async {
        for kind in KINDS {
            for endless in [&b"xxxxxxxx"[..], b"X: x\r\n"] {
                let attempt = row.connect(kind);
                let (mut link, _) = row.accept().await;
                let _ = link.write_all(format!("{SWITCHING}\r\n").as_bytes()).await;
                let piece = endless.repeat(1024);
                while link.write_all(&piece).await.is_ok() {}
                let why = why(ended(attempt).await);
                assert!(why.contains("more than 65536 bytes"), "{why}");
            }
        }
    })
    .await;
}

async fn as_many_headers_as_the_library_takes_and_one_more(transport: Transport) {
    let row = Row::begin(transport).await;
    row.beside(async {
        for kind in KINDS {
            let filled = |count: usize| {
                move |mut lines: Vec<String>| {
                    lines.extend((lines.len()..count).map(|number| format!("X-{number}: x")));
                    lines
                }
            };
            assert_eq!(answered(&row, kind, filled(MAX_HEADERS)).await, None, "{kind:?}");
            let why = answered(&row, kind, filled(MAX_HEADERS + 1)).await.unwrap();
            assert!(why.contains("too many headers"), "{why}");
        }
    })
    .await;
}

/// Asserts that the attempt ends because its time is over, a second from now.
async fn timed_out(row: &Row, attempt: Attempt) {
    // At the limit, the client looks once more for an answer that has come.
    for _ in 0..20 {
        advance(SECOND / 10).await;
        row.served().await;
    }
    assert!(attempt.is_finished());
    match ended(attempt).await {
        Err(error @ ConnectError::TimedOut { reached: Some(_), limit: LIMIT, .. }) => assert!(error.is_retryable()),
        other => panic!("{other:?}"),
    }
}

async fn an_answer_that_does_not_come(transport: Transport) {
    assert_eq!(Config::default().upgrade_timeout(), LIMIT);
    with_stopped_clock(async {
        let row = Row::begin(transport).await;
        row.beside(async {
            for kind in KINDS {
                let attempt = row.connect(kind);
                let _accepted = row.accept().await;
                advance(LIMIT - SECOND).await;
                row.served().await;
                assert!(!attempt.is_finished());
                timed_out(&row, attempt).await;
            }
        })
        .await;
    })
    .await;
}

async fn a_head_that_comes_at_a_byte_a_second(transport: Transport) {
    with_stopped_clock(async {
        let row = Row::begin(transport).await;
        row.beside(async {
            for kind in KINDS {
                let attempt = row.connect(kind);
                let (mut link, _) = row.accept().await;
                for byte in SWITCHING.bytes().take(9) {
                    link.write_all(&[byte]).await.unwrap();
                    link.flush().await.unwrap();
                    advance(SECOND).await;
                    row.served().await;
                    assert!(!attempt.is_finished());
                }
                timed_out(&row, attempt).await;
            }
        })
        .await;
    })
    .await;
}

/// Asserts that the attempt has ended with the refusal, and returns the text that came with the refusal.
async fn refused(attempt: Attempt) -> String {
    match ended(attempt).await {
        Err(ConnectError::Http { status, body, .. }) if status.as_u16() == 404 => body,
        other => panic!("{other:?}"),
    }
}

async fn a_text_that_comes_at_a_byte_a_second(transport: Transport) {
    with_stopped_clock(async {
        let row = Row::begin(transport).await;
        row.beside(async {
            for kind in KINDS {
                let attempt = row.connect(kind);
                let (mut link, _) = row.accept().await;
                link.write_all(&[REFUSAL, b"n"].concat()).await.unwrap();
                link.flush().await.unwrap();
                row.served().await;
                row.served().await;
                assert!(!attempt.is_finished());
                advance(SECOND).await;
                // A text that does not come in time is left out.
                assert_eq!(refused(attempt).await, "");
            }
        })
        .await;
    })
    .await;
}

async fn a_text_without_an_end(transport: Transport) {
    let row = Row::begin(transport).await;
    row.beside(async {
        for kind in KINDS {
            let attempt = row.connect(kind);
            let (mut link, _) = row.accept().await;
            let _ = link.write_all(REFUSAL).await;
            while link.write_all(&[b'x'; PIECE]).await.is_ok() {}
            assert_eq!(refused(attempt).await, "x".repeat(1024));
        }
    })
    .await;
}

async fn what_was_not_agreed_on(transport: Transport) {
    let row = Row::begin(transport).await;
    row.beside(async {
        for (name, line, says) in [
            ("Sec-WebSocket-Extensions", Some("permessage-deflate"), "an extension that was not offered"),
            ("Sec-WebSocket-Protocol", Some("other.v1"), "a sub-protocol that was not offered"),
            ("Sec-WebSocket-Accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "its answer is wrong"),
            ("Sec-WebSocket-Accept", None, "its answer is wrong"),
            ("Upgrade", None, "its answer is wrong"),
            ("Connection", Some("close"), "its answer is wrong"),
        ] {
            for kind in KINDS {
                let why = answered(&row, kind, |mut lines| {
                    lines.retain(|own| own.split(':').next() != Some(name));
                    lines.extend(line.map(|line| format!("{name}: {line}")));
                    lines
                });
                let why = why.await.unwrap_or_else(|| panic!("{name}: {line:?} was taken"));
                assert!(why.contains(says), "{name}: {line:?}: {why}");
            }
        }
    })
    .await;
}
