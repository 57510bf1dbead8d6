//! Calls that wait for a budget of their own side: time runs on for them.

use std::{sync::Arc, time::Duration};

use rpc_core::{CallOptions, Code, Context, Execution, Hosting, Peer};
use tokio::sync::Notify;

use crate::pairs::{at_rest, config, host, open, open_with, until};

#[rpc_core::service]
trait Store {
    async fn keep(&self, bytes: Vec<u8>);
    async fn leave_work(&self, cx: &Context<StoreClient>);
}

struct Cellar {
    open: Notify,
    work_ended: Arc<Notify>,
}

impl Store for Cellar {
    async fn keep(&self, _: Vec<u8>) {
        self.open.notified().await;
    }

    async fn leave_work(&self, cx: &Context<StoreClient>) {
        let (cx, ended) = (cx.clone(), self.work_ended.clone());
        tokio::spawn(async move {
            cx.cancelled().await;
            ended.notify_one();
        });
    }
}

fn cellar() -> (Arc<Cellar>, Arc<Notify>) {
    let work_ended = Arc::<Notify>::default();
    (Arc::new(Cellar { open: Notify::new(), work_ended: work_ended.clone() }), work_ended)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_runs_while_a_call_waits_for_room() {
    let (cellar, _) = cellar();
    let config = config(|config| {
        config.max_arguments(4 << 20).keepalive(Duration::from_secs(3600)).keepalive_timeout(Duration::from_secs(7200))
    });
    let ends = open_with(&host(cellar.clone().serve()), &Hosting::default(), config);
    let store: StoreClient = ends.client.client();
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.keep(vec![0; 3 << 20]).await }
    });
    until("served", || ends.server.stats().handlers == 1).await;
    let before = tokio::time::Instant::now();
    let hasty = store.with(CallOptions::new().timeout(Duration::from_secs(1)));
    let status = hasty.keep(vec![0; 2 << 20]).await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::NotExecuted));
    assert_eq!(before.elapsed().as_secs(), 1, "in virtual time");
    cellar.open.notify_one();
    first.await.unwrap().unwrap();
    at_rest(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn work_that_a_handler_leaves_behind_hears_of_its_end() {
    let (cellar, work_ended) = cellar();
    let ends = open(&host(cellar.serve()), &Hosting::default());
    ends.client.client::<StoreClient>().leave_work().await.unwrap();
    work_ended.notified().await;
    at_rest(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn metadata_that_the_other_sides_packets_cannot_hold_are_refused_here() {
    let chunk = 64 * 1024;
    let config = config(|config| config.chunk(chunk).max_packet(chunk + 512).max_metadata(256));
    let (cellar, _) = cellar();
    cellar.open.notify_one();
    let ends = open_with(&host(cellar.serve()), &Hosting::default(), config);
    ends.client.established().await.unwrap();
    let store = ends.client.client::<StoreClient>();
    let heavy = store.with(CallOptions::new().metadata("k", "x".repeat(1024)));
    let status = heavy.keep(vec![0; 60 * 1024]).await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::InvalidArgument, Execution::NotExecuted), "{status}");
    store.keep(vec![0; 60 * 1024]).await.unwrap();
    let _: Peer = ends.client.peer();
}

/// What the other side would hold for calls whose arguments go in their frames is waited for here, too.
#[tokio::test(start_paused = true)]
async fn many_calls_with_arguments_in_the_frame_wait_and_are_not_refused() {
    let config = config(|config| config.max_arguments(100_000));
    let (cellar, _) = cellar();
    let ends = open_with(&host(cellar.clone().serve()), &Hosting::default(), config);
    ends.client.established().await.unwrap();
    let store: StoreClient = ends.client.client();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.keep(vec![0; 20_000]).await })
        })
        .collect();
    until("some are served", || ends.server.stats().handlers == 4).await;
    for call in calls {
        until("one is served", || ends.server.stats().handlers > 0).await;
        cellar.open.notify_one();
        tokio::time::timeout(Duration::from_secs(30), call).await.unwrap().unwrap().unwrap();
    }
    at_rest(&ends).await;
}
