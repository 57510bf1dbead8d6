//! Servers that listen at Unix sockets, and their clients.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs, io,
    os::unix::{fs::FileTypeExt, net},
    path::{Path, PathBuf},
};

use rpc_client::{CloseCode, Connect, ConnectError, Proxy};
use rpc_core::{ConnectionError, Context, Stub};
use rpc_server::{ListenError, Server};
use rpc_testing::{SOON, until};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, time::timeout};

#[rpc_core::service]
trait Mirror {
    async fn address(&self, cx: &Context<MirrorClient>) -> Option<String>;
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
}

struct Glass;

impl Mirror for Glass {
    async fn address(&self, cx: &Context<MirrorClient>) -> Option<String> {
        cx.peer_addr().map(|addr| addr.to_string())
    }
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

fn mirrors() -> Server {
    Server::builder().service(Glass.serve()).path("/rpc").max_connections_per_address(1).build().unwrap()
}

/// A path in a folder of its own.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rpc.sock");
    (folder, path)
}

async fn connect(path: &Path) -> Result<MirrorClient, ConnectError> {
    timeout(SOON, MirrorClient::connect("ws://localhost/rpc").unix(path)).await.unwrap()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[tokio::test]
async fn sessions_go_over_a_unix_socket() {
    let (server, (_folder, path)) = (mirrors(), place());
    let listener = server.listen_unix(&path).await.unwrap();
    assert_eq!(listener.path(), path);
    let (first, second) = (connect(&path).await.unwrap(), connect(&path).await.unwrap());
    for mirror in [&first, &second] {
        assert_eq!(mirror.address().await.unwrap(), None);
        assert_eq!(mirror.session().peer_addr(), None);
        assert_eq!(mirror.echo(vec![7; 1_000_000]).await.unwrap(), vec![7; 1_000_000]);
    }
    let elsewhere = timeout(SOON, MirrorClient::connect("ws://localhost/elsewhere").unix(&path)).await.unwrap();
    assert!(matches!(elsewhere.unwrap_err(), ConnectError::Http { status, .. } if status == 404));
    timeout(SOON, server.shutdown()).await.unwrap();
    let reason = timeout(SOON, first.session().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
    assert!(!path.exists(), "the file goes with the server");
}

#[tokio::test]
async fn the_file_goes_with_its_listener_and_sessions_stay() {
    let (server, (_folder, path)) = (mirrors(), place());
    let listener = server.listen_unix(&path).await.unwrap();
    let mirror = connect(&path).await.unwrap();
    listener.close();
    assert!(!path.exists());
    let error = connect(&path).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unix { source, .. } if source.kind() == io::ErrorKind::NotFound), "{error}");
    assert!(error.is_retryable() && error.to_string().contains("check the path"), "{error}");
    assert_eq!(mirror.echo(vec![1]).await.unwrap(), [1]);
    let again = server.listen_unix(&path).await.unwrap();
    connect(&path).await.unwrap();
    drop((server, again));
    assert!(!path.exists(), "the file goes with the last handle");
}

