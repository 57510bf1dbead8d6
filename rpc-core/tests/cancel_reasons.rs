//! What `cx.cancelled()` and `cx.cancel_reason()` say, at a server and at a client that hosts the same methods.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rpc_core::{
    CallOptions, CancelReason, CloseCode, ConnectionError, Context, Hosting, Session, Streaming, intercept::TimeoutCap,
    session::connect_in_memory,
};
use rpc_testing::{SOON, settle, until};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

const HOUR: Duration = Duration::from_secs(3600);

#[rpc_core::service]
trait Work {
    /// Is dropped when it is cancelled.
    async fn plain(&self, cx: &Context<WorkClient>);
    #[rpc(spawn)]
    async fn spawned(&self, cx: &Context<WorkClient>);
    #[rpc(no_cancel)]
    async fn kept(&self, cx: &Context<WorkClient>);
    #[rpc(oneway)]
    async fn told(&self, cx: &Context<WorkClient>);
    /// Returns at once, and leaves a task that waits.
    async fn left(&self, cx: &Context<WorkClient>);
    /// Returns at once.
    async fn brief(&self, cx: &Context<WorkClient>);
    /// Items without end, after the reply.
    async fn items(&self, cx: &Context<WorkClient>) -> Streaming<u8>;
}

/// Sends each reason that its methods see.
#[derive(Clone)]
struct Worker(UnboundedSender<Option<CancelReason>>);

/// Sends the reason when it is dropped.
struct Guard(Worker, Context<WorkClient>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.send(self.1.cancel_reason()).unwrap();
    }
}

impl Worker {
    async fn wait(&self, cx: &Context<WorkClient>) {
        let _guard = Guard(self.clone(), cx.clone());
        std::future::pending::<()>().await;
    }
}

impl Work for Worker {
    async fn plain(&self, cx: &Context<WorkClient>) {
        self.wait(cx).await;
    }

    async fn spawned(&self, cx: &Context<WorkClient>) {
        self.wait(cx).await;
    }

    async fn kept(&self, cx: &Context<WorkClient>) {
        assert_eq!(cx.cancel_reason(), None);
        let why = cx.cancelled().await;
        self.0.send(Some(why)).unwrap();
    }

    async fn told(&self, cx: &Context<WorkClient>) {
        self.wait(cx).await;
    }

    async fn left(&self, cx: &Context<WorkClient>) {
        let (worker, cx) = (self.clone(), cx.clone());
        tokio::spawn(async move { worker.0.send(Some(cx.cancelled().await)) });
    }

    async fn brief(&self, cx: &Context<WorkClient>) {
        drop(Guard(self.clone(), cx.clone()));
    }

    async fn items(&self, cx: &Context<WorkClient>) -> Streaming<u8> {
        let guard = Guard(self.clone(), cx.clone());
        Streaming::new(futures::stream::unfold(guard, async |guard| {
            guard.1.cancelled().await;
            Some((1, guard))
        }))
    }
}

/// A session of which `callee` hosts a worker, and what the worker's methods see.
struct Pair {
    caller: Session,
    callee: Session,
    seen: UnboundedReceiver<Option<CancelReason>>,
}

impl Pair {
    /// With the callee at the server, and with the callee at the client.
    async fn both() -> [Self; 2] {
        [Self::new(true, None).await, Self::new(false, None).await]
    }

    async fn new(at_server: bool, cap: Option<Duration>) -> Self {
        let (sender, seen) = unbounded_channel();
        let mut hosting = Hosting::builder().service(Worker(sender).serve());
        if let Some(cap) = cap {
            hosting = hosting.interceptor(TimeoutCap::incoming(cap));
        }
        let (hosting, nothing) = (hosting.build().unwrap(), Hosting::default());
        let (caller, callee) = if at_server {
            let (server, client) = connect_in_memory(&hosting, &nothing);
            (client, server)
        } else {
            connect_in_memory(&nothing, &hosting)
        };
        timeout(SOON, callee.established()).await.unwrap().unwrap();
        timeout(SOON, caller.established()).await.unwrap().unwrap();
        Self { caller, callee, seen }
    }

    /// Calls a method, and waits until its handler waits.
    async fn call(&self, which: Method) -> JoinHandle<()> {
        let work: WorkClient = self.caller.client();
        let call = tokio::spawn(async move {
            let _ = match which {
                Method::Plain => work.plain().await,
                Method::Spawned => work.spawned().await,
                Method::Kept => work.kept().await,
                Method::Told => work.told().await,
            };
        });
        until("a handler waits", || self.callee.stats().handlers == 1).await;
        call
    }

