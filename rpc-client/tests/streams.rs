//! Streams over real sockets: both ways at once, held back, and at the end of a server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use rpc_client::Connect;
use rpc_core::{Code, Context, Status, Streaming, Stub};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Limit, SOON, at_rest, blocks, count_blocks};
use tokio::time::timeout;

#[rpc_core::callback]
trait Well {
    async fn draw(&self, blocks: u64) -> Streaming<Bytes>;
}

#[rpc_core::service(callback = Well)]
trait Mill {
    async fn pour(&self, blocks: u64) -> Streaming<Bytes>;
    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status>;
    /// Reads a stream of the client, and returns the number of its blocks.
    async fn draw(&self, cx: &Context<WellClient>, blocks: u64) -> Result<u64, Status>;
    async fn ping(&self, n: u32) -> u32;
    /// Produces the next number only when it is polled.
    async fn endless(&self) -> Streaming<u64>;
}

#[derive(Default)]
struct House {
    produced: Arc<AtomicU64>,
    _limit: Limit,
}

impl Mill for House {
    async fn pour(&self, count: u64) -> Streaming<Bytes> {
        Streaming::new(blocks(count))
    }

    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status> {
        count_blocks(blocks).await
    }

    async fn draw(&self, cx: &Context<WellClient>, blocks: u64) -> Result<u64, Status> {
        count_blocks(cx.peer().draw(blocks).await?).await
    }

    async fn ping(&self, n: u32) -> u32 {
        n
    }

    async fn endless(&self) -> Streaming<u64> {
        let produced = self.produced.clone();
        Streaming::new(stream::iter(0..).inspect(move |_| {
            produced.fetch_add(1, Ordering::SeqCst);
        }))
    }
}

struct Bucket;

impl Well for Bucket {
    async fn draw(&self, count: u64) -> Streaming<Bytes> {
        Streaming::new(blocks(count))
    }
}

async fn open() -> (Arc<AtomicU64>, ServerHandle, MillClient) {
    let house = House::default();
    let produced = house.produced.clone();
    let server = Server::builder().service(house.serve()).listen("127.0.0.1:0").await.unwrap();
    let mill = MillClient::connect(format!("ws://{}/", server.local_addr())).callback(Bucket.serve()).await.unwrap();
    (produced, server, mill)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_at_once_and_small_calls_between() {
    let (_, _server, mill) = open().await;
    let work = async {
        let down = async { count_blocks(mill.pour(500).await.unwrap()).await.unwrap() };
        let up = async { mill.drain(blocks(500)).await.unwrap() };
        let back = async { mill.draw(200).await.unwrap() };
        let calls = async {
            for n in 0..500 {
                assert_eq!(mill.ping(n).await.unwrap(), n);
            }
        };
        let (down, up, back, ()) = tokio::join!(down, up, back, calls);
        assert_eq!((down, up, back), (500, 500, 200));
    };
    timeout(SOON, work).await.unwrap();
    at_rest(&mill.session()).await;
}

#[tokio::test]
async fn a_slow_reader_holds_a_far_producer_back() {
    let (produced, _server, mill) = open().await;
    let mut numbers = mill.endless().await.unwrap();
    for n in 0..100_000 {
        assert_eq!(numbers.next().await, Some(Ok(n)));
    }
    // The window may have grown, but only up to its limit.
    let ahead = produced.load(Ordering::SeqCst) - 100_000;
    assert!(ahead <= (4 << 20) / 32 + 4096, "{ahead}");
    drop(numbers);
    at_rest(&mill.session()).await;
}

#[tokio::test]
async fn a_server_that_goes_ends_streams_with_what_has_come() {
    let (_, server, mill) = open().await;
    let mut numbers = mill.endless().await.unwrap();
    assert_eq!(numbers.next().await, Some(Ok(0)));
    drop(server);
    let mut errors = Box::pin(numbers.filter_map(async |number| number.err()));
    let end = Status::from(timeout(SOON, errors.next()).await.unwrap().unwrap());
    assert_eq!(end.code(), Code::Unavailable);
}

/// During a drain, streams may still be read to their end.
#[tokio::test]
async fn a_shutdown_waits_for_streams_that_flow() {
    let (_, server, mill) = open().await;
    let mut poured = mill.pour(300).await.unwrap();
    assert!(poured.next().await.unwrap().is_ok());
    let read = async {
        let mut left = 299;
        while let Some(block) = poured.next().await {
            block.unwrap();
            left -= 1;
        }
        left
    };
    let (left, ()) = timeout(SOON, async { tokio::join!(read, server.shutdown()) }).await.unwrap();
    assert_eq!(left, 0);
}
