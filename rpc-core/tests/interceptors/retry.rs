//! `Retry`, in virtual time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::stream;
use rpc_core::{Code, Hosting, Session, Status, Streaming, intercept::Retry, session::connect_in_memory};
use tokio::time::Instant;

#[rpc_core::service]
trait Station {
    #[rpc(idempotent)]
    async fn read(&self) -> Result<u32, Status>;
    async fn write(&self) -> Result<u32, Status>;
    #[rpc(idempotent)]
    async fn sum(&self, numbers: Streaming<u32>) -> Result<u32, Status>;
}

/// Fails with a code until it has been called often enough.
#[derive(Clone)]
struct Shaky {
    calls: Arc<AtomicU32>,
    failures: u32,
    code: Code,
}

impl Shaky {
    fn new(failures: u32, code: Code) -> Self {
        Self { calls: Arc::default(), failures, code }
    }

    fn answer(&self) -> Result<u32, Status> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call <= self.failures { Err(Status::new(self.code, "not yet")) } else { Ok(call) }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// A client of this station with the interceptor. The session lasts as long as both are kept.
    fn client(&self, retry: Retry) -> (Session, Session, StationClient) {
        let server = Hosting::builder().service(self.clone().serve()).build().unwrap();
        let client = Hosting::builder().interceptor(retry).build().unwrap();
        let (at_server, session) = connect_in_memory(&server, &client);
        let station = session.client();
        (at_server, session, station)
    }
}

impl Station for Shaky {
    async fn read(&self) -> Result<u32, Status> {
        self.answer()
    }

    async fn write(&self) -> Result<u32, Status> {
        self.answer()
    }

    async fn sum(&self, _numbers: Streaming<u32>) -> Result<u32, Status> {
        self.answer()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_as_often_as_it_may_be() {
    for (failures, attempts, made, answer) in
        [(0, 3, 1, Ok(1)), (2, 3, 3, Ok(3)), (3, 3, 3, Err(())), (1, 0, 1, Err(()))]
    {
        let shaky = Shaky::new(failures, Code::Unavailable);
        let (_server, _session, station) = shaky.client(Retry::new(attempts));
        assert_eq!(station.read().await.map_err(|_| ()), answer, "{failures} failures, {attempts} attempts");
        assert_eq!(shaky.calls(), made, "{failures} failures, {attempts} attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_retried_is() {
    let shaky = Shaky::new(1, Code::Unavailable);
    let (_server, _session, station) = shaky.client(Retry::new(3));
    assert_eq!(station.write().await.unwrap_err().code(), Code::Unavailable, "it may have run");
    let shaky = Shaky::new(1, Code::NotFound);
    let (_server, _session, station) = shaky.client(Retry::new(3));
    assert_eq!(station.read().await.unwrap_err().code(), Code::NotFound);
    let shaky = Shaky::new(1, Code::Unavailable);
    let (_server, _session, station) = shaky.client(Retry::new(3));
    assert_eq!(station.sum(stream::iter([1])).await.unwrap_err().code(), Code::Unavailable, "its stream has gone");
    assert_eq!(shaky.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_keep_within_the_deadline() {
    let hour = Duration::from_secs(3600);
    let shaky = Shaky::new(4, Code::Unavailable);
    let retry = Retry::new(9).delays(Duration::from_millis(100), Duration::from_millis(300));
    let (_server, _session, station) = shaky.client(retry);
    let began = Instant::now();
    assert_eq!(station.read().await, Ok(5));
    assert!(began.elapsed() <= Duration::from_millis(100 + 200 + 300 + 300 + 10), "{:?}", began.elapsed());
    // Each wait is a random part of an hour, and the call has a minute: its retries end before that.
    let shaky = Shaky::new(u32::MAX, Code::Unavailable);
    let (_server, _session, station) = shaky.client(Retry::new(9).delays(hour, hour));
    let began = Instant::now();
    let status = station.read().await.unwrap_err();
    assert!(status.code() == Code::Unavailable && began.elapsed() < Duration::from_secs(60), "{status}");
}

#[tokio::test(start_paused = true)]
async fn all_calls_share_the_budget() {
    let shaky = Shaky::new(u32::MAX, Code::Unavailable);
    let (_server, _session, station) = shaky.client(Retry::new(2).budget(0, 0.5));
    for _ in 0..20 {
        station.read().await.unwrap_err();
    }
    let made = shaky.calls();
    assert!((25..=30).contains(&made), "half of 20 calls may be made again, and {made} were made");
    let shaky = Shaky::new(u32::MAX, Code::Unavailable);
    let (_server, _session, station) = shaky.client(Retry::new(2).budget(0, f32::NAN));
    station.read().await.unwrap_err();
    assert_eq!(shaky.calls(), 1);
}
