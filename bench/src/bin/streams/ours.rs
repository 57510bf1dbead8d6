//! Streams, payloads and small calls through Duplex RPC.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Outcome, announce};
use futures::{StreamExt, stream};
use rpc_client::{Connect, Reconnect};
use rpc_core::{Status, Streaming};
use rpc_server::Server;

/// As long as a chunk can carry in one piece.
const BLOCK: usize = 65_000;
/// The length of a payload that is always in flight.
const LARGE: usize = 4 * 1024 * 1024 - 64;
const MIB: f64 = 1024.0 * 1024.0;

#[rpc_core::service]
trait Depot {
    async fn numbers(&self, count: u64) -> Streaming<u64>;
    async fn down(&self, blocks: u64) -> Streaming<Bytes>;
    async fn up(&self, blocks: Streaming<Bytes>) -> Result<u64, Status>;
    async fn echo(&self, payload: Bytes) -> Bytes;
    async fn ping(&self, number: u64) -> u64;
    /// Resident bytes now, or the most there have been since this was last asked.
    async fn resident(&self, most: bool) -> u64;
}

struct Store;

fn blocks(count: u64) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    let block = Bytes::from(vec![7; BLOCK]);
    stream::iter(0..count).map(move |_| block.clone())
}

async fn read(mut blocks: Streaming<Bytes>) -> Result<u64, Status> {
    let mut bytes = 0;
    while let Some(block) = blocks.next().await {
        bytes += block.map_err(Status::from)?.len() as u64;
    }
    Ok(bytes)
}

impl Depot for Store {
    async fn numbers(&self, count: u64) -> Streaming<u64> {
        Streaming::new(stream::iter(0..count))
    }

    async fn down(&self, count: u64) -> Streaming<Bytes> {
        Streaming::new(blocks(count))
    }

    async fn up(&self, blocks: Streaming<Bytes>) -> Result<u64, Status> {
        read(blocks).await
    }

    async fn echo(&self, payload: Bytes) -> Bytes {
        payload
    }

    async fn ping(&self, number: u64) -> u64 {
        number
    }

    async fn resident(&self, most: bool) -> u64 {
        resident(most)
    }
}

/// Resident bytes of this process, from what Linux says of it.
fn resident(most: bool) -> u64 {
    let key = if most { "VmHWM:" } else { "VmRSS:" };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_whitespace().nth(1));
    line.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub(crate) async fn serve() -> Outcome<()> {
    let server = Server::builder().service(Store.serve()).listen("127.0.0.1:0").await?;
    announce(server.local_addr())?;
    server.wait().await;
    Ok(())
}

async fn connect(addr: &str) -> Outcome<DepotClient> {
    // As the peers beside it, the client does not connect again.
    Ok(DepotClient::connect(format!("ws://{addr}/")).reconnect(Reconnect::never()).await?)
}

/// Items a second.
pub(crate) async fn items(addr: &str, count: u64) -> Outcome<f64> {
    let depot = connect(addr).await?;
    let mut rate = 0.0;
    // The first is to warm up.
    for count in [count / 10, count] {
        let start = Instant::now();
        let mut numbers = depot.numbers(count).await?;
        let mut next = 0;
        while let Some(number) = numbers.next().await {
            assert_eq!(number?, next);
            next += 1;
        }
        assert_eq!(next, count);
        rate = count as f64 / start.elapsed().as_secs_f64();
    }
    Ok(rate)
}

/// MiB a second of both directions together, without and with the payloads, and the 99th percentiles of small calls on
/// that connection and on an idle one, in microseconds.
pub(crate) async fn bulk(addr: &str, mib: u64, payloads: usize) -> Outcome<Vec<f64>> {
    let (depot, beside) = (connect(addr).await?, connect(addr).await?);
    let count = mib * 1024 * 1024 / BLOCK as u64;
    let done = AtomicBool::new(false);
    let transfers = async {
        let start = Instant::now();
        let down = async { read(depot.down(count).await?).await };
        let up = depot.up(blocks(count));
        let (down, up) = tokio::try_join!(down, up)?;
        done.store(true, Ordering::Relaxed);
        Ok::<_, Status>((down + up, start.elapsed().as_secs_f64()))
    };
    let payload = Bytes::from(vec![9; LARGE]);
    let moved = AtomicU64::new(0);
    let echoes = futures::future::try_join_all((0..payloads).map(async |_| {
        while !done.load(Ordering::Relaxed) {
            assert_eq!(depot.echo(payload.clone()).await?.len(), LARGE);
            moved.fetch_add(2 * LARGE as u64, Ordering::Relaxed);
        }
        Ok::<_, Status>(())
    }));
    let loaded = pings(&depot, &done);
    let idle = pings(&beside, &done);
    let ((bytes, seconds), _, loaded, idle) = tokio::try_join!(transfers, echoes, loaded, idle)?;
    let all = bytes + moved.into_inner();
    let rate = |bytes: u64| bytes as f64 / MIB / seconds;
    Ok(vec![rate(bytes), rate(all), loaded, idle])
}

/// The 99th percentile of a small call, in microseconds.
async fn pings(depot: &DepotClient, done: &AtomicBool) -> Result<f64, Status> {
    let mut times = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        depot.ping(1).await?;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    times.sort();
    let at = times.len() * 99 / 100;
    Ok(times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6))
}

/// Seconds, and by how many MiB the resident memory of reader and producer grew.
pub(crate) async fn slow(addr: &str, gib: u64) -> Outcome<Vec<f64>> {
    let depot = connect(addr).await?;
    // What both take for a stream at all.
    read(depot.down(100).await?).await?;
    let before = (resident(false), depot.resident(false).await?);
    let start = Instant::now();
    let mut blocks = depot.down(gib * 1024 * 1024 * 1024 / BLOCK as u64).await?;
    let (mut count, mut most) = (0_u64, (0, 0));
    while let Some(block) = blocks.next().await {
        assert_eq!(block?.len(), BLOCK);
        count += 1;
        // It stops now and then, longer than the window lasts.
        if count % 256 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if count % 4096 == 0 {
            most = (resident(false).max(most.0), depot.resident(false).await?.max(most.1));
        }
    }
    let grown = |most: u64, before: u64| most.saturating_sub(before) as f64 / MIB;
    Ok(vec![start.elapsed().as_secs_f64(), grown(most.0, before.0), grown(most.1, before.1)])
}
