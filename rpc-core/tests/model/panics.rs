//! Panics in users' code whose payload panics again when it is dropped.

use std::{panic::panic_any, time::Duration};

use futures::{StreamExt, stream};
use rpc_core::{Code, ConnectionError, Context, Hosting, Peer, Session, SessionHooks, Status, Streaming, async_trait};

use crate::pairs::{Ends, at_rest, host, open, until};

/// A payload that cannot be dropped in peace, nor can what its drop panics with.
struct Bomb(u8);

const BOMB: Bomb = Bomb(2);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 && !std::thread::panicking() {
            panic_any(Self(self.0 - 1));
        }
    }
}

#[rpc_core::service]
trait Mine {
    async fn at_once(&self) -> u32;
    async fn later(&self) -> u32;
    async fn wait(&self);
    async fn dig(&self) -> Streaming<u32>;
    async fn heap(&self) -> Streaming<u32>;
    async fn safe(&self) -> u32;
}

struct Shaft;

impl Mine for Shaft {
    async fn at_once(&self) -> u32 {
        panic_any(BOMB)
    }

    async fn later(&self) -> u32 {
        tokio::task::yield_now().await;
        panic_any(BOMB)
    }

    async fn wait(&self) {
        let _bomb = BOMB;
        std::future::pending::<()>().await;
    }

    async fn dig(&self) -> Streaming<u32> {
        Streaming::new(stream::iter(0..2).chain(stream::poll_fn(|_| panic_any(BOMB))))
    }

    async fn heap(&self) -> Streaming<u32> {
        let bomb = BOMB;
        Streaming::new(stream::pending().map(move |item: u32| {
            let _ = &bomb;
            item
        }))
    }

    async fn safe(&self) -> u32 {
        7
    }
}

async fn works(ends: &Ends) {
    let mine: MineClient = ends.client.client();
    assert_eq!(mine.safe().await.unwrap(), 7, "the session lives");
    at_rest(ends).await;
}

#[tokio::test(start_paused = true)]
async fn handlers_whose_panic_panics_again_spoil_their_own_call_alone() {
    let ends = open(&host(Shaft.serve()), &Hosting::default());
    let mine: MineClient = ends.client.client();
    assert_eq!(mine.at_once().await.unwrap_err().code(), Code::Internal);
    assert_eq!(mine.later().await.unwrap_err().code(), Code::Internal);
    works(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_handler_that_panics_while_it_is_dropped_gives_its_permit_back() {
    let ends = open(&host(Shaft.serve()), &Hosting::default());
    let mine: MineClient = ends.client.client();
    let waiting = tokio::spawn(async move { mine.wait().await });
    until("served", || ends.server.stats().handlers == 1).await;
    waiting.abort();
    works(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn streams_whose_panic_panics_again_end_alone() {
    let ends = open(&host(Shaft.serve()), &Hosting::default());
    let mine: MineClient = ends.client.client();
    let mut dug = mine.dig().await.unwrap();
    let mut items = Vec::new();
    let last = loop {
        match dug.next().await {
            Some(Ok(item)) => items.push(item),
            last => break last,
        }
    };
    assert_eq!(items, [0, 1]);
    assert!(matches!(last, Some(Err(_))), "{last:?}");
    drop(dug);
    drop(mine.heap().await.unwrap());
    works(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_begun_may_panic_while_it_is_dropped() {
    let ends = open(&host(Shaft.serve()), &Hosting::default());
    let mine: MineClient = ends.client.client();
    // The caller gives up together with its call: the answer is of no use.
    for _ in 0..3 {
        let call = tokio::spawn({
            let mine = mine.clone();
            async move { mine.heap().await.map(drop) }
        });
        tokio::task::yield_now().await;
        call.abort();
    }
    works(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn a_factory_whose_panic_panics_again_spoils_its_call_alone() {
    let service =
        Mine::per_call(|cx: &Context<Peer>| if cx.metadata("bomb").is_some() { panic_any(BOMB) } else { Shaft });
    let ends = open(&host(service), &Hosting::default());
    let mine: MineClient = ends.client.client();
    let bombed = mine.with(rpc_core::CallOptions::new().metadata("bomb", "yes"));
    assert_eq!(bombed.safe().await.unwrap_err().code(), Code::Internal);
    works(&ends).await;
}

/// A waker of a broken executor.
struct Broken;

impl std::task::Wake for Broken {
    fn wake(self: std::sync::Arc<Self>) {
        panic_any(BOMB);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_spoils_no_session_and_no_other_call() {
    let ends = open(&host(Shaft.serve()), &Hosting::default());
    let mine: MineClient = ends.client.client();
    ends.client.established().await.unwrap();
    let waker = std::task::Waker::from(std::sync::Arc::new(Broken));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut broken = std::pin::pin!(mine.safe());
    assert!(broken.as_mut().poll(&mut cx).is_pending());
    let behind = tokio::time::timeout(Duration::from_secs(5), mine.safe());
    assert_eq!(behind.await.expect("it is woken, in virtual time"), Ok(7));
    assert_eq!(broken.await, Ok(7), "its answer has come");
    works(&ends).await;
}

/// A hook that panics, or waits with something that panics when it is dropped.
#[derive(Clone, Copy, PartialEq)]
enum Trap {
    Opened,
    OpenedDropped,
    Closed,
    ClosedDropped,
}

#[async_trait]
impl SessionHooks for Trap {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        if *self == Self::Opened {
            panic_any(BOMB);
        }
        if *self == Self::OpenedDropped {
            let _bomb = BOMB;
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn closed(&self, _: &Session, _: &ConnectionError) {
        if *self == Self::Closed {
            panic_any(BOMB);
        }
        if *self == Self::ClosedDropped {
            let _bomb = BOMB;
            std::future::pending::<()>().await;
        }
    }
}

/// Tells that it was asked.
struct Witness(std::sync::Arc<std::sync::atomic::AtomicUsize>);

#[async_trait]
impl SessionHooks for Witness {
    async fn closed(&self, _: &Session, _: &ConnectionError) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_whose_panic_panics_again_spoil_no_goodbye_and_no_other_hook() {
    for trap in [Trap::Opened, Trap::OpenedDropped, Trap::Closed, Trap::ClosedDropped] {
        let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let hosting =
            Hosting::builder().service(Shaft.serve()).hooks(Witness(asked.clone())).hooks(trap).build().unwrap();
        let ends = open(&hosting, &Hosting::default());
        if ends.client.established().await.is_ok() {
            ends.server.close();
        }
        let reason = ends.client.closed().await;
        assert!(!matches!(reason, ConnectionError::Lost(_)), "{reason:?}");
        until("the outer hook heard of it", || asked.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
        at_rest(&ends).await;
    }
}
