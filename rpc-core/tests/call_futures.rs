//! The future of a call: its size, and what is left of a call that has ended while its future is kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{pin::pin, time::Duration};

use futures::FutureExt;
use rpc_core::{CallOptions, ConnectionError, Hosting, Session, Stub, session::connect_in_memory};
use tokio::time::timeout;

#[rpc_core::service]
trait Clock {
    async fn hour(&self) -> u8;
    async fn add(&self, minutes: Vec<u8>) -> u8;
}

struct Tower;

impl Clock for Tower {
    async fn hour(&self) -> u8 {
        12
    }

    async fn add(&self, minutes: Vec<u8>) -> u8 {
        minutes.into_iter().sum()
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Both ends, of which the second is open as long as the stub is there.
async fn connected() -> (Session, Session, ClockClient) {
    let hosting = Hosting::builder().service(Tower.serve()).build().unwrap();
    let (server, session) = connect_in_memory(&hosting, &Hosting::default());
    // A call that is made before this is not plain.
    session.established().await.unwrap();
    let clock = ClockClient::from_peer(session.keep_open());
    (server, session, clock)
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_small_future() {
    let (_server, _session, clock) = connected().await;
    let call = clock.add(vec![1, 2]);
    assert!(size_of_val(&call) <= 256, "{} bytes", size_of_val(&call));
    assert_eq!(call.await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_call_says_what_is_wrong_when_it_is_polled_after_its_end() {
    let (_server, _session, clock) = connected().await;
    let plain = clock.with(CallOptions::new());
    let general = clock.with(CallOptions::new().metadata("key", "value"));
    for clock in [plain, general] {
        let mut call = pin!(clock.hour());
        assert_eq!(call.as_mut().await, Ok(12));
        let again = call.now_or_never().unwrap().unwrap_err();
        assert!(again.to_string().contains("polled after its end"), "{again}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_ended_keeps_no_session_open_while_its_future_is_kept() {
    // A plain call, and one that goes through the general way.
    for options in [CallOptions::new(), CallOptions::new().metadata("key", "value")] {
        let (_server, session, clock) = connected().await;
        let mut call = pin!(clock.with(options).hour());
        drop(clock);
        assert_eq!(timeout(SOON, call.as_mut()).await.unwrap(), Ok(12));
        assert_eq!(timeout(SOON, session.closed()).await.unwrap(), ConnectionError::ClosedLocally);
    }
}
