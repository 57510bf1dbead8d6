//! `ConcurrencyLimit` and `TimeoutCap`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use rpc_core::{
    CallOptions, Code, Concurrency, Context, Execution, Hosting, Status,
    intercept::{ConcurrencyLimit, TimeoutCap},
    session::connect_in_memory,
};
use rpc_testing::settle;
use tokio::{task::JoinSet, time::Instant};

use crate::town::{Citizen, TownClient, open, open_with};

#[tokio::test(start_paused = true)]
async fn calls_up_to_the_limit_run_at_a_time_and_the_others_wait() {
    let both = [
        open(|s| s.interceptor(ConcurrencyLimit::incoming(3)), |c| c),
        open(|s| s, |c| c.interceptor(ConcurrencyLimit::outgoing(3))),
    ];
    for ends in both {
        let mut calls = JoinSet::new();
        for _ in 0..10 {
            let town = ends.town.clone();
            calls.spawn(async move { town.wait().await.unwrap() });
        }
        settle().await;
        ends.hall.gate.add_permits(10);
        calls.join_all().await;
        assert_eq!(ends.hall.most.load(Ordering::SeqCst), 3);
        ends.at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn or_are_refused_without_having_run() {
    let ends = open(|s| s.interceptor(ConcurrencyLimit::incoming(1).refusing()), |c| c);
    let first = tokio::spawn({
        let town = ends.town.clone();
        async move { town.wait().await }
    });
    ends.handlers(1).await;
    let status = ends.town.visit().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::ResourceExhausted, Execution::NotExecuted));
    assert!(status.message().contains("Town.visit") && status.message().contains("1 calls"), "{status}");
    ends.hall.gate.add_permits(1);
    first.await.unwrap().unwrap();
    ends.town.visit().await.unwrap();
    ends.at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_by_the_deadline() {
    let both = [
        open(|s| s.interceptor(ConcurrencyLimit::incoming(1)), |c| c),
        open(|s| s, |c| c.interceptor(ConcurrencyLimit::outgoing(1))),
    ];
    for ends in both {
        let first = tokio::spawn({
            let town = ends.town.clone();
            async move { town.wait().await }
        });
        ends.handlers(1).await;
        let hasty = ends.town.with(CallOptions::new().timeout(Duration::from_secs(2)));
        let begun = Instant::now();
        let status = hasty.visit().await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(begun.elapsed().as_secs(), 2, "in virtual time");
        ends.hall.gate.add_permits(1);
        first.await.unwrap().unwrap();
        assert_eq!(ends.hall.visits.load(Ordering::SeqCst), 1, "it has not run");
        ends.at_rest().await;
    }
}

/// Polls a future on this thread, which belongs to no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (waker, mut future) = (Arc::new(Unpark(std::thread::current())).into(), std::pin::pin!(future));
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_may_wait_outside_of_a_runtime() {
    let ends = open(|s| s, |c| c.interceptor(ConcurrencyLimit::outgoing(1)));
    let first = tokio::spawn({
        let town = ends.town.clone();
        async move { town.wait().await }
    });
    ends.handlers(1).await;
    let hasty = ends.town.with(CallOptions::new().timeout(Duration::from_millis(20)));
    let outside = std::thread::spawn(move || block_on(hasty.visit()));
    let outside = tokio::task::spawn_blocking(move || outside.join());
    let status = outside.await.unwrap().expect("it does not panic").unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::NotExecuted));
    ends.hall.gate.add_permits(1);
    first.await.unwrap().unwrap();
    ends.at_rest().await;
}

/// A call that comes back to a side which waits for it does not wait for the permit that its own chain holds.
#[tokio::test(start_paused = true)]
async fn a_limit_of_one_does_not_deadlock() {
    let ends = open(
        |s| s.interceptor(ConcurrencyLimit::incoming(1)).interceptor(ConcurrencyLimit::outgoing(1)),
        |c| c.interceptor(ConcurrencyLimit::incoming(1)).interceptor(ConcurrencyLimit::outgoing(1)),
    );
    let begun = Instant::now();
    assert_eq!(ends.town.round_trip().await, Ok(1));
    assert!(begun.elapsed() < Duration::from_secs(1), "in virtual time");
    ends.at_rest().await;
}

/// Comes back many times at once.
struct Crowd;

