//! Where a call's deadline comes from, and how far giving a call up reaches.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpc_core::{CallOptions, Code, Context, Hosting, Status, intercept::TimeoutCap};
use tokio::time::timeout;

use crate::pairs::{at_rest, config, host, open, open_with, until};

const SECOND: Duration = Duration::from_secs(1);

/// Says how long its callers still wait.
#[rpc_core::service]
trait Clock {
    async fn plain(&self, cx: &Context<ClockClient>) -> Option<Duration>;
    #[rpc(timeout = "20s")]
    async fn limited(&self, cx: &Context<ClockClient>) -> Option<Duration>;
    #[rpc(oneway, timeout = "20s")]
    async fn one_way(&self, cx: &Context<ClockClient>);
}

#[derive(Default)]
struct Watch(Arc<Mutex<Vec<Option<Duration>>>>);

impl Clock for Watch {
    async fn plain(&self, cx: &Context<ClockClient>) -> Option<Duration> {
        cx.remaining()
    }
    async fn limited(&self, cx: &Context<ClockClient>) -> Option<Duration> {
        cx.remaining()
    }
    async fn one_way(&self, cx: &Context<ClockClient>) {
        self.0.lock().unwrap().push(cx.remaining());
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_own_timeout_goes_before_the_methods_and_that_before_the_configs() {
    let watch = Watch::default();
    let heard = watch.0.clone();
    let ends = open_with(&host(watch.serve()), &Hosting::default(), config(|c| c.call_timeout(30 * SECOND)));
    let clock: ClockClient = ends.client.client();
    let own = |timeout| clock.with(CallOptions::new().timeout(timeout));
    assert_eq!(clock.plain().await.unwrap(), Some(30 * SECOND));
    assert_eq!(clock.limited().await.unwrap(), Some(20 * SECOND));
    assert_eq!(own(10 * SECOND).limited().await.unwrap(), Some(10 * SECOND));
    assert_eq!(own(50 * SECOND).plain().await.unwrap(), Some(50 * SECOND), "it may be longer, too");
    assert_eq!(own(Duration::MAX).limited().await.unwrap(), None, "none has to be asked for");
    clock.one_way().await.unwrap();
    until("the one-way call has run", || !heard.lock().unwrap().is_empty()).await;
    assert_eq!(*heard.lock().unwrap(), [None], "a one-way call has no deadline");
    at_rest(&ends).await;
}

/// The message says which call has failed, how long its caller waited, and what to change.
#[tokio::test(start_paused = true)]
async fn a_call_that_reaches_its_deadline_says_whose_the_deadline_is() {
    #[rpc_core::service]
    trait Wall {
        async fn ask(&self);
        #[rpc(timeout = "20s")]
        async fn knock(&self);
    }
    struct Stone;
    impl Wall for Stone {
        async fn ask(&self) {
            std::future::pending::<()>().await;
        }
        async fn knock(&self) {
            std::future::pending::<()>().await;
        }
    }
    let limits = config(|c| c.call_timeout(30 * SECOND));
    let ends = open_with(&host(Stone.serve()), &Hosting::default(), limits.clone());
    let wall: WallClient = ends.client.client();
    let own = |timeout| wall.with(CallOptions::new().timeout(timeout));
    let said = |outcome: Result<(), Status>| outcome.unwrap_err().message().to_owned();
    assert_eq!(said(wall.ask().await), "Wall.ask: no answer came within 30s (Config::call_timeout)");
    assert_eq!(said(wall.knock().await), "Wall.knock: no answer came within 20s (timeout of the method)");
    let hasty = own(Duration::from_millis(100));
    assert_eq!(said(hasty.knock().await), "Wall.knock: no answer came within 100ms (CallOptions::timeout)");
    let none = own(Duration::ZERO);
    assert_eq!(said(none.ask().await), "Wall.ask: the call was not made within 0ns (CallOptions::timeout)");
    at_rest(&ends).await;

    let capped = Hosting::builder().interceptor(TimeoutCap::outgoing(SECOND)).build().unwrap();
    let ends = open_with(&host(Stone.serve()), &capped, limits);
    let wall: WallClient = ends.client.client();
    assert_eq!(said(wall.ask().await), "Wall.ask: no answer came within 1s (an interceptor of this side)");
    at_rest(&ends).await;

    ends.client.close().await;
    assert!(said(wall.ask().await).ends_with("; connect again for new stubs"), "the session has ended");
}

/// Each end calls the other, until the last call waits forever.
#[rpc_core::service]
trait Ladder {
    async fn climb(&self, cx: &Context<LadderClient>, steps: u32) -> Result<(), Status>;
}

#[derive(Clone, Default)]
struct Rungs {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct Rung<'a>(&'a Rungs);

impl Drop for Rung<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Ladder for Rungs {
    async fn climb(&self, cx: &Context<LadderClient>, steps: u32) -> Result<(), Status> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _rung = Rung(self);
        match steps {
            0 => std::future::pending().await,
            _ => cx.peer().climb(steps - 1).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn giving_a_call_up_reaches_every_callback_of_its_chain() {
    let rungs = Rungs::default();
    let ends = open(&host(rungs.clone().serve()), &host(rungs.clone().serve()));
    let ladder: LadderClient = ends.client.client();
    timeout(SECOND, ladder.climb(9)).await.expect_err("the last one waits for ever");
    assert_eq!(rungs.begun.load(Ordering::SeqCst), 10);
    until("all handlers are dropped", || rungs.dropped.load(Ordering::SeqCst) == 10).await;
    at_rest(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_ends_when_its_first_caller_stops_waiting() {
    let rungs = Rungs::default();
    let ends = open(&host(rungs.clone().serve()), &host(rungs.clone().serve()));
    let hasty = ends.client.client::<LadderClient>().with(CallOptions::new().timeout(SECOND));
    assert_eq!(hasty.climb(9).await.unwrap_err().code(), Code::DeadlineExceeded);
    until("all handlers are dropped", || rungs.dropped.load(Ordering::SeqCst) == 10).await;
    at_rest(&ends).await;
}

/// Asks the other end what it is told of the nested call, with options of its own.
#[rpc_core::service]
trait Relay {
    async fn outer(&self, cx: &Context<RelayClient>) -> Result<(u32, u32), Status>;
    /// Pairs of metadata, and seconds that are left.
    async fn inner(&self, cx: &Context<RelayClient>) -> (u32, u32);
}

struct Runner;

impl Relay for Runner {
    async fn outer(&self, cx: &Context<RelayClient>) -> Result<(u32, u32), Status> {
        let patient = cx.peer().with(CallOptions::new().timeout(Duration::MAX));
        patient.inner().await
    }
    async fn inner(&self, cx: &Context<RelayClient>) -> (u32, u32) {
        let pairs = u32::try_from(cx.metadata_all().count()).unwrap();
        (pairs, cx.remaining().map_or(u32::MAX, |left| u32::try_from(left.as_secs()).unwrap()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_has_no_more_time_than_is_left_and_none_of_the_metadata() {
    let ends = open(&host(Runner.serve()), &host(Runner.serve()));
    let relay: RelayClient = ends.client.client();
    let options = CallOptions::new().timeout(7 * SECOND).metadata("token", "4711");
    assert_eq!(relay.with(options.clone()).inner().await, Ok((1, 7)));
    assert_eq!(relay.with(options).outer().await, Ok((0, 7)));
    at_rest(&ends).await;
}
