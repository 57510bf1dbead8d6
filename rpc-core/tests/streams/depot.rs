//! A depot: streams as results, as arguments, and as both.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use rpc_core::{Config, ConfigBuilder, Context, Hosting, Session, Status, Streaming, session};
use rpc_testing::{Limit, pass};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    Spoiled(u32),
}

/// Hosted by the client.
#[rpc_core::callback]
pub(crate) trait Keeper {
    async fn watch(&self, from: u32) -> Streaming<u32>;
    async fn weigh(&self, loads: Streaming<u32>) -> u32;
}

/// Hosted by the server.
#[rpc_core::service(callback = Keeper)]
pub(crate) trait Depot {
    /// Numbers from 0 on.
    async fn count(&self, to: u64) -> Streaming<u64>;
    async fn checked(&self, to: u32) -> Result<Streaming<u32, Fault>, Fault>;
    async fn told(&self, to: u32) -> Result<Streaming<u32>, Status>;
    async fn sum(&self, loads: Streaming<u64>) -> Result<u64, Fault>;
    async fn sum_checked(&self, loads: Streaming<u32, Fault>) -> Result<u32, Fault>;
    async fn echo(&self, loads: Streaming<String>) -> Streaming<String>;
    async fn doubled(&self, loads: Streaming<u32, Fault>) -> Streaming<u64, Fault>;
    async fn zip(&self, left: Streaming<u32>, scale: u32, right: Streaming<u32>) -> Streaming<(u32, u32)>;
    async fn blocks(&self, count: usize, size: usize) -> Streaming<Bytes>;
    async fn length(&self, blocks: Streaming<Bytes>) -> usize;
    /// Never answers, nor reads more than one.
    async fn keep(&self, blocks: Streaming<Bytes>);
    /// Gives what was left there, or the same back.
    async fn swap(&self, block: Bytes) -> Bytes;
    /// Reads nothing of it, and goes on.
    async fn ignore(&self, loads: Streaming<u64>) -> u32;
    /// Takes `seconds` seconds for each load.
    async fn chew(&self, seconds: u64, loads: Streaming<u64>) -> Result<u64, Status>;
    /// Never answers.
    async fn hold(&self, loads: Streaming<u64>);
    async fn panics(&self) -> Streaming<u32>;
    async fn unfinished(&self) -> Streaming<u32>;
    async fn round_trip(&self, cx: &Context<KeeperClient>, to: u32) -> Result<u32, Status>;
    /// Numbers until one side shuts down.
    async fn subscribe(&self, cx: &Context<KeeperClient>) -> Streaming<u64>;
    #[rpc(window = 64)]
    async fn narrow(&self) -> Streaming<u64>;
    /// Reads `count` numbers, and then no more.
    #[rpc(window = 64)]
    async fn sip(&self, count: u64, numbers: Streaming<u64>);
}

/// Counts what its streams have been asked for.
#[derive(Clone, Default)]
pub(crate) struct House {
    pub(crate) produced: Arc<AtomicU64>,
    /// Notified when a call has arrived that does not return.
    pub(crate) kept: Arc<Notify>,
    pub(crate) result: Arc<Mutex<Option<Bytes>>>,
    _limit: Arc<Limit>,
}

impl Depot for House {
    async fn count(&self, to: u64) -> Streaming<u64> {
        let produced = self.produced.clone();
        Streaming::new(stream::iter(0..to).inspect(move |_| {
            produced.fetch_add(1, Ordering::SeqCst);
        }))
    }

    async fn checked(&self, to: u32) -> Result<Streaming<u32, Fault>, Fault> {
        if to == 0 {
            return Err(Fault::Spoiled(0));
        }
        let items = (0..to).map(Ok).chain([Err(Fault::Spoiled(to)), Ok(99)]);
        Ok(Streaming::from_results(stream::iter(items)))
    }

    async fn told(&self, to: u32) -> Result<Streaming<u32>, Status> {
        if to == 0 {
            return Err(Status::not_found("no such shelf"));
        }
        let (sender, streaming) = Streaming::channel(1);
        tokio::spawn(async move {
            for n in 0..to {
                sender.send(n).await.unwrap();
            }
            sender.fail_with(Status::data_loss("the shelf broke")).await.unwrap();
        });
        Ok(streaming)
    }

    async fn sum(&self, mut loads: Streaming<u64>) -> Result<u64, Fault> {
        let mut sum = 0;
        while let Some(load) = loads.next().await {
            sum += load.map_err(|_| Fault::Spoiled(7))?;
        }
        Ok(sum)
    }

