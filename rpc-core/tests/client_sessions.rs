//! The sessions of one client, one after another, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    cell::Cell,
    pin::pin,
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use futures::FutureExt;
use rpc_core::{
    __client::{ClientSessions, LostCalls},
    CallOptions, Code, Config, ConnectionInfo, Execution, Hosting, Session, Status, Streaming, Stub,
    session::{self, connect_in_memory, connect_in_memory_with, memory},
};
use rpc_testing::SOON;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

#[rpc_core::service]
trait Mill {
    /// Takes this time.
    async fn grind(&self, millis: u64) -> u64;
    #[rpc(oneway)]
    async fn oil(&self);
    /// Takes half a second before it looks at the corn.
    async fn sum(&self, corn: Streaming<u64>) -> Result<u64, Status>;
}

thread_local! {
    /// How often `grind` has run in the test of this thread.
    static GROUND: Cell<usize> = const { Cell::new(0) };
}

struct Stones;

impl Mill for Stones {
    async fn grind(&self, millis: u64) -> u64 {
        GROUND.set(GROUND.get() + 1);
        sleep(Duration::from_millis(millis)).await;
        millis
    }

    async fn oil(&self) {}

    async fn sum(&self, _: Streaming<u64>) -> Result<u64, Status> {
        sleep(SECOND / 2).await;
        Ok(3)
    }
}

/// Passes calls on to another server.
struct Trader(MillClient);

#[rpc_core::service]
trait Shop {
    async fn order(&self, millis: u64) -> Result<u64, Status>;
}

impl Shop for Trader {
    async fn order(&self, millis: u64) -> Result<u64, Status> {
        self.0.grind(millis).await
    }
}

fn mill() -> (Session, Session) {
    let hosting = Hosting::builder().service(Stones.serve()).build().unwrap();
    let config = Config::builder().max_calls(1).nested_calls(1).build().unwrap();
    connect_in_memory_with(&hosting, &Hosting::default(), &config)
}

/// A client that has lost its first session, and a stub of it.
fn lost() -> (Arc<ClientSessions>, MillClient) {
    let (_, first) = mill();
    let sessions = ClientSessions::new(&first, &Hosting::default(), Config::default());
    first.close();
    assert!(sessions.ready() && sessions.away("the link was lost"));
    let stub = MillClient::from_peer(sessions.peer(Arc::new(())));
    (sessions, stub)
}

fn go_on(sessions: &ClientSessions) -> (Session, Session) {
    let ends = mill();
    assert!(sessions.prepare(&ends.1) && sessions.ready());
    ends
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_handler_waits_for_a_permit_of_the_next_session_as_long_as_of_the_first() {
    let (sessions, stub) = lost();
    let shop = Hosting::builder().service(Trader(stub).serve()).build().unwrap();
    let (_server, session) = connect_in_memory(&shop, &Hosting::default());
    let order = || {
        let shop: ShopClient = session.client();
        tokio::spawn(async move { shop.order(500).await })
    };
    let orders = [order(), order(), order()];
    sleep(5 * SECOND).await;
    // Two of them have the permits for half a second; `nested_wait` is a second.
    let _ends = go_on(&sessions);
    for order in orders {
        assert_eq!(order.await.unwrap(), Ok(500));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_stands_still_in_a_session_from_when_it_goes_there() {
    let (sessions, stub) = lost();
    let patient = stub.with(CallOptions::new().idle_timeout(SECOND));
    let sum = tokio::spawn(async move { patient.sum(futures::stream::pending()).await });
    sleep(SECOND * 9 / 10).await;
    let _ends = go_on(&sessions);
    assert_eq!(sum.await.unwrap(), Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_call_with_streams_waits_for_a_session_as_long_as_it_may_stand_still() {
    let (_sessions, stub) = lost();
    let patient = stub.with(CallOptions::new().idle_timeout(SECOND));
    let began = tokio::time::Instant::now();
    let status = patient.sum(futures::stream::iter([1, 2])).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_session_did_not_send_runs_once_in_the_next() {
    let (sessions, stub) = lost();
    let (first_mill, first) = go_on(&sessions);
    first.established().await.unwrap();
    let mut call = pin!(stub.grind(1));
    assert!((&mut call).now_or_never().is_none());
    let hasty = stub.with(CallOptions::new().fail_fast());
    let mut other = pin!(hasty.grind(2));
    assert!((&mut other).now_or_never().is_none());
    // The driver has not run since.
    first.abort().await;
    assert!((&mut call).now_or_never().is_none());
    let status = (&mut other).now_or_never().unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    first_mill.closed().await;
    assert!(first_mill.stats().is_at_rest());
    let ran = GROUND.get();
    let _ends = go_on(&sessions);
    assert_eq!(call.await, Ok(1));
    assert_eq!((ran, GROUND.get()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_stream_has_begun_goes_to_no_other_session() {
    let (sessions, stub) = lost();
    let (_mill, first) = go_on(&sessions);
    first.established().await.unwrap();
    let mut sum = pin!(stub.sum(futures::stream::iter([1, 2])));
    assert!((&mut sum).now_or_never().is_none());
    first.abort().await;
    let _ends = go_on(&sessions);
    assert_eq!(sum.await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_end_counts_the_calls_that_it_has_cut_off() {
    let (_mill, session) = mill();
    session.established().await.unwrap();
    let mill: MillClient = session.client();
    let running = tokio::spawn({
        let mill = mill.clone();
        async move { mill.grind(500).await }
    });
    sleep(SECOND / 10).await;
    // There is no permit for this call.
    let mut waiting = pin!(mill.grind(500));
    assert!((&mut waiting).now_or_never().is_none());
    mill.oil().await.unwrap();
    assert_eq!(session.lost_calls(), LostCalls::default());
    session.abort().await;
    assert_eq!(session.lost_calls(), LostCalls { unknown: 2, not_executed: 1 });
    running.await.unwrap().unwrap_err();
}

/// Asks for the client's session when it is dropped.
#[derive(Clone)]
struct Curious(Arc<OnceLock<Arc<ClientSessions>>>);

impl Drop for Curious {
    fn drop(&mut self) {
        if let Some(sessions) = self.0.get() {
            let _ = sessions.session();
        }
    }
}

#[test]
fn what_a_lost_session_has_held_may_use_the_client_when_it_is_dropped() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let slot = Arc::<OnceLock<Arc<ClientSessions>>>::default();
            let mut info = ConnectionInfo::default();
            info.extensions.insert(Curious(slot.clone()));
            let (_near, far) = memory();
            let (first, driver) = session::connect(far, &Hosting::default(), &Config::default(), info);
            let sessions = ClientSessions::new(&first, &Hosting::default(), Config::default());
            drop((first, driver));
            slot.set(sessions.clone()).unwrap();
            let _ends = go_on(&sessions);
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(SOON).expect("the value was dropped under a lock");
}
