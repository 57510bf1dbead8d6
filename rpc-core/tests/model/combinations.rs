//! The nine combinations of instancing and concurrency, under load from eight clients on several threads.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use rpc_core::{Concurrency, Context, Hosting, Reason, Service, Status};
use tokio::task::JoinSet;

use crate::pairs::{at_rest, host, open};

const CLIENTS: usize = 8;
const CALLS: usize = 40;

#[rpc_core::service(callback = Relay)]
trait Desk {
    /// Works for a while, asks the client in between, who asks `inner`.
    async fn outer(&self, cx: &Context<RelayClient>) -> Result<bool, Status>;
    async fn inner(&self) -> u32;
    #[rpc(oneway)]
    async fn tell(&self);
}

#[rpc_core::callback]
trait Relay {
    /// Calls `inner`; false if that would be a deadlock.
    async fn relay(&self, cx: &Context<DeskClient>) -> Result<bool, Status>;
}

/// What the test has seen of all objects.
#[derive(Default)]
struct Seen {
    made: AtomicUsize,
    dropped: AtomicUsize,
    /// The most calls that one object served at a time.
    most_serving: AtomicUsize,
    overlaps: AtomicUsize,
    told: AtomicUsize,
}

struct Clerk {
    seen: Arc<Seen>,
    polling: AtomicBool,
    serving: AtomicUsize,
    /// Not `Sync` by itself: touched by one poll at a time, or the overlap is counted.
    ledger: Mutex<u64>,
}

impl Clerk {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.made.fetch_add(1, Ordering::SeqCst);
        Self {
            seen: seen.clone(),
            polling: AtomicBool::new(false),
            serving: AtomicUsize::new(0),
            ledger: Mutex::new(0),
        }
    }

    /// Runs a handler's body, watching each of its polls.
    async fn watched<T>(&self, body: impl Future<Output = T>) -> T {
        let serving = self.serving.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.most_serving.fetch_max(serving, Ordering::SeqCst);
        let mut body = pin!(body);
        let result = poll_fn(|cx| {
            if self.polling.swap(true, Ordering::SeqCst) {
                self.seen.overlaps.fetch_add(1, Ordering::SeqCst);
            }
            // Something that takes long enough for another thread to come by.
            for _ in 0..50 {
                *self.ledger.lock().unwrap() += 1;
                std::hint::spin_loop();
            }
            let polled = body.as_mut().poll(cx);
            self.polling.store(false, Ordering::SeqCst);
            polled
        })
        .await;
        self.serving.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.seen.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// Is pending `count` times, and wakes itself each time.
async fn turns_of_the_wheel(count: u32) {
    let mut left = count;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Desk for Clerk {
    async fn outer(&self, cx: &Context<RelayClient>) -> Result<bool, Status> {
        self.watched(async {
            turns_of_the_wheel(2).await;
            let relayed = cx.peer().relay().await;
            turns_of_the_wheel(1).await;
            relayed
        })
        .await
    }

    async fn inner(&self) -> u32 {
        self.watched(async {
            turns_of_the_wheel(2).await;
            7
        })
        .await
    }

    async fn tell(&self) {
        self.watched(turns_of_the_wheel(1)).await;
        self.seen.told.fetch_add(1, Ordering::SeqCst);
    }
}

struct Messenger;

impl Relay for Messenger {
    async fn relay(&self, cx: &Context<DeskClient>) -> Result<bool, Status> {
        match cx.peer().inner().await {
            Ok(_) => Ok(true),
            Err(status) if status.reason() == Some(Reason::WouldDeadlock) => Ok(false),
            Err(status) => Err(status),
        }
    }
}

/// Eight clients call; says how many of their calls had an inner one that was let in.
async fn load(service: Service) -> usize {
    let server = host(service);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let ends = open(&server, &host(Messenger.serve()));
        clients.spawn(async move {
            let desk: DeskClient = ends.client.client();
            let mut calls = JoinSet::new();
            for n in 0..CALLS {
                let desk = desk.clone();
                calls.spawn(async move {
                    desk.tell().await.unwrap();
                    if n % 2 == 0 { desk.outer().await.unwrap() } else { desk.inner().await.unwrap() == 0 }
                });
            }
            let let_in = calls.join_all().await.into_iter().filter(|let_in| *let_in).count();
            at_rest(&ends).await;
            ends.client.close();
            ends.server.closed().await;
            let_in
        });
    }
    clients.join_all().await.into_iter().sum()
}

#[derive(Clone, Copy, PartialEq)]
enum Instancing {
    Shared,
    PerSession,
    PerCall,
}

async fn check(instancing: Instancing, concurrency: Concurrency) {
    let seen = Arc::<Seen>::default();
    let service = match instancing {
        Instancing::Shared => Clerk::new(&seen).serve(),
        Instancing::PerSession => {
            let seen = seen.clone();
            Desk::per_session(move |_| Clerk::new(&seen))
        }
        Instancing::PerCall => {
            let seen = seen.clone();
            Desk::per_call(move |_| Clerk::new(&seen))
        }
    };
    let let_in = load(service.concurrency(concurrency)).await;
    let (outer, all) = (CLIENTS * CALLS / 2, CLIENTS * CALLS);
    let [made, dropped, most, overlaps, told] =
        [&seen.made, &seen.dropped, &seen.most_serving, &seen.overlaps, &seen.told].map(|n| n.load(Ordering::SeqCst));
    assert_eq!(told, all);
    let by_turns = concurrency != Concurrency::Multiple;
    match instancing {
        Instancing::Shared => assert_eq!(made, 1),
        Instancing::PerSession => assert_eq!(made, CLIENTS),
        // Each relayed call has an inner one, with an object of its own.
        Instancing::PerCall => assert_eq!((made, most), (2 * all + outer, 1)),
    }
    assert_eq!(dropped, made, "the last session has ended");
    if by_turns {
        assert_eq!(overlaps, 0, "two polls of one object");
    }
    match (instancing, concurrency) {
        (Instancing::PerCall, _) | (_, Concurrency::Multiple) => assert_eq!(let_in, outer),
        (_, Concurrency::Single) => assert_eq!((most, let_in), (1, 0)),
        (_, Concurrency::Reentrant) => assert_eq!((most, let_in), (2, outer), "the outer call and its inner one"),
        _ => unreachable!("all are listed"),
    }
}

macro_rules! combinations {
    ($($name:ident: $instancing:ident, $concurrency:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                check(Instancing::$instancing, Concurrency::$concurrency).await;
            }
        )*
    };
}

