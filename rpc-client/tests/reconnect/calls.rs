//! Calls across the loss of a session.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use futures::{FutureExt, stream};
use rpc_client::{
    CallOptions, Code, Config, Connect, Execution, Status, Stub, async_trait,
    intercept::{CallInfo, Interceptor, Next, Reply},
};
use rpc_testing::{SOON, until};
use tokio::time::{Duration, timeout};

use super::{Bell, Counter, DeskClient, House, all, away, client, connected, hold, quickly, serve, serve_with};
use crate::line::Line;

#[tokio::test]
async fn a_stub_goes_on_in_the_next_session_and_so_do_callbacks() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    assert_eq!((desk.say("one").await, desk.call_back().await), (Ok(1), Ok(3)));
    let first = desk.session().id();
    for _ in 0..3 {
        line.cut();
        away(&client).await;
        assert_eq!(desk.call_back().await, Ok(3));
    }
    assert_ne!(desk.session().id(), first);
    until("the lost sessions are over at the server as well", || server.sessions().len() == 1).await;
    client.close().await;
}

#[tokio::test]
async fn calls_wait_while_there_is_no_session() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    line.close();
    away(&client).await;
    let with_metadata = desk.with(CallOptions::new().metadata("key", "value"));
    let mut plain = pin!(desk.say("plain"));
    let mut other = pin!(with_metadata.say("other"));
    let numbers = stream::iter([1, 2, 3]);
    let mut streaming = pin!(desk.sum(numbers));
    assert!((&mut plain).now_or_never().is_none());
    assert!((&mut other).now_or_never().is_none());
    assert!((&mut streaming).now_or_never().is_none());
    line.open(server.local_addr());
    let all = timeout(SOON, async { (plain.await, other.await, streaming.await) }).await.unwrap();
    assert!(all.0.is_ok() && all.1.is_ok(), "{all:?}");
    assert_eq!(all.2.unwrap(), 6);
}

/// Runs a future on a thread that belongs to no runtime.
async fn outside<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (sender, done) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        let value = loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => break value,
                Poll::Pending => thread::park(),
            }
        };
        let _ = sender.send(value);
    });
    timeout(SOON, done).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_call_outside_of_the_runtime_waits_as_well() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    line.close();
    away(&client).await;
    let brief = desk.with(CallOptions::new().timeout(Duration::from_millis(50)));
    let status = outside(async move { brief.say("late").await }).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let call = outside(async move { desk.say("outside").await });
    line.open(server.local_addr());
    assert_eq!(call.await, Ok(1));
}

#[tokio::test]
async fn a_call_that_fails_fast_does_not_wait() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    let hasty = desk.with(CallOptions::new().fail_fast());
    assert_eq!(hasty.say("one").await, Ok(1));
    line.close();
    away(&client).await;
    let status = hasty.say("two").now_or_never().unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    assert!(status.message().contains("no session"), "{status}");
    line.open(server.local_addr());
    connected(&client).await;
    assert_eq!(hasty.say("two").await, Ok(2));
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_names_the_reason() {
    let house = Arc::<House>::default();
    let (_server, line, client) = all(&house).await;
    line.close();
    away(&client).await;
    let desk = client.client::<DeskClient>().with(CallOptions::new().timeout(Duration::from_millis(50)));
    let status = timeout(SOON, desk.say("late")).await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::NotExecuted));
    assert!(status.message().contains("Desk.say found no session") && house.log().is_empty(), "{status}");
}

