//! What prepares each session.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use futures::FutureExt;
use rpc_client::{CallOptions, ConnectError, Session, SessionHooks, SetupError, Status, async_trait, connect};
use rpc_core::{Code, Config};
use rpc_testing::{SOON, until};
use tokio::{
    sync::Semaphore,
    time::{Duration, timeout},
};

use super::{Bell, DeskClient, House, away, client, connected, quickly, serve};
use crate::line::Line;

#[tokio::test]
async fn each_session_is_prepared_before_other_calls_go_to_it() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let gate = Arc::new(Semaphore::new(1));
    let client = client(line.addr())
        .on_session({
            let gate = gate.clone();
            move |session: Session| {
                let gate = gate.clone();
                async move {
                    let desk = session.client::<DeskClient>();
                    desk.say("join").await?;
                    gate.acquire().await.unwrap().forget();
                    desk.say("ready").await?;
                    Ok(())
                }
            }
        })
        .await
        .unwrap();
    let desk: DeskClient = client.client();
    let hasty = desk.with(CallOptions::new().fail_fast());
    assert_eq!((desk.say("a").await, desk.call_back().await), (Ok(3), Ok(3)));
    line.cut();
    away(&client).await;
    let mut waits = std::pin::pin!(desk.say("b"));
    assert!((&mut waits).now_or_never().is_none());
    until("the second session is prepared", || house.log().len() == 4).await;
    assert!((&mut waits).now_or_never().is_none());
    let status = hasty.say("c").now_or_never().unwrap().unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("prepared"), "{status}");
    gate.add_permits(1);
    assert_eq!(timeout(SOON, waits).await.unwrap(), Ok(6));
    assert_eq!(house.log(), ["join", "ready", "a", "join", "ready", "b"]);
}

#[tokio::test]
async fn calls_of_the_setup_through_a_stub_of_the_client_go_to_the_new_session() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let stub = Arc::<OnceLock<DeskClient>>::default();
    let client = client(line.addr())
        .on_session({
            let stub = stub.clone();
            move |_| {
                let stub = stub.clone();
                async move {
                    if let Some(desk) = stub.get() {
                        desk.say("again").await?;
                    }
                    Ok(())
                }
            }
        })
        .await
        .unwrap();
    let desk = stub.get_or_init(|| client.client());
    line.cut();
    away(&client).await;
    assert_eq!(timeout(SOON, desk.say("after")).await.unwrap(), Ok(2));
    assert_eq!(house.log(), ["again", "after"]);
}

/// A client's bell, which tells the desk that it has rung.
struct Echo(Arc<OnceLock<DeskClient>>);

impl Bell for Echo {
    async fn ring(&self, times: u32) -> u32 {
        if let Some(desk) = self.0.get() {
            desk.say("rung").await.unwrap();
        }
        times
    }
}

#[tokio::test]
async fn calls_of_a_callback_go_to_its_session_while_that_is_prepared() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let stub = Arc::<OnceLock<DeskClient>>::default();
    let client = connect(format!("ws://{}/", line.addr()))
        .callback(Echo(stub.clone()).serve())
        .reconnect(quickly())
        .on_session(async |session: Session| {
            let desk: DeskClient = session.client();
            desk.call_back().await?;
            desk.say("ready").await?;
            Ok(())
        })
        .await
        .unwrap();
    let desk = stub.get_or_init(|| client.client());
    line.cut();
    away(&client).await;
    timeout(SOON, desk.say("after")).await.unwrap().unwrap();
    assert_eq!(house.log(), ["ready", "rung", "ready", "after"]);
    client.close().await;
}

/// A client whose setup fails like this from the second session on, and the number of times that the setup ran.
async fn failing(
    line: &Line,
    fail: impl Fn(usize) -> Result<(), SetupError> + Send + Sync + 'static,
) -> (rpc_client::Client, Arc<AtomicUsize>) {
    let runs = Arc::<AtomicUsize>::default();
    let counted = runs.clone();
    let fail = Arc::new(fail);
    let client = client(line.addr())
        .on_session(move |_| {
            let (run, fail) = (counted.fetch_add(1, Ordering::Relaxed), fail.clone());
            async move { fail(run) }
        })
        .await
        .unwrap();
    (client, runs)
}