    async fn seen(&mut self) -> Option<CancelReason> {
        timeout(SOON, self.seen.recv()).await.unwrap().unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Plain,
    Spawned,
    Kept,
    Told,
}

const ALL: [Method; 4] = [Method::Plain, Method::Spawned, Method::Kept, Method::Told];
const ANSWERED: [Method; 3] = [Method::Plain, Method::Spawned, Method::Kept];

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up() {
    for method in ANSWERED {
        for mut pair in Pair::both().await {
            let call = pair.call(method).await;
            call.abort();
            assert_eq!(pair.seen().await, Some(CancelReason::CallerGaveUp), "{method:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes() {
    for method in ANSWERED {
        for mut pair in Pair::both().await {
            let _call = pair.call(method).await;
            tokio::time::advance(HOUR).await;
            assert_eq!(pair.seen().await, Some(CancelReason::DeadlineExceeded), "{method:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_whose_cancel_comes_before_the_callee_looks_at_its_clock() {
    // The callee's deadline is rounded up to a whole millisecond, so that the caller's passes first.
    for mut pair in Pair::both().await {
        let work: WorkClient = pair.caller.client();
        let work = work.with(CallOptions::new().timeout(Duration::from_micros(20_300)));
        let call = tokio::spawn(async move { work.kept().await });
        until("a handler waits", || pair.callee.stats().handlers == 1).await;
        assert_eq!(pair.seen().await, Some(CancelReason::DeadlineExceeded));
        call.await.unwrap().unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_an_interceptor() {
    for method in ALL {
        // A dropped handler sends what its guard sees; a `no_cancel` one is dropped as well, and has no guard.
        if matches!(method, Method::Kept) {
            continue;
        }
        for at_server in [true, false] {
            let mut pair = Pair::new(at_server, Some(Duration::from_secs(5))).await;
            let _call = pair.call(method).await;
            assert_eq!(pair.seen().await, Some(CancelReason::DeadlineExceeded), "{method:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_caller_closes() {
    for method in ALL {
        for mut pair in Pair::both().await {
            let _call = pair.call(method).await;
            drop(pair.caller.close());
            let why = pair.seen().await.unwrap();
            let error = why.session_end().unwrap();
            let by_peer = matches!(error, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. });
            assert!(by_peer && !why.is_lost() && !why.is_shut_down(), "{method:?}: {why}");
            assert_eq!(*error, pair.callee.closed().await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_shuts_down_at_once() {
    for method in ALL {
        for mut pair in Pair::both().await {
            let _call = pair.call(method).await;
            drop(pair.callee.abort());
            let why = pair.seen().await.unwrap();
            assert_eq!(why, CancelReason::SessionEnded(ConnectionError::ShutDown), "{method:?}");
            assert!(why.is_shut_down() && !why.is_lost());
        }
        for mut pair in Pair::both().await {
            let _call = pair.call(method).await;
            drop(pair.caller.abort());
            let why = pair.seen().await.unwrap();
            assert!(why.is_shut_down() && why.session_end().is_some(), "{method:?}: {why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_grace_is_over() {
    for method in ALL {
        for mut pair in Pair::both().await {
            let _call = pair.call(method).await;
            drop(pair.callee.drain());
            assert_eq!(pair.seen().await, Some(CancelReason::ShuttingDown), "{method:?}");
            pair.callee.closed().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_the_callers_side_does_not_cancel() {
    for mut pair in Pair::both().await {
        let call = pair.call(Method::Kept).await;
        drop(pair.caller.drain());
        settle().await;
        assert!(pair.seen.try_recv().is_err());
        call.abort();
        assert_eq!(pair.seen().await, Some(CancelReason::CallerGaveUp));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_stays() {
    for mut pair in Pair::both().await {
        let work: WorkClient = pair.caller.client();
        work.left().await.unwrap();
        assert_eq!(pair.seen().await, Some(CancelReason::Completed));

        // The caller gives up, and the session ends with the next packet.
        let call = pair.call(Method::Kept).await;
        call.abort();
        let _ = call.await;
        drop(pair.caller.close());
        assert_eq!(pair.seen().await, Some(CancelReason::CallerGaveUp));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_before_the_callers_cancel_has_come() {
    for mut pair in Pair::both().await {
        let call = pair.call(Method::Plain).await;
        // The caller gives up, and the callee closes before it can have heard of that.
        call.abort();
        drop(pair.callee.close());
        assert_eq!(pair.seen().await, Some(CancelReason::SessionEnded(ConnectionError::ClosedLocally)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_result_outlives_its_call() {
    for mut pair in Pair::both().await {
        let work: WorkClient = pair.caller.client();
        let items = work.items().await.unwrap();
        until("the producer waits", || pair.callee.stats().producers == 1).await;
        drop(items);
        assert_eq!(pair.seen().await, Some(CancelReason::Completed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_returns_was_not_cancelled() {
    let (sender, mut seen) = unbounded_channel();
    let hosting = Hosting::builder().service(Worker(sender).serve()).build().unwrap();
    let (_server, client) = connect_in_memory(&hosting, &Hosting::default());
    client.client::<WorkClient>().brief().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), None);
}
