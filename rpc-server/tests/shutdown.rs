//! How a server ends, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use raw::{DeskClient, Raw, SOON, patient, sessions};
use rpc_client::Connect;
use rpc_core::{CloseCode, ConnectionError, Stub};
use tokio::{net::TcpListener, time::timeout};

#[tokio::test]
async fn shutdown_closes_sessions_frees_the_port_and_ends_wait() {
    let server = patient().await;
    let addr = server.local_addr();
    let desk = DeskClient::connect(format!("ws://{addr}/")).await.unwrap();
    let session = desk.session();
    timeout(SOON, async { tokio::join!(server.shutdown(), server.wait()) }).await.unwrap();
    let reason = timeout(SOON, session.closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode(1012), .. }), "{reason}");
    assert!(server.sessions().is_empty());
    assert!(DeskClient::connect(format!("ws://{addr}/")).await.is_err());
    TcpListener::bind(addr).await.unwrap();
    // Once more does no harm.
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn dropping_the_handle_closes_every_session() {
    let server = patient().await;
    let desk = DeskClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
    let session = desk.session();
    drop(server);
    timeout(SOON, session.closed()).await.unwrap();
    assert!(desk.address().await.is_err());
}

#[tokio::test]
async fn connections_that_are_torn_leave_nothing() {
    let server = patient().await;
    for round in 0..100 {
        let raw = if round % 2 == 0 { Raw::connect(&server).await } else { Raw::upgraded(&server).await };
        // Without a goodbye.
        raw.0.set_zero_linger().unwrap();
        drop(raw);
    }
    sessions(&server, 0).await;
    timeout(SOON, server.shutdown()).await.unwrap();
}