#[tokio::test]
async fn a_setup_that_may_go_better_later_is_run_again() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let (client, runs) = failing(&line, |run| match run {
        1 => Err(Status::unavailable("not yet").into()),
        2 => Err(Status::resource_exhausted("not yet").into()),
        3 => Err(Status::deadline_exceeded("not yet").into()),
        _ => Ok(()),
    })
    .await;
    line.cut();
    away(&client).await;
    connected(&client).await;
    assert_eq!(runs.load(Ordering::Relaxed), 5);
    assert_eq!(client.client::<DeskClient>().say("one").await, Ok(1));
    until("the sessions of failed setups are over", || server.sessions().len() == 1).await;
}

#[tokio::test]
async fn a_setup_that_fails_for_good_closes_the_client() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    for panics in [false, true] {
        let (client, _) = failing(&line, move |run| match run {
            0 => Ok(()),
            _ if panics => panic!("the setup of a test"),
            _ => Err(Status::permission_denied("no longer").into()),
        })
        .await;
        let desk: DeskClient = client.client();
        line.cut();
        let error = timeout(SOON, client.closed()).await.unwrap();
        let expected = if panics { "panicked" } else { "no longer" };
        assert!(error.to_string().contains(expected) && error.to_string().contains("on_session"), "{error}");
        let status = desk.say("late").now_or_never().unwrap().unwrap_err();
        assert!(status.code() == Code::Unavailable && status.message().contains(expected), "{status}");
    }
}

#[tokio::test]
async fn a_setup_has_a_time_limit_and_an_error_at_the_first_session() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let config = Config::builder().hook_timeout(Duration::from_millis(30)).build().unwrap();
    let error = client(line.addr()).config(config).on_session(|_| std::future::pending()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Setup(status) if status.message().contains("hook_timeout")), "{error}");
    assert!(error.is_retryable());
    let denied = async |_| Err(Status::permission_denied("never").into());
    let error = client(line.addr()).on_session(denied).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    until("both sessions are over", || server.sessions().is_empty()).await;
}

#[tokio::test]
async fn a_session_that_is_lost_in_its_setup_is_followed_by_another() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let runs = Arc::<AtomicUsize>::default();
    let client = client(line.addr())
        .on_session({
            let runs = runs.clone();
            move |session: Session| {
                let run = runs.fetch_add(1, Ordering::Relaxed);
                async move {
                    if run == 1 {
                        let held = session.client::<DeskClient>().hold("held").await;
                        held.map_err(|_| Status::internal("the function does not look why"))?;
                    }
                    Ok(())
                }
            }
        })
        .await
        .unwrap();
    line.cut();
    house.until_said("held").await;
    line.cut();
    until("the setup runs in a third session", || runs.load(Ordering::Relaxed) == 3).await;
    connected(&client).await;
    assert_eq!(client.client::<DeskClient>().say("one").await, Ok(2));
}

/// Calls the server through the session, and then through a stub of the client, if there is one.
struct Door(Arc<OnceLock<DeskClient>>);

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        session.client::<DeskClient>().say("own").await?;
        if let Some(desk) = self.0.get() {
            desk.say("never").await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_hook_that_waits_for_a_call_of_its_client_waits_until_its_time_is_over() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let stub = Arc::<OnceLock<DeskClient>>::default();
    let config = Config::builder().hook_timeout(Duration::from_millis(500)).build().unwrap();
    let client = client(line.addr()).config(config).hooks(Door(stub.clone())).await.unwrap();
    stub.get_or_init(|| client.client());
    line.cut();
    let error = timeout(SOON, client.closed()).await.unwrap();
    assert!(error.to_string().contains("hook_timeout"), "{error}");
    assert_eq!(house.log(), ["own", "own"], "calls through the session go to the server");
}
