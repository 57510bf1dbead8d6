//! Turns: order, cancelling, deadlines, and what a peer can do to them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rpc_core::{CallOptions, Code, Concurrency, Execution, Hosting, Service};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::pairs::{Ends, at_rest, config, host, open, open_with, until};

#[rpc_core::service]
trait Queue {
    async fn take(&self, n: u32, bytes: Vec<u8>) -> Vec<u8>;
    #[rpc(oneway)]
    async fn note(&self, n: u32);
    #[rpc(no_cancel)]
    async fn sure(&self, n: u32);
    async fn panics(&self);
}

#[derive(Clone)]
struct Clerk {
    order: Arc<Mutex<Vec<u32>>>,
    door: Arc<Semaphore>,
}

impl Clerk {
    fn new() -> Self {
        Self { order: Arc::default(), door: Arc::new(Semaphore::new(0)) }
    }

    fn single(&self) -> Service {
        self.clone().serve().concurrency(Concurrency::Single)
    }

    async fn one(&self, n: u32) {
        self.order.lock().unwrap().push(n);
        self.door.acquire().await.unwrap().forget();
    }

    fn order(&self) -> Vec<u32> {
        self.order.lock().unwrap().clone()
    }
}

impl Queue for Clerk {
    async fn take(&self, n: u32, bytes: Vec<u8>) -> Vec<u8> {
        self.one(n).await;
        bytes
    }

    async fn note(&self, n: u32) {
        self.one(n).await;
    }

    async fn sure(&self, n: u32) {
        self.one(n).await;
    }

    async fn panics(&self) {
        self.door.acquire().await.unwrap().forget();
        panic!("as asked");
    }
}

async fn served(ends: &Ends, calls: usize) {
    let served = || ends.server.stats().connection.calls_served + ends.server.stats().connection.oneway_served;
    until("served", || served() >= calls).await;
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_session_are_served_in_the_order_in_which_they_were_sent_large_ones_too() {
    let clerk = Clerk::new();
    let ends = open(&host(clerk.single()), &Hosting::default());
    let queue: QueueClient = ends.client.client();
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let queue = queue.clone();
        // Every third call comes in chunks, and is complete after calls that were sent later. It keeps its place.
        let len = if n % 3 == 1 { 300_000 } else { 10 };
        calls.spawn(async move {
            if n % 5 == 4 {
                queue.note(n).await.unwrap();
            } else {
                assert_eq!(queue.take(n, vec![1; len]).await.unwrap().len(), len);
            }
        });
        served(&ends, n as usize + 1).await;
    }
    clerk.door.add_permits(20);
    calls.join_all().await;
    at_rest(&ends).await;
    assert_eq!(clerk.order(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn sessions_take_turns() {
    let clerk = Clerk::new();
    let server = host(clerk.single());
    let [busy, other] = [(); 2].map(|()| open(&server, &Hosting::default()));
    let mut calls = JoinSet::new();
    let mut call = async |ends: &Ends, n: u32, served_there: usize| {
        let queue: QueueClient = ends.client.client();
        calls.spawn(async move { queue.take(n, Vec::new()).await.unwrap() });
        served(ends, served_there).await;
    };
    for n in 0..5 {
        call(&busy, n, n as usize + 1).await;
    }
    for n in 5..7 {
        call(&other, n, n as usize - 4).await;
    }
    clerk.door.add_permits(7);
    calls.join_all().await;
    assert_eq!(clerk.order(), [0, 1, 5, 2, 6, 3, 4]);
}

/// A call whose arguments are still arriving holds up its own session alone.
#[tokio::test(start_paused = true)]
async fn a_slow_sender_holds_up_no_other_session() {
    let clerk = Clerk::new();
    let server = host(clerk.single());
    let config = config(|config| config.unacked_bulk(128 * 1024).max_unacked_bulk(128 * 1024));
    let slow = open_with(&server, &Hosting::default(), config);
    let quick = open(&server, &Hosting::default());
    clerk.door.add_permits(100);
    let large: QueueClient = slow.client.client();
    let large = tokio::spawn(async move { large.take(1, vec![0; 3 << 20]).await });
    served(&slow, 1).await;
    quick.client.client::<QueueClient>().take(2, Vec::new()).await.unwrap();
    assert_eq!(clerk.order()[0], 2);
    large.await.unwrap().unwrap();
    assert_eq!(clerk.order(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_can_be_given_up_and_say_that_they_did_not_run() {
    let clerk = Clerk::new();
    let ends = open(&host(clerk.single()), &Hosting::default());
    let queue: QueueClient = ends.client.client();
    let first = tokio::spawn({
        let queue = queue.clone();
        async move { queue.take(0, Vec::new()).await }
    });
    served(&ends, 1).await;
    let hasty = queue.with(CallOptions::new().timeout(Duration::from_secs(1)));
    let status = hasty.take(1, Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    for _ in 0..3 {
        // Dropped while it waits; `no_cancel` counts for methods that have started.
        let given_up = tokio::spawn({
            let queue = queue.clone();
            async move { queue.sure(2).await }
        });
        served(&ends, 2).await;
        given_up.abort();
        until("given up", || ends.server.stats().connection.calls_served == 1).await;
    }
    clerk.door.add_permits(10);
    first.await.unwrap().unwrap();
    queue.take(3, Vec::new()).await.unwrap();
    at_rest(&ends).await;
    assert_eq!(clerk.order(), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_leaves_the_line() {
    let clerk = Clerk::new();
    let server = host(clerk.single());
    let [one, two] = [open(&server, &Hosting::default()), open(&server, &Hosting::default())];
    let queue: QueueClient = one.client.client();
    let mut lost = JoinSet::new();
    for n in 0..10 {
        let queue = queue.clone();
        lost.spawn(async move { queue.take(n, Vec::new()).await.map(|_| ()) });
        served(&one, n as usize + 1).await;
    }
    let waiting = tokio::spawn({
        let queue: QueueClient = two.client.client();
        async move { queue.take(99, Vec::new()).await }
    });
    served(&two, 1).await;
    // Ends the call that has the turn, and the calls that wait before the other session's calls.
    one.client.close();
    for outcome in lost.join_all().await {
        assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    }
    clerk.door.add_permits(1);
    waiting.await.unwrap().unwrap();
    assert_eq!(clerk.order(), [0, 99]);
    at_rest(&two).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_turn() {
    let clerk = Clerk::new();
    let ends = open(&host(clerk.single()), &Hosting::default());
    let queue: QueueClient = ends.client.client();
    clerk.door.add_permits(2);
    let (panicked, next) = tokio::join!(queue.panics(), queue.take(1, Vec::new()));
    assert_eq!(panicked.unwrap_err().code(), Code::Internal);
    next.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_line_says_not_executed_at_the_callee() {
    let clerk = Clerk::new();
    let ends = open(&host(clerk.single()), &Hosting::default());
    let queue: QueueClient = ends.client.client();
    let blocked = tokio::spawn({
        let queue = queue.clone();
        async move { queue.take(0, Vec::new()).await }
    });
    served(&ends, 1).await;
    let second = tokio::spawn({
        let queue = queue.clone();
        async move { queue.take(1, Vec::new()).await }
    });
    served(&ends, 2).await;
    // A drain turns away what has not started.
    ends.server.drain();
    let status = second.await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted), "{status}");
    assert_eq!(blocked.await.unwrap().unwrap_err().execution(), Execution::Unknown);
}
