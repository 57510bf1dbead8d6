//! The memory that TLS adds to an idle connection. A program of its own, as the allocator counts for all tests of one.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;
mod raw;

use rpc_client::Connect;
use rpc_testing::Authority;

use allocated::{CONNECTIONS, KIB, allocated};
use raw::{DeskClient, connections, endless, listen};

#[tokio::test]
async fn tls_adds_little_to_an_idle_connection() {
    let authority = Authority::new("test");
    let identity = authority.server(&["127.0.0.1"]);
    let tls = rpc_server::Tls::from_pem(&identity.certificates, &identity.key).unwrap();
    let server = listen(endless()).await;
    let listener = server.server().listen_tls("127.0.0.1:0", tls).await.unwrap();
    let trusting = rpc_client::Tls::builder().ca(authority.pem()).build().unwrap();
    let (plain, secure) = (format!("ws://{}/", server.local_addr()), format!("wss://{}/", listener.local_addr()));
    // The first round fills the caches of the TLS library.
    let mut taken = Vec::new();
    for url in [&secure, &plain, &secure] {
        let before = allocated();
        let mut desks = Vec::new();
        for _ in 0..CONNECTIONS {
            let connecting = DeskClient::connect(url);
            let connecting = if *url == secure { connecting.tls(trusting.clone()) } else { connecting };
            desks.push(connecting.await.unwrap());
        }
        taken.push(allocated().saturating_sub(before) / CONNECTIONS);
        drop(desks);
        connections(&server, 0).await;
    }
    // Both ends are in this process.
    let added = taken[2].saturating_sub(taken[1]) / 2;
    assert!(added <= 16 * KIB, "{added} bytes at each end: {taken:?}");
    server.shutdown().await;
}
