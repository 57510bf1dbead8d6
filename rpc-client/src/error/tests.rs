//! Tests of `ConnectError`.

use std::collections::BTreeSet;

use rpc_core::{CloseCode, ProtocolError};

use super::*;

/// The number of variants of `ConnectError`.
const VARIANTS: usize = 22;

#[test]
fn an_attempt_is_worth_a_retry_unless_something_has_to_change_first() {
    let (url, authority) = (|| "ws://localhost/".to_owned(), || "localhost:80".to_owned());
    let http = |status: u16| {
        let status = StatusCode::from_u16(status).expect("it is a status");
        ConnectError::Http { url: url(), status, body: String::new(), retry_after: None }
    };
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let unix = |kind: io::ErrorKind| ConnectError::Unix { path: "rpc.sock".into(), source: kind.into() };
    let proxy = |is_temporary| ConnectError::Proxy { proxy: url(), why: String::new(), is_temporary };
    let timed_out = |reached| ConnectError::TimedOut { authority: authority(), limit: Duration::from_secs(1), reached };
    let closed = |code| ConnectError::Session(ConnectionError::ClosedByPeer { code, reason: "".into() });
    // Whether `is_retryable` says so, and whether a client tries again that has had a session.
    let table = [
        (ConnectError::Url { url: url(), why: String::new() }, false, false),
        (ConnectError::Header { name: "host".to_owned(), why: String::new() }, false, false),
        (ConnectError::Credentials { source: "no token".into() }, false, true),
        (ConnectError::Resolve { host: "localhost".to_owned(), source: reset() }, true, true),
        (ConnectError::Refused { authority: authority() }, true, true),
        (ConnectError::Unreachable { authority: authority(), source: reset() }, true, true),
        (timed_out(None), true, true),
        (timed_out(Some(([127, 0, 0, 1], 80).into())), true, true),
        (unix(io::ErrorKind::NotFound), true, true),
        (unix(io::ErrorKind::ConnectionRefused), true, true),
        (unix(io::ErrorKind::PermissionDenied), false, true),
        (proxy(true), true, true),
        (proxy(false), false, true),
        (ConnectError::Tls { authority: authority(), why: String::new() }, false, true),
        (ConnectError::Ended { authority: authority(), source: reset() }, true, true),
        (ConnectError::NotWebSocket { authority: authority(), why: String::new() }, false, true),
        (http(200), false, true),
        (http(301), false, true),
        (http(400), false, true),
        (http(401), false, false),
        (http(403), false, false),
        (http(404), false, true),
        (http(426), false, true),
        (http(429), true, true),
        (http(500), false, true),
        (http(502), true, true),
        (http(503), true, true),
        (http(504), true, true),
        (
            ConnectError::NoCommonProtocol { authority: authority(), offered: Vec::new(), served: Vec::new() },
            false,
            true,
        ),
        (ConnectError::NotHosted { url: url(), contract: "Clock" }, false, false),
        (ConnectError::CallbackNotHosted { url: url(), contract: "Chat", callback: "Screen".to_owned() }, false, false),
        (ConnectError::Rejected(Status::unavailable("not yet")), true, true),
        (ConnectError::Rejected(Status::resource_exhausted("full")), true, true),
        (ConnectError::Rejected(Status::unauthenticated("who are you?")), false, false),
        (ConnectError::Rejected(Status::permission_denied("not you")), false, false),
        (ConnectError::Session(ConnectionError::Lost("reset".to_owned())), true, true),
        (closed(CloseCode::RESTART), true, true),
        (ConnectError::Session(ConnectionError::ShutDown), false, false),
        (ConnectError::Hosting(HostingError::SameName { name: "Chat" }), false, false),
        (ConnectError::Stream { source: reset() }, true, true),
        (ConnectError::Setup(Status::unavailable("not yet")), true, true),
        (ConnectError::Setup(Status::deadline_exceeded("not yet")), true, true),
        (ConnectError::Setup(Status::not_found("no such room")), false, false),
        (ConnectError::Reconnect { why: "" }, false, false),
        (closed(CloseCode::NORMAL), false, false),
        (closed(CloseCode::POLICY_VIOLATION), false, false),
        (closed(CloseCode::PROTOCOL), false, true),
        (closed(CloseCode::EXPIRED), true, true),
        (closed(CloseCode(4999)), false, true),
        (closed(CloseCode::REFUSED), false, false),
        (ConnectError::Session(ProtocolError::OutOfSequence { seq: 3, expected: 2 }.into()), false, true),
        (ConnectError::Session(ConnectionError::Expired), false, true),
        (ConnectError::Session(ConnectionError::ClosedLocally), false, false),
        (ConnectError::Session(ConnectionError::RefusedPeer(Status::unavailable("not now"))), false, false),
    ];
    let mut variants = BTreeSet::new();
    for (error, is_retryable, again) in table {
        assert_eq!((error.is_retryable(), error.is_retryable_after_session()), (is_retryable, again), "{error:?}");
        variants.insert(format!("{error:?}").split(':').next().map(str::to_owned));
    }
    assert_eq!(variants.len(), VARIANTS, "{variants:?}");
}

#[test]
fn what_a_server_says_cannot_break_a_line_or_steer_a_terminal() {
    const NASTY: &str = "no\n\u{1b}[2J\u{202e}";
    let (url, authority) = ("ws://localhost/".to_owned(), "localhost:80".to_owned());
    let errors = [
        ConnectError::Http { url, status: StatusCode::NOT_FOUND, body: NASTY.to_owned(), retry_after: None },
        ConnectError::NotWebSocket { authority: authority.clone(), why: NASTY.to_owned() },
        ConnectError::Tls { authority: authority.clone(), why: NASTY.to_owned() },
        ConnectError::NoCommonProtocol { authority, offered: Vec::new(), served: vec![NASTY.to_owned(); 1000] },
        ConnectError::Rejected(Status::unauthenticated(NASTY)),
        ConnectError::Session(ConnectionError::Lost(NASTY.to_owned())),
    ];
    for error in errors {
        let shown = error.to_string();
        assert!(shown.contains("no\\n\\u{1b}[2J\\u{202e}"), "{shown:?}");
        assert!(!shown.contains(|char: char| char.is_control() || char == '\u{202e}'), "{shown:?}");
        assert!(shown.len() < 4000, "{} bytes", shown.len());
    }
}
