//! A server whose process has no file descriptors left.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod raw;
mod transport;

use std::fs::read_dir;

use child::{gone, kind, say, signal, start, transport as own_transport};
use raw::{DeskClient, builder};
use rpc_client::Connect;
use rpc_testing::{SOON, over_both, until};
use tokio::{net::TcpStream, time::timeout};
use transport::Transport;

over_both!(a_server_without_descriptors_serves_on_and_recovers);

/// How many files and sockets the server may have.
const MOST: usize = 48;

/// The child's program; as a test, it does nothing.
#[tokio::test]
async fn child() {
    if kind().is_none() {
        return;
    }
    let server = own_transport().listen(builder()).await;
    say(server.local_addr());
    server.shutdown_on_signal().await;
}

async fn a_server_without_descriptors_serves_on_and_recovers(transport: Transport) {
    let (child, addr) = start("alone", MOST, &transport).await;
    let connect = || transport.trusting(DeskClient::connect(transport.url(addr, "/")));
    let healthy = connect().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 * MOST {
        silent.push(TcpStream::connect(addr).await.unwrap());
        healthy.address().await.unwrap();
    }
    let descriptors = format!("/proc/{}/fd", child.id().unwrap());
    until("no descriptor is left", || read_dir(&descriptors).unwrap().count() >= MOST).await;
    for _ in 0..100 {
        healthy.address().await.unwrap();
    }
    let late = connect();
    let late = tokio::spawn(async move { late.await.unwrap().address().await });
    drop(silent);
    assert!(timeout(SOON, late).await.unwrap().unwrap().unwrap().is_some());
    healthy.address().await.unwrap();
    signal(&child, "TERM").await;
    gone(child).await;
}