    async fn sum_checked(&self, mut loads: Streaming<u32, Fault>) -> Result<u32, Fault> {
        let mut sum = 0;
        while let Some(load) = loads.next().await {
            sum += load.map_err(|error| error.fault().cloned().unwrap_or(Fault::Spoiled(0)))?;
        }
        Ok(sum)
    }

    async fn echo(&self, loads: Streaming<String>) -> Streaming<String> {
        loads
    }

    async fn doubled(&self, loads: Streaming<u32, Fault>) -> Streaming<u64, Fault> {
        Streaming::from_call_results(loads.map_ok(|load| u64::from(load) * 2))
    }

    async fn zip(&self, left: Streaming<u32>, scale: u32, right: Streaming<u32>) -> Streaming<(u32, u32)> {
        Streaming::from_call_results(left.zip(right).map(move |(left, right)| Ok((left?, right? * scale))))
    }

    async fn blocks(&self, count: usize, size: usize) -> Streaming<Bytes> {
        Streaming::new(stream::iter((0..count).map(move |n| vec![b'a' + u8::try_from(n).unwrap(); size].into())))
    }

    async fn length(&self, mut blocks: Streaming<Bytes>) -> usize {
        let mut length = 0;
        while let Some(block) = blocks.next().await {
            length += block.unwrap().len();
        }
        length
    }

    async fn keep(&self, mut blocks: Streaming<Bytes>) {
        let _first = blocks.next().await;
        self.kept.notify_one();
        pending::<()>().await;
    }

    async fn swap(&self, block: Bytes) -> Bytes {
        self.result.lock().unwrap().take().unwrap_or(block)
    }

    async fn ignore(&self, loads: Streaming<u64>) -> u32 {
        drop(loads);
        1
    }

    async fn chew(&self, seconds: u64, mut loads: Streaming<u64>) -> Result<u64, Status> {
        let mut count = 0;
        while let Some(load) = loads.next().await {
            load?;
            pass(Duration::from_secs(seconds)).await;
            count += 1;
        }
        Ok(count)
    }

    async fn hold(&self, loads: Streaming<u64>) {
        let _loads = loads;
        pending::<()>().await;
    }

    async fn panics(&self) -> Streaming<u32> {
        Streaming::new(stream::iter(0..3).map(|n| if n == 2 { panic!("as a user's stream may") } else { n }))
    }

    async fn unfinished(&self) -> Streaming<u32> {
        let (sender, streaming) = Streaming::channel(4);
        tokio::spawn(async move { sender.send(1).await });
        streaming
    }

    async fn round_trip(&self, cx: &Context<KeeperClient>, to: u32) -> Result<u32, Status> {
        let watched = cx.peer().watch(to).await?;
        cx.peer().weigh(watched.map(|load| load.unwrap())).await
    }

    async fn subscribe(&self, cx: &Context<KeeperClient>) -> Streaming<u64> {
        let session = cx.session();
        Streaming::new(stream::iter(0..).take_until(async move { session.draining().await }))
    }

    async fn narrow(&self) -> Streaming<u64> {
        self.count(u64::MAX).await
    }

    async fn sip(&self, count: u64, mut numbers: Streaming<u64>) {
        for n in 0..count {
            assert_eq!(numbers.next().await, Some(Ok(n)));
        }
        pending::<()>().await;
    }
}

pub(crate) struct Hand;

impl Keeper for Hand {
    async fn watch(&self, from: u32) -> Streaming<u32> {
        Streaming::new(stream::iter((0..from).rev()))
    }

    async fn weigh(&self, mut loads: Streaming<u32>) -> u32 {
        let mut sum = 0;
        while let Some(load) = loads.next().await {
            sum += load.unwrap();
        }
        sum
    }
}

/// A server's and a client's session.
pub(crate) fn connect(config: Config) -> (House, Session, Session) {
    let house = House::default();
    let server = Hosting::builder().service(house.clone().serve()).build().unwrap();
    let client = Hosting::builder().service(Hand.serve()).build().unwrap();
    let (server, client) = session::connect_in_memory_with(&server, &client, &config);
    (house, server, client)
}

/// The defaults but for something.
pub(crate) fn with(set: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Config {
    set(Config::builder()).build().expect("the configuration works")
}

pub(crate) fn depot() -> (House, Session, DepotClient) {
    let (house, server, client) = connect(Config::default());
    (house, server, client.client())
}

/// Waits until nothing is held any more.
pub(crate) async fn at_rest(session: &Session) {
    rpc_testing::until("nothing is held", || session.stats() == rpc_core::Stats::default()).await;
}