impl Citizen for Crowd {
    async fn told(&self, _: &Context<TownClient>, _: &str) -> Option<String> {
        None
    }

    async fn come_back(&self, cx: &Context<TownClient>) -> Result<u32, Status> {
        let visits = join_all((0..10).map(|_| cx.peer().wait())).await;
        visits.into_iter().try_fold(0, |most, visit| Ok(visit?.max(most)))
    }
}

/// A peer that names one call of this side as the parent of all its own calls does not get past the limit.
#[tokio::test(start_paused = true)]
async fn nested_calls_are_limited_at_each_depth() {
    let ends = open_with(|s| s.interceptor(ConcurrencyLimit::incoming(2)), |c| c.service(Crowd.serve()));
    let town = ends.town.clone();
    let round_trip = tokio::spawn(async move { town.round_trip().await });
    settle().await;
    ends.hall.gate.add_permits(10);
    assert_eq!(round_trip.await.unwrap(), Ok(10));
    assert_eq!(ends.hall.most.load(Ordering::SeqCst), 2);
    ends.at_rest().await;
}

#[rpc_core::service]
trait Store {
    async fn keep(&self, bytes: Vec<u8>) -> usize;
}

struct Shelf;

impl Store for Shelf {
    async fn keep(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }
}

/// Small calls that came while a large one was arriving wait for it, with the permits that it needs.
#[tokio::test(start_paused = true)]
async fn a_large_call_does_not_wait_for_the_permits_of_those_behind_it() {
    let store = Shelf.serve().concurrency(Concurrency::Single);
    let hosting = Hosting::builder().service(store).interceptor(ConcurrencyLimit::incoming(1)).build().unwrap();
    let (_server, client) = connect_in_memory(&hosting, &Hosting::default());
    let store: StoreClient = client.client();
    let begun = Instant::now();
    let kept = [300_000, 1, 300_000, 2, 3].map(|len| store.keep(vec![7; len]));
    let kept: Vec<_> = join_all(kept).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(kept, [300_000, 1, 300_000, 2, 3]);
    assert!(begun.elapsed() < Duration::from_secs(5), "in virtual time");
}

#[tokio::test(start_paused = true)]
async fn no_call_takes_longer_than_the_cap() {
    let cap = Duration::from_secs(3);
    let both = [
        open(|s| s.interceptor(TimeoutCap::incoming(cap)), |c| c),
        open(|s| s, |c| c.interceptor(TimeoutCap::outgoing(cap))),
    ];
    for ends in both {
        let begun = Instant::now();
        assert_eq!(ends.town.wait().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(begun.elapsed().as_secs(), 3, "in virtual time");
        // Those who have less time keep it.
        let hasty = ends.town.with(CallOptions::new().timeout(Duration::from_secs(1)));
        assert_eq!(hasty.wait().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(begun.elapsed().as_secs(), 4, "in virtual time");
        assert_eq!(ends.town.visit().await, Ok(1));
        ends.at_rest().await;
    }
}

/// The cap is this side's own word, and goes before `no_cancel`, which is about callers.
#[tokio::test(start_paused = true)]
async fn the_cap_ends_what_no_caller_can_cancel() {
    #[rpc_core::service]
    trait Archive {
        #[rpc(no_cancel)]
        async fn write(&self);
        async fn left(&self, cx: &Context<ArchiveClient>) -> Option<Duration>;
    }
    struct Paper(Arc<AtomicUsize>);
    struct Pen<'a>(&'a AtomicUsize);
    impl Drop for Pen<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    impl Archive for Paper {
        async fn write(&self) {
            let _pen = Pen(&self.0);
            std::future::pending::<()>().await;
        }
        async fn left(&self, cx: &Context<ArchiveClient>) -> Option<Duration> {
            cx.remaining()
        }
    }
    let dropped = Arc::<AtomicUsize>::default();
    let archive = Paper(dropped.clone()).serve();
    let server = Hosting::builder().service(archive).interceptor(TimeoutCap::incoming(Duration::from_secs(3)));
    let (_server, client) = connect_in_memory(&server.build().unwrap(), &Hosting::default());
    let archive: ArchiveClient = client.client();
    assert_eq!(archive.left().await, Ok(Some(Duration::from_secs(3))), "what the handler calls inherits this");
    let status = archive.write().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::Unknown));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}
