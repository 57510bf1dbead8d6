//! What a server learns of a client's URL and address, and who else learns of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, builder, connections, patient};
use rpc_client::{Connect, ConnectError, Stub};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Lines, SOON, until};
use tokio::{net::TcpListener, time::timeout};
use tracing::Level;

const SECRET: &str = "hunter2";

async fn connect(url: String) -> Result<DeskClient, ConnectError> {
    timeout(SOON, DeskClient::connect(url)).await.unwrap()
}

/// The target of the request from which the server's one session comes.
async fn target(server: &ServerHandle) -> String {
    until("the session is open", || server.sessions().len() == 1).await;
    let session = server.sessions().iter().next().unwrap();
    session.info().uri.as_ref().unwrap().to_string()
}

#[tokio::test]
async fn the_path_and_the_query_of_the_url_reach_the_session() {
    let server = patient().await;
    let addr = server.local_addr();
    for (url, expected) in [
        (format!("ws://{addr}"), "/"),
        (format!("WS://{addr}/rpc/a%20b"), "/rpc/a%20b"),
        (format!("Ws://{addr}?room=5&x=/"), "/?room=5&x=/"),
        (format!("ws://{addr}/rpc?room=5"), "/rpc?room=5"),
    ] {
        let desk = connect(url).await.unwrap();
        assert_eq!(target(&server).await, expected);
        assert_eq!(desk.session().info().uri, None, "a client knows its URL");
        desk.session().close().await;
        connections(&server, 0).await;
    }
}

#[tokio::test]
async fn an_ipv4_client_of_a_socket_for_both_families_is_shown_as_ipv4() {
    Lines::keep();
    let server = builder().max_connections_per_address(1).listen("[::]:0").await.unwrap();
    let port = server.local_addr().port();
    let desk = connect(format!("ws://127.0.0.1:{port}/")).await.unwrap();
    let shown = desk.address().await.unwrap().unwrap();
    assert!(shown.starts_with("127.0.0.1:"), "{shown}");
    let error = connect(format!("ws://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Http { status, .. } if status.as_u16() == 503), "{error}");
    let other = connect(format!("ws://[::1]:{port}/")).await.unwrap();
    assert!(other.address().await.unwrap().unwrap().starts_with("[::1]:"), "another address");
    let lines = Lines::read(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains(&shown)), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("::ffff:")), "{lines:?}");
}

#[tokio::test]
async fn a_zone_leads_to_the_server_and_is_not_sent() {
    let server = builder().listen("[::1]:0").await.unwrap();
    let port = server.local_addr().port();
    let desk = connect(format!("ws://[::1%251]:{port}/")).await.unwrap();
    assert_eq!(desk.header("host").await.unwrap(), Some(format!("[::1]:{port}")));
}

#[rpc_core::service]
trait Cellar {
    async fn fetch(&self);
}

#[tokio::test]
async fn no_error_and_no_log_shows_a_query() {
    Lines::keep();
    let server = builder().path("/rpc").listen("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let not_http = silent.local_addr().unwrap();
    let ends = tokio::spawn(async move { drop(silent.accept().await.unwrap()) });
    for place in [
        format!("ws://{addr}/elsewhere"),
        format!("ws://{nowhere}/"),
        format!("ws://{not_http}/"),
        format!("wss://{nowhere}/rpc"),
        format!("http://{addr}/rpc"),
        format!("ws://ada@{addr}/rpc"),
        format!("ws://{addr}/a b"),
        "ws://".to_owned(),
    ] {
        let error = connect(format!("{place}?access_token={SECRET}")).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{place}: {shown}");
    }
    timeout(SOON, ends).await.unwrap().unwrap();
    let other = timeout(SOON, CellarClient::connect(format!("ws://{addr}/rpc?access_token={SECRET}"))).await.unwrap();
    let error = other.unwrap_err();
    assert!(
        matches!(error, ConnectError::NotHosted { .. }) && !format!("{error} {error:?}").contains(SECRET),
        "{error}"
    );
    connections(&server, 0).await;
    let desk = connect(format!("ws://{addr}/rpc?access_token={SECRET}")).await.unwrap();
    assert_eq!(target(&server).await, format!("/rpc?access_token={SECRET}"));
    let shown = format!("{:?} {:?}", server.sessions().iter().next().unwrap().info(), desk.session());
    assert!(!shown.contains(SECRET), "{shown}");
    desk.session().close().await;
    connections(&server, 0).await;
    let lines = Lines::read(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains("/elsewhere")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:?}");
}

#[tokio::test]
async fn a_refused_upgrade_shows_no_query() {
    Lines::keep();
    let server = Server::builder().max_connections(1).listen("127.0.0.1:0").await.unwrap();
    let mut raw = raw::Raw::connect(&server).await;
    raw.send(format!("GET /rpc?access_token={SECRET} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 426"), "{head}");
    assert!(!raw.body(&head).await.contains(SECRET) && !head.contains(SECRET));
    let lines = Lines::read(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains("upgrade refused")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:?}");
}
