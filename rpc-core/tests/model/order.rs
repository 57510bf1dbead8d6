//! One-way calls that were sent before an answer begin before the caller sees the answer.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
};

use rpc_core::{Context, Status};

use crate::pairs::{host, open, until};

#[rpc_core::callback]
trait Bar {
    #[rpc(oneway)]
    async fn moved(&self, percent: u8);
}

#[rpc_core::service(callback = Bar)]
trait Job {
    async fn run(&self, cx: &Context<BarClient>) -> Result<(), Status>;
}

struct Worker;

impl Job for Worker {
    async fn run(&self, cx: &Context<BarClient>) -> Result<(), Status> {
        cx.peer().moved(100).await
    }
}

struct Shown(Arc<AtomicBool>);

impl Bar for Shown {
    async fn moved(&self, _: u8) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Looks, in the moment in which it is woken, whether the progress has been shown.
struct Watcher {
    shown: Arc<AtomicBool>,
    woken: AtomicBool,
    too_early: AtomicBool,
}

impl Wake for Watcher {
    fn wake(self: Arc<Self>) {
        self.too_early.fetch_or(!self.shown.load(Ordering::SeqCst), Ordering::SeqCst);
        self.woken.store(true, Ordering::SeqCst);
    }
}

/// A caller on another thread goes on as soon as it is woken: what was sent before its answer has been begun by then.
#[tokio::test(start_paused = true)]
async fn what_was_sent_before_an_answer_is_begun_before_the_caller_is_woken() {
    let shown = Arc::new(AtomicBool::new(false));
    let ends = open(&host(Worker.serve()), &host(Shown(shown.clone()).serve()));
    ends.client.established().await.unwrap();
    let watcher = Arc::new(Watcher { shown, woken: AtomicBool::new(false), too_early: AtomicBool::new(false) });
    let waker = Waker::from(watcher.clone());
    let job: JobClient = ends.client.client();
    let mut call = pin!(job.run());
    assert!(call.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending());
    until("answered", || watcher.woken.load(Ordering::SeqCst)).await;
    assert!(!watcher.too_early.load(Ordering::SeqCst));
    assert!(matches!(call.as_mut().poll(&mut TaskContext::from_waker(&waker)), Poll::Ready(Ok(()))));
}
