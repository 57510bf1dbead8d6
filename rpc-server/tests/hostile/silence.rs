//! Peers that say nothing, or one byte a second: the server gives them the time of an upgrade and no more.

use std::time::Duration;

use rpc_core::Config;
use rpc_testing::{Link, over_both, with_stopped_clock};
use tokio::time::advance;

use crate::{
    raw::{Raw, builder},
    row::Row,
    transport::Transport,
};

over_both!(a_peer_that_says_nothing, a_head_that_comes_at_a_byte_a_second);

const SECOND: Duration = Duration::from_secs(1);
/// The time of an upgrade with the default configuration.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes that come before the last second of that time.
const BYTES: usize = 9;
/// The header of a TLS record of 16 KiB, and of a ClientHello within.
const CLIENT_HELLO: [u8; 9] = [22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc];

/// A peer that begins to talk to the server, and what it says first. Over `wss://` there are two: one has done the
/// handshake of TLS, and the other has not.
async fn peers(row: &Row) -> Vec<(Raw<Link>, Vec<u8>)> {
    let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    let mut peers = vec![(row.peer().await, head)];
    if row.is_tls() {
        peers.push((row.silent().await, CLIENT_HELLO.to_vec()));
    }
    row.served().await;
    peers
}

async fn a_peer_that_says_nothing(transport: Transport) {
    assert_eq!(Config::default().upgrade_timeout(), LIMIT);
    with_stopped_clock(async {
        let row = Row::begin(transport, builder()).await;
        row.beside(async {
            let mut peers = peers(&row).await;
            advance(LIMIT - SECOND).await;
            row.served().await;
            for (peer, _) in &mut peers {
                assert!(peer.hears_nothing().await);
            }
            advance(SECOND * 2).await;
            for (peer, _) in &mut peers {
                assert_eq!(peer.rest().await, b"");
            }
        })
        .await;
    })
    .await;
}

async fn a_head_that_comes_at_a_byte_a_second(transport: Transport) {
    with_stopped_clock(async {
        let row = Row::begin(transport, builder()).await;
        row.beside(async {
            let mut peers = peers(&row).await;
            for at in 0..BYTES {
                for (peer, says) in &mut peers {
                    assert!(peer.hears_nothing().await, "after {at} s");
                    peer.send(&says[at..][..1]).await;
                }
                advance(SECOND).await;
                row.served().await;
            }
            for (peer, _) in &mut peers {
                assert!(peer.hears_nothing().await);
            }
            advance(SECOND * 2).await;
            for (peer, _) in &mut peers {
                assert_eq!(peer.rest().await, b"");
            }
        })
        .await;
    })
    .await;
}
