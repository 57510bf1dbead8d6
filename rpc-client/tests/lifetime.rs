//! The handles that keep a client's session open, and the handles that do not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::{StreamExt, stream};
use rpc_client::{Connect, connect};
use rpc_core::{CallError, Code, ConnectionError, Session, Streaming, Stub};
use rpc_server::{Server, ServerHandle};
use tokio::time::timeout;

#[rpc_core::service]
trait Bell {
    async fn ring(&self) -> u32;
    /// Yields two items at once, and then never another.
    async fn rings(&self) -> Streaming<u32>;
}

struct Brass;

impl Bell for Brass {
    async fn ring(&self) -> u32 {
        1
    }
    async fn rings(&self) -> Streaming<u32> {
        Streaming::new(stream::iter([1, 2]).chain(stream::pending()))
    }
}

async fn server() -> (ServerHandle, String) {
    let server = Server::builder().service(Brass.serve()).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    (server, url)
}

async fn has_ended(session: &Session) {
    let reason = timeout(Duration::from_secs(30), session.closed()).await.expect("the session ends");
    assert_eq!(reason, ConnectionError::ClosedLocally);
}

#[tokio::test]
async fn a_session_lives_as_long_as_a_stub_that_came_from_connect() {
    let (server, url) = server().await;
    let first = BellClient::connect(&url).await.unwrap();
    let (session, second) = (first.session(), first.clone());
    let onlooker: BellClient = session.client();
    drop(first);
    assert_eq!((second.ring().await, onlooker.ring().await), (Ok(1), Ok(1)));
    drop(second);
    has_ended(&session).await;
    assert_eq!(onlooker.ring().await.unwrap_err().code(), Code::Unavailable);
    server.shutdown().await;
}

#[tokio::test]
async fn a_stub_of_a_client_keeps_the_session_and_so_does_keep_open() {
    let (server, url) = server().await;
    let client = connect(&url).await.unwrap();
    let (session, stub) = (client.session().clone(), client.client::<BellClient>());
    drop(client);
    assert_eq!(stub.ring().await, Ok(1));
    drop(stub);
    has_ended(&session).await;

    let stub = BellClient::connect(&url).await.unwrap();
    let session = stub.session();
    let keep = session.keep_open();
    let kept = BellClient::from_peer(keep.clone());
    drop((stub, keep));
    // The stub from `connect` is dropped; the handle from `keep_open` still keeps the session open.
    assert_eq!(kept.ring().await, Ok(1));
    drop(kept);
    has_ended(&session).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_does_not_keep_its_session_open_and_gives_what_has_come() {
    let (server, url) = server().await;
    let bell = BellClient::connect(&url).await.unwrap();
    let session = bell.session();
    let mut rings = bell.rings().await.unwrap();
    assert_eq!(rings.next().await, Some(Ok(1)));
    // The answer to this call comes after the second item, which was sent together with the first.
    assert_eq!(bell.ring().await, Ok(1));
    drop(bell);
    has_ended(&session).await;
    assert_eq!(rings.next().await, Some(Ok(2)));
    let end = rings.next().await;
    assert!(matches!(&end, Some(Err(CallError::Status(status))) if status.code() == Code::Unavailable), "{end:?}");
    assert_eq!(rings.next().await, None);
    server.shutdown().await;
}