combinations! {
    one_for_all_multiple: Shared, Multiple;
    one_for_all_single: Shared, Single;
    one_for_all_reentrant: Shared, Reentrant;
    one_a_session_multiple: PerSession, Multiple;
    one_a_session_single: PerSession, Single;
    one_a_session_reentrant: PerSession, Reentrant;
    one_a_call_multiple: PerCall, Multiple;
    one_a_call_single: PerCall, Single;
    one_a_call_reentrant: PerCall, Reentrant;
}

/// A client's object takes turns as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_callback_object_may_be_single_too() {
    let busy = Arc::new(AtomicUsize::new(0));
    struct OneAtATime(Arc<AtomicUsize>);
    impl Relay for OneAtATime {
        async fn relay(&self, _: &Context<DeskClient>) -> Result<bool, Status> {
            assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            turns_of_the_wheel(3).await;
            self.0.fetch_sub(1, Ordering::SeqCst);
            Ok(true)
        }
    }
    let client: Hosting = host(OneAtATime(busy).serve().concurrency(Concurrency::Single));
    let ends = open(&host(Clerk::new(&Arc::default()).serve()), &client);
    let desk: DeskClient = ends.client.client();
    let calls: JoinSet<_> = (0..50)
        .map(|_| {
            let desk = desk.clone();
            async move { desk.outer().await.unwrap() }
        })
        .collect();
    assert!(calls.join_all().await.into_iter().all(|relayed| relayed));
    at_rest(&ends).await;
}