#[tokio::test]
async fn a_file_that_a_process_has_left_is_taken_over() {
    let (server, (_folder, path)) = (mirrors(), place());
    drop(net::UnixListener::bind(&path).unwrap());
    assert!(is_socket(&path));
    let error = connect(&path).await.unwrap_err();
    let is_refused = |source: &io::Error| source.kind() == io::ErrorKind::ConnectionRefused;
    assert!(matches!(&error, ConnectError::Unix { source, .. } if is_refused(source)), "{error}");
    let _listener = server.listen_unix(&path).await.unwrap();
    connect(&path).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_answers_and_other_files_are_left_as_they_are() {
    let (server, (folder, path)) = (mirrors(), place());
    let _first = server.listen_unix(&path).await.unwrap();
    let error = mirrors().listen_unix(&path).await.unwrap_err();
    assert!(matches!(&error, ListenError::PathInUse(taken) if *taken == path), "{error}");
    connect(&path).await.unwrap();

    let text = folder.path().join("notes.txt");
    fs::write(&text, "keep").unwrap();
    let error = server.listen_unix(&text).await.unwrap_err();
    assert!(matches!(&error, ListenError::Path { .. }) && error.to_string().contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&text).unwrap(), "keep");

    let link = folder.path().join("link.sock");
    std::os::unix::fs::symlink(&text, &link).unwrap();
    assert!(matches!(server.listen_unix(&link).await.unwrap_err(), ListenError::Path { .. }));
    assert!(link.exists() && text.exists());

    let error = server.listen_unix(folder.path().join("missing/rpc.sock")).await.unwrap_err();
    assert!(matches!(&error, ListenError::Path { source, .. } if source.kind() == io::ErrorKind::NotFound), "{error}");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_said_to_be() {
    let (_folder, path) = place();
    let error = mirrors().listen_unix(path.with_file_name("x".repeat(120))).await.unwrap_err();
    assert!(matches!(&error, ListenError::Path { .. }), "{error}");
    assert!(error.to_string().ends_with("choose a shorter path, or a relative one"), "{error}");
}

#[tokio::test]
async fn the_short_way_builds_a_server_and_listens() {
    let (_folder, path) = place();
    let builder = || Server::builder().service(Glass.serve()).path("/rpc");
    let server = builder().listen_unix(&path).await.unwrap();
    assert_eq!(server.path(), path);
    let mirror = connect(&path).await.unwrap();
    assert_eq!(mirror.echo(vec![1]).await.unwrap(), [1]);
    assert_eq!(server.sessions().len(), 1);
    assert!(matches!(builder().listen_unix(&path).await.unwrap_err(), ListenError::PathInUse(_)));
    let wrong = builder().max_connections(0).listen_unix(&path).await;
    assert!(matches!(wrong.unwrap_err(), ListenError::Build(_)));
    timeout(SOON, server.shutdown()).await.unwrap();
    assert!(!path.exists());
    let server = builder().listen_unix(&path).await.unwrap();
    drop(server);
    assert!(!path.exists(), "the file goes with the handle");
}

#[tokio::test]
async fn a_file_that_has_taken_the_place_of_a_listeners_stays() {
    let (server, (_folder, path)) = (mirrors(), place());
    let listener = server.listen_unix(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    let other = mirrors();
    let _other = other.listen_unix(&path).await.unwrap();
    listener.close();
    connect(&path).await.unwrap();
}

#[tokio::test]
async fn limits_of_connections_hold() {
    let server = Server::builder().service(Glass.serve()).path("/rpc").max_connections(1).build().unwrap();
    let (_folder, path) = place();
    let _listener = server.listen_unix(&path).await.unwrap();
    let mirror = connect(&path).await.unwrap();
    let error = connect(&path).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Http { status, .. } if *status == 503), "{error}");
    mirror.session().close();
    until("the session has ended", || server.sessions().is_empty()).await;
}

#[tokio::test]
async fn a_server_that_has_ended_makes_no_file() {
    let (server, (_folder, path)) = (mirrors(), place());
    timeout(SOON, server.shutdown()).await.unwrap();
    assert!(matches!(server.listen_unix(&path).await.unwrap_err(), ListenError::ShutDown));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_connection_without_a_request_ends_with_its_server() {
    let (server, (_folder, path)) = (mirrors(), place());
    let _listener = server.listen_unix(&path).await.unwrap();
    let mut silent = tokio::net::UnixStream::connect(&path).await.unwrap();
    connect(&path).await.unwrap();
    timeout(SOON, server.shutdown()).await.unwrap();
    assert_eq!(timeout(SOON, silent.read(&mut [0; 10])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn the_last_way_that_is_named_counts() {
    let (server, (_folder, path)) = (mirrors(), place());
    let _listener = server.listen_unix(&path).await.unwrap();
    let proxy = Proxy::http("http://127.0.0.1:1").unwrap();
    let connecting = MirrorClient::connect("ws://localhost/rpc").proxy(proxy).unix(&path);
    timeout(SOON, connecting).await.unwrap().unwrap();
}

#[cfg(feature = "raw")]
#[tokio::test]
async fn a_raw_websocket_goes_over_a_unix_socket() {
    use rpc_client::raw::{ClientWebSocket, Message};
    use rpc_server::raw::{RawSocket, websocket};

    let echo = websocket(|mut socket: RawSocket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    });
    let server = Server::builder().service(Glass.serve()).path("/rpc").route("/ws", echo).build().unwrap();
    let (_folder, path) = place();
    let _listener = server.listen_unix(&path).await.unwrap();
    let connecting = ClientWebSocket::connect("ws://localhost/ws").unix(&path);
    let mut socket = timeout(SOON, connecting).await.unwrap().unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(timeout(SOON, socket.recv()).await.unwrap(), Some(Ok(Message::from("hello"))));
}