#[tokio::test]
async fn a_call_that_may_have_run_is_not_made_again() {
    let house = Arc::<House>::default();
    let (_server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    let call = hold(&desk, "held");
    house.until_said("held").await;
    line.cut();
    let status = timeout(SOON, call).await.unwrap().unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
    assert_eq!(desk.say("next").await, Ok(2));
    assert_eq!(house.log(), ["held", "next"]);
}

#[tokio::test]
async fn a_call_that_has_not_gone_out_goes_on_in_the_next_session() {
    let house = Arc::<House>::default();
    let server =
        serve_with(&house, Config::builder().max_calls(1).resume_window(Duration::ZERO).build().unwrap()).await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).await.unwrap();
    let desk: DeskClient = client.client();
    let first = hold(&desk, "held");
    house.until_said("held").await;
    // There is no permit for this call.
    let mut second = pin!(desk.say("second"));
    assert!((&mut second).now_or_never().is_none());
    line.cut();
    assert_eq!(timeout(SOON, second).await.unwrap(), Ok(2));
    assert_eq!(first.await.unwrap().unwrap_err().execution(), Execution::Unknown);
}

#[tokio::test]
async fn calls_wait_for_the_next_server_while_theirs_drains() {
    let house = Arc::<House>::default();
    let (old, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    let held = hold(&desk, "held");
    house.until_said("held").await;
    let new = serve(&house).await;
    line.lead_new_ones(new.local_addr());
    let session = desk.session();
    let drain = tokio::spawn(async move { old.shutdown().await });
    timeout(SOON, session.draining()).await.unwrap();
    let mut waits = pin!(desk.say("waits"));
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!(house.log(), ["held"]);
    // What another session would not mend fails at once.
    let heavy = desk.with(CallOptions::new().metadata("key", "v".repeat(1 << 20)));
    assert_eq!(heavy.say("heavy").now_or_never().unwrap().unwrap_err().code(), Code::InvalidArgument);
    let hasty = desk.with(CallOptions::new().fail_fast());
    assert_eq!(hasty.say("hasty").now_or_never().unwrap().unwrap_err().code(), Code::Unavailable);
    house.gate.add_permits(1);
    assert_eq!(held.await.unwrap(), Ok(()), "the call under way has ended in the old session");
    assert_eq!(timeout(SOON, waits).await.unwrap(), Ok(2));
    drain.await.unwrap();
    assert_ne!(desk.session().id(), session.id());
    assert_eq!(new.sessions().len(), 1);
}

/// Counts the calls, and those that began without a session.
#[derive(Clone, Default)]
struct Seen(Arc<(AtomicUsize, AtomicUsize)>);

#[async_trait]
impl Interceptor for Seen {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(usize::from(call.session_id().is_none()), Ordering::Relaxed);
        next.run(call).await
    }
}

#[tokio::test]
async fn interceptors_are_around_the_choice_of_the_session() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let seen = Seen::default();
    let client = client(line.addr()).interceptor(seen.clone()).await.unwrap();
    let desk: DeskClient = client.client();
    assert_eq!(desk.say("one").await, Ok(1));
    line.close();
    away(&client).await;
    let waits = tokio::spawn({
        let desk = desk.clone();
        async move { desk.say("two").await }
    });
    until("the interceptor sees the call", || seen.0.1.load(Ordering::Relaxed) == 1).await;
    line.open(server.local_addr());
    assert_eq!(timeout(SOON, waits).await.unwrap().unwrap(), Ok(2));
    assert_eq!(seen.0.0.load(Ordering::Relaxed), 2, "once for each call");
}

#[tokio::test]
async fn a_stub_that_connects_is_a_client_as_well() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let url = format!("ws://{}/", line.addr());
    let desk = DeskClient::connect(&url).callback(Bell::serve(Counter::default())).reconnect(quickly()).await.unwrap();
    let client = rpc_client::Client::of(&desk).unwrap();
    line.cut();
    away(&client).await;
    assert_eq!(desk.say("one").await, Ok(1));
    // A stub of a session is no client, and is lost with the session.
    let of_session: DeskClient = desk.session().client();
    assert!(rpc_client::Client::of(&of_session).is_none());
    line.cut();
    away(&client).await;
    assert_eq!(of_session.say("lost").await.unwrap_err().code(), Code::Unavailable);
    let once = DeskClient::connect(&url).callback(Bell::serve(Counter::default())).await.unwrap();
    let client = rpc_client::Client::of(&once).unwrap();
    once.session().close().await;
    assert!(client.state().closed().is_some());
}
