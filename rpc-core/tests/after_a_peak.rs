//! What a session keeps after a peak, counted by the allocator: as much as before it, within seconds, be the session
//! idle or in moderate use.
//!
//! One test, because the allocator counts the whole process. Both ends of a session are in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    alloc::System,
    future::ready,
    hint::black_box,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use futures::{StreamExt, future::join_all, poll, stream};
use rpc_core::{CallOptions, Config, Hosting, Session, StreamSender, Streaming, session::connect_in_memory_with};
use rpc_testing::{at_rest, pass, until};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::sync::Semaphore;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;
const CALLS: usize = 10_000;
const STREAMS: usize = 2_000;
/// Items of a stream that come at once.
const BURST: u64 = 600;
/// What a stream may take at rest, its task and both of its ends together.
const STREAM: usize = 4 * KIB;
/// How much more than before may be left of a peak.
const MORE: usize = 4 * KIB;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[rpc_core::service]
trait Hall {
    async fn add(&self, number: u64) -> u64;
    /// Returns when the gate is open.
    async fn wait(&self) -> bool;
    #[rpc(oneway)]
    async fn tell(&self, number: u64);
    async fn sum(&self, numbers: Streaming<u64>) -> u64;
    async fn count(&self) -> Streaming<u64>;
    /// Many items at once, and then no more for ever.
    async fn burst(&self) -> Streaming<u64>;
    async fn large_a(&self) -> u8;
    async fn large_b(&self) -> u8;
    async fn large_c(&self) -> u8;
    async fn large_d(&self) -> u8;
}

#[derive(Clone)]
struct Keeper {
    gate: Arc<Semaphore>,
    senders: Arc<Mutex<Vec<StreamSender<u64>>>>,
}

/// A future of 64 KiB that ends at its first poll.
async fn large() -> u8 {
    let bytes = [1; 64 * KIB];
    ready(()).await;
    black_box(&bytes)[7]
}

impl Hall for Keeper {
    async fn add(&self, number: u64) -> u64 {
        number + 1
    }

    async fn wait(&self) -> bool {
        self.gate.acquire().await.is_ok()
    }

    async fn tell(&self, number: u64) {
        black_box(number);
    }

    async fn sum(&self, mut numbers: Streaming<u64>) -> u64 {
        let mut sum = 0;
        while let Some(Ok(number)) = numbers.next().await {
            sum += number;
        }
        sum
    }

    async fn count(&self) -> Streaming<u64> {
        let (sender, streaming) = Streaming::channel(1);
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        streaming
    }

    async fn burst(&self) -> Streaming<u64> {
        Streaming::new(stream::iter(0..BURST).chain(stream::pending()))
    }

    async fn large_a(&self) -> u8 {
        large().await
    }

    async fn large_b(&self) -> u8 {
        large().await
    }

    async fn large_c(&self) -> u8 {
        large().await
    }

    async fn large_d(&self) -> u8 {
        large().await
    }
}

/// A session, and what its handlers wait for.
struct Ends {
    keeper: Keeper,
    server: Session,
    client: Session,
    hall: HallClient,
}

impl Ends {
    async fn open(config: &Config) -> Self {
        let keeper = Keeper { gate: Semaphore::new(0).into(), senders: Arc::default() };
        let hosting = Hosting::builder().service(keeper.clone().serve()).build().unwrap();
        let (server, client) = connect_in_memory_with(&hosting, &Hosting::default(), config);
        client.established().await.unwrap();
        let hall = client.client();
        Self { keeper, server, client, hall }
    }

    async fn answered(&self) {
        let calls = (0..CALLS as u64).map(|number| self.hall.add(number));
        assert!(join_all(calls).await.into_iter().all(|answer| answer.is_ok()));
    }

    /// Some of these calls have been sent, and the others wait for a permit.
    async fn abandoned(&self) {
        let mut calls: Vec<_> = (0..CALLS).map(|_| Box::pin(self.hall.wait())).collect();
        for call in &mut calls {
            assert!(poll!(call.as_mut()).is_pending());
        }
        until("a part of the calls has come", || self.server.stats().handlers >= 1024).await;
    }

    async fn oneway(&self) {
        let calls = (0..CALLS as u64).map(|number| self.hall.tell(number));
        assert!(join_all(calls).await.into_iter().all(|sent| sent.is_ok()));
    }

    async fn in_tasks(&self) {
        let mut calls: Vec<_> = (0..STREAMS).map(|_| Box::pin(self.hall.wait())).collect();
        assert!(poll_all(&mut calls).is_empty());
        until("all handlers wait", || self.server.stats().handlers == STREAMS).await;
        self.keeper.gate.add_permits(STREAMS);
        assert!(join_all(calls).await.into_iter().all(|opened| opened == Ok(true)));
        self.keeper.gate.forget_permits(STREAMS);
    }

    async fn streams_as_arguments(&self) {
        let (senders, streams): (Vec<_>, Vec<_>) = (0..STREAMS).map(|_| Streaming::channel(1)).unzip();
        let mut calls: Vec<_> = streams.into_iter().map(|stream| Box::pin(self.hall.sum(stream))).collect();
        assert!(poll_all(&mut calls).is_empty());
        until("all streams are open", || self.server.stats().connection.streams_receiving == STREAMS).await;
        drive_to_end(senders).await;
        assert!(join_all(calls).await.into_iter().all(|sum| sum == Ok(7)));
    }

