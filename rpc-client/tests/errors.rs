//! Every error is shown once: a program that prints an error and its sources prints no text twice.

use std::{error::Error, io, net::SocketAddr, time::Duration};

use rpc_client::{
    CallError, CloseCode, Code, ConfigError, ConfigValue, ConnectError, ConnectionError, HostingError, MemoryLimit,
    Overload, ProtocolError, Status, TimeLimit, Timeout,
};
use rpc_server::{BuildError, ListenError};

const SOCKET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

/// Panics if the text of an error contains the text of its source.
fn assert_shown_once(error: &dyn Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(source) = next {
            assert!(!error.to_string().contains(&source.to_string()), "`{source}` is shown twice: {error:?}");
        }
    }
}

/// An error of the network, which has a source of its own.
fn network() -> io::Error {
    io::Error::other(io::Error::other("the cable is cut"))
}

fn text() -> String {
    "text".to_owned()
}

fn config_errors() -> [ConfigError; 3] {
    let (field, given, other) = ("stream_window", ConfigValue::Count(1), ConfigValue::Time(Duration::from_secs(1)));
    [
        ConfigError::TooSmall { field, given, least: other },
        ConfigError::TooLarge { field, given, greatest: other },
        ConfigError::Unfit { field, given, least: other, beside: vec![("session_memory", other)] },
    ]
}

fn hosting_errors() -> [HostingError; 5] {
    [
        HostingError::ReservedName { name: "rpc.Chat" },
        HostingError::SameName { name: "Chat" },
        HostingError::SameMethodId { id: 1, first: text(), second: text() },
        HostingError::TooMany { contracts: 1000 },
        HostingError::TooLong { contracts: 1000, bytes: 2, most: 1 },
    ]
}

fn connection_errors() -> [ConnectionError; 9] {
    [
        ConnectionError::ClosedLocally,
        ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "done".into() },
        ConnectionError::Lost(text()),
        ConnectionError::TimedOut(Timeout::new(TimeLimit::Keepalive, Duration::from_secs(1))),
        ConnectionError::Protocol(ProtocolError::UnknownFrame { kind: 15, at: None }),
        ConnectionError::Refused(Status::unavailable("not yet")),
        ConnectionError::RefusedPeer(Status::unavailable("not yet")),
        ConnectionError::Overloaded(Overload::new(MemoryLimit::Session, 1, 2)),
        ConnectionError::ShutDown,
    ]
}

fn connect_errors() -> Vec<ConnectError> {
    let (authority, url) = ("localhost:9000".to_owned(), "ws://localhost:9000/".to_owned());
    let (limit, status) = (Duration::from_secs(1), Status::permission_denied("not you"));
    let mut errors = vec![
        ConnectError::Url { url: text(), why: text() },
        ConnectError::Header { name: text(), why: text() },
        ConnectError::Resolve { host: text(), source: network() },
        ConnectError::Refused { authority: authority.clone() },
        ConnectError::Unix { path: text().into(), source: network() },
        ConnectError::Stream { source: network() },
        ConnectError::Proxy { proxy: text(), why: text(), is_temporary: false },
        ConnectError::Tls { authority: authority.clone(), why: text() },
        ConnectError::Unreachable { authority: authority.clone(), source: network() },
        ConnectError::TimedOut { authority: authority.clone(), limit, reached: Some(SOCKET) },
        ConnectError::Ended { authority: authority.clone(), source: network() },
        ConnectError::NotWebSocket { authority: authority.clone(), why: text() },
        ConnectError::NoCommonProtocol { authority, offered: vec![text()], served: vec![text()] },
        ConnectError::Http { url: url.clone(), status: http::StatusCode::NOT_FOUND, body: text(), retry_after: None },
        ConnectError::NotHosted { url: url.clone(), contract: "Chat" },
        ConnectError::CallbackNotHosted { url, contract: "Chat", callback: text() },
        ConnectError::Rejected(status),
    ];
    errors.extend(connection_errors().map(ConnectError::Session));
    errors.extend(hosting_errors().map(ConnectError::Hosting));
    errors
}

fn server_errors() -> Vec<ListenError> {
    let mut errors = vec![
        ListenError::Address(network()),
        ListenError::InUse(SOCKET),
        ListenError::Denied(SOCKET),
        ListenError::NotLocal(SOCKET),
        ListenError::NoTrustedProxies,
        ListenError::Failed { addr: SOCKET, source: network() },
        ListenError::PathInUse(text().into()),
        ListenError::Path { path: text().into(), source: network() },
        ListenError::ShutDown,
    ];
    errors.extend(build_errors().into_iter().map(ListenError::Build));
    errors
}

fn build_errors() -> Vec<BuildError> {
    let mut errors = vec![
        BuildError::Memory { given: 1, least: 2 },
        BuildError::NoConnections { setting: "max_connections" },
        BuildError::MaxHeaders { given: 0, most: 1_000 },
        BuildError::Origin { given: "*".to_owned(), why: "a wildcard".to_owned() },
    ];
    errors.extend(hosting_errors().map(BuildError::Hosting));
    errors
}

#[cfg(feature = "tls")]
fn tls_errors() -> [rpc_client::TlsError; 5] {
    use rpc_client::TlsError;

    [
        TlsError::Read { path: "cert.pem".into(), source: network() },
        TlsError::Pem { place: text(), why: text() },
        TlsError::Certificate { why: text() },
        TlsError::ServerName { name: text() },
        TlsError::Platform { why: text() },
    ]
}

#[test]
fn no_error_shows_its_source() {
    let mut errors: Vec<Box<dyn Error>> = vec![
        Status::internal("a bug").into(),
        ProtocolError::UnknownFrame { kind: 15, at: None }.into(),
        Code::try_from(99_u8).unwrap_err().into(),
        CallError::Fault("the room is full").into(),
        CallError::<String>::Status(Status::internal("a bug")).into(),
    ];
    errors.extend(build_errors().into_iter().map(|error| error.into()));
    errors.extend(config_errors().map(|error| error.into()));
    errors.extend(hosting_errors().map(|error| error.into()));
    errors.extend(connection_errors().map(|error| error.into()));
    errors.extend(connect_errors().into_iter().map(|error| error.into()));
    #[cfg(feature = "tls")]
    errors.extend(tls_errors().map(|error| error.into()));
    errors.extend(server_errors().into_iter().map(|error| error.into()));
    for error in &errors {
        assert_shown_once(error.as_ref());
    }
}

#[test]
fn the_message_of_a_connect_error_is_whole_without_its_source() {
    let reset = ConnectError::Ended { authority: "localhost:9000".to_owned(), source: network() };
    assert!(reset.to_string().contains("the cable is cut"), "{reset}");
    let rejected = ConnectError::Rejected(Status::permission_denied("not you"));
    assert_eq!(rejected.to_string(), "the server refused the session (PERMISSION_DENIED): not you");
    // The text already contains the status, so the status is no source.
    assert!(rejected.source().is_none());
}
