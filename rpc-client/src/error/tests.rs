//! Tests of `ConnectError`.

use super::*;

#[test]
fn an_attempt_is_worth_a_retry_unless_something_has_to_change_first() {
    let (url, authority) = (|| "ws://localhost/".to_owned(), || "localhost:80".to_owned());
    let http = |status: u16| {
        let status = StatusCode::from_u16(status).expect("it is a status");
        ConnectError::Http { url: url(), status, body: String::new() }
    };
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let retryable = [
        ConnectError::Resolve { host: "localhost".to_owned(), source: reset() },
        ConnectError::Refused { authority: authority() },
        ConnectError::Unreachable { authority: authority(), source: reset() },
        ConnectError::TimedOut { authority: authority(), limit: Duration::from_secs(1), reached: None },
        ConnectError::Ended { authority: authority(), source: reset() },
        ConnectError::Unix { path: "rpc.sock".into(), source: io::ErrorKind::NotFound.into() },
        ConnectError::Proxy { proxy: url(), why: String::new(), is_temporary: true },
        http(429),
        http(502),
        http(503),
        http(504),
        ConnectError::Rejected(Status::unavailable("not yet")),
        ConnectError::Rejected(Status::resource_exhausted("full")),
        ConnectError::Session(ConnectionError::Lost("reset".to_owned())),
    ];
    let final_ones = [
        ConnectError::Url { url: url(), why: String::new() },
        ConnectError::Tls { authority: authority(), why: String::new() },
        ConnectError::Unix { path: "rpc.sock".into(), source: io::ErrorKind::PermissionDenied.into() },
        ConnectError::Proxy { proxy: url(), why: String::new(), is_temporary: false },
        ConnectError::NotWebSocket { authority: authority(), why: String::new() },
        ConnectError::NotHosted { url: url(), contract: "Clock" },
        http(200),
        http(401),
        http(404),
        http(500),
        ConnectError::Rejected(Status::unauthenticated("who are you?")),
        ConnectError::Session(ConnectionError::ShutDown),
    ];
    for error in retryable {
        assert!(error.is_retryable(), "{error}");
    }
    for error in final_ones {
        assert!(!error.is_retryable(), "{error}");
    }
}

#[test]
fn what_a_server_says_cannot_break_a_line_or_steer_a_terminal() {
    const NASTY: &str = "no\n\u{1b}[2J\u{202e}";
    let (url, authority) = ("ws://localhost/".to_owned(), "localhost:80".to_owned());
    let errors = [
        ConnectError::Http { url, status: StatusCode::NOT_FOUND, body: NASTY.to_owned() },
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