    async fn streams_as_results(&self) {
        let streams = join_all((0..STREAMS).map(|_| self.hall.count())).await;
        let senders = std::mem::take(&mut *self.keeper.senders.lock().unwrap());
        drive_to_end(senders).await;
        for stream in streams {
            let items: Vec<_> = stream.unwrap().collect().await;
            assert!(matches!(items[..], [Ok(7)]));
        }
    }

    async fn large_futures(&self) {
        let Self { hall, .. } = self;
        assert_eq!(hall.large_a().await, Ok(1));
        assert_eq!(hall.large_b().await, Ok(1));
        assert_eq!(hall.large_c().await, Ok(1));
        assert_eq!(hall.large_d().await, Ok(1));
    }

    async fn large_metadata(&self) {
        let hall = self.hall.with(CallOptions::new().metadata("key", "v".repeat(7 * KIB)));
        let calls = (0..5_000).map(|number| hall.add(number));
        assert!(join_all(calls).await.into_iter().all(|answer| answer.is_ok()));
    }
}

/// Polls each future once, and gives the outputs of those that have ended.
fn poll_all<F: Future>(futures: &mut [Pin<Box<F>>]) -> Vec<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = futures.iter_mut().map(|future| future.as_mut().poll(&mut cx));
    polled.filter_map(|polled| if let Poll::Ready(output) = polled { Some(output) } else { None }).collect()
}

/// Sends one item on each stream, and its end.
async fn drive_to_end(senders: Vec<StreamSender<u64>>) {
    for sender in senders {
        sender.send(7).await.unwrap();
        sender.finish().await.unwrap();
    }
}

/// Nothing happens any more, or a call every second.
async fn quiet(ends: &Ends, in_use: bool) {
    at_rest(&ends.client).await;
    at_rest(&ends.server).await;
    for second in 0..10 {
        if in_use {
            assert_eq!(ends.hall.add(second).await, Ok(second + 1));
        }
        pass(Duration::from_secs(1)).await;
    }
}

/// Bytes of one of many streams that go on after a burst of items.
async fn after_a_burst(config: &Config) -> usize {
    const STREAMS: usize = 100;
    let ends = Ends::open(&config.to_builder().stream_items(1024).build().unwrap()).await;
    quiet(&ends, true).await;
    let before = held();
    let streams = join_all((0..STREAMS).map(|_| ends.hall.burst())).await;
    let mut streams: Vec<_> = streams.into_iter().map(Result::unwrap).collect();
    for stream in &mut streams {
        for item in 0..BURST {
            assert!(matches!(stream.next().await, Some(Ok(number)) if number == item));
        }
        assert!(poll!(Box::pin(stream.next())).is_pending());
    }
    pass(Duration::from_secs(10)).await;
    (held() - before) / STREAMS
}

type Peak = for<'a> fn(&'a Ends) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const PEAKS: [(&str, Peak); 8] = [
    ("calls that were answered", |ends| Box::pin(ends.answered())),
    ("calls that were given up", |ends| Box::pin(ends.abandoned())),
    ("one-way calls", |ends| Box::pin(ends.oneway())),
    ("handlers in tasks", |ends| Box::pin(ends.in_tasks())),
    ("streams among arguments", |ends| Box::pin(ends.streams_as_arguments())),
    ("streams as results", |ends| Box::pin(ends.streams_as_results())),
    ("handlers with large futures", |ends| Box::pin(ends.large_futures())),
    ("calls with large metadata", |ends| Box::pin(ends.large_metadata())),
];

#[test]
fn a_session_keeps_nothing_of_a_peak() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let default = Config::default();
    let wide = default.to_builder().max_calls(20_000).build().unwrap();
    runtime.block_on(async {
        // The runtime keeps the memory of its own queue.
        join_all((0..2 * CALLS).map(|_| tokio::spawn(ready(())))).await;
        // The thread keeps a block of memory for what it encodes.
        let ends = Ends::open(&wide).await;
        ends.streams_as_arguments().await;
        ends.client.close().await;
        drop(ends);
        let mut failed = Vec::new();
        for (what, peak) in PEAKS {
            for in_use in [false, true] {
                let is_wide = what.contains("tasks") || what.contains("streams");
                let ends = Ends::open(if is_wide { &wide } else { &default }).await;
                quiet(&ends, true).await;
                quiet(&ends, in_use).await;
                let before = held();
                peak(&ends).await;
                let peaked = held() - before;
                quiet(&ends, in_use).await;
                let after = held().saturating_sub(before);
                println!(
                    "{what}, in use {in_use}: {before} bytes before, {peaked} more at its end, {after} more after"
                );
                ends.client.close().await;
                if after > MORE {
                    failed.push(format!("{what}, in use {in_use}: {after} bytes"));
                }
            }
        }
        let stream = after_a_burst(&default).await;
        println!("a stream after a burst of items: {stream} bytes");
        if stream > STREAM {
            failed.push(format!("a stream after a burst of items: {stream} bytes"));
        }
        assert!(failed.is_empty(), "too much is left: {failed:#?}");
    });
}
