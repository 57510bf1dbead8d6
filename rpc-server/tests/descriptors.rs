//! A server whose process has no file descriptors left.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;
mod child;
mod raw;
mod transport;

use std::fs::read_dir;

use allocated::KIB;
use child::{gone, kind, say, signal, start, transport as own_transport};
use raw::{DeskClient, builder};
use rpc_client::{Client, Connect};
use rpc_core::Config;
use rpc_testing::{SOON, over_both, until};
use tokio::{net::TcpStream, time::timeout};
use transport::Transport;

over_both!(a_server_without_descriptors_serves_on_and_recovers);

/// How many files and sockets the server may have.
const MOST: usize = 48;
/// How often there are no descriptors left.
const ROUNDS: usize = 5;

/// What may be left of all peers: places in tables, and what the thread keeps for a while.
const LEFT: u64 = 40 * KIB as u64;

/// What the child says of itself.
#[rpc_core::service]
trait Ledger {
    /// The bytes that are allocated now.
    async fn allocated(&self) -> u64;
}

struct Allocator;

impl Ledger for Allocator {
    async fn allocated(&self) -> u64 {
        allocated::allocated() as u64
    }
}

/// The child's program; as a test, it does nothing.
#[tokio::test]
async fn child() {
    if kind().is_none() {
        return;
    }
    // A peer of which the server has heard nothing has no more than this.
    let config = Config::builder().upgrade_timeout(SOON).build().unwrap();
    let server = own_transport().listen(builder().service(Allocator.serve()).config(config)).await;
    say(server.local_addr());
    server.shutdown_on_signal().await;
}

async fn a_server_without_descriptors_serves_on_and_recovers(transport: Transport) {
    let (child, addr) = start("alone", MOST, &transport).await;
    let descriptors = format!("/proc/{}/fd", child.id().unwrap());
    let open = || read_dir(&descriptors).unwrap().count();
    let connect = || transport.trusting(DeskClient::connect(transport.url(addr, "/")));
    let healthy = connect().await.unwrap();
    let ledger = Client::of(&healthy).unwrap().client::<LedgerClient>();
    let (few, mut before) = (open(), None);
    for _ in 0..ROUNDS {
        let mut silent = Vec::new();
        for _ in 0..2 * MOST {
            silent.push(TcpStream::connect(addr).await.unwrap());
            healthy.address().await.unwrap();
        }
        until("no descriptor is left", || open() >= MOST).await;
        for _ in 0..100 {
            healthy.address().await.unwrap();
        }
        let late = connect();
        let late = tokio::spawn(async move { late.await.unwrap().address().await });
        drop(silent);
        assert!(timeout(SOON, late).await.unwrap().unwrap().unwrap().is_some());
        healthy.address().await.unwrap();
        until("all have gone", || open() == few).await;
        // What the process keeps is made by the first round, and what is left of each later one adds up.
        let freed = async {
            loop {
                let now = ledger.allocated().await.unwrap();
                if now <= *before.get_or_insert(now) + LEFT {
                    break;
                }
            }
        };
        timeout(SOON, freed).await.expect("the memory is given back");
    }
    signal(&child, "TERM").await;
    gone(child).await;
}
