//! The attempts to make a session: how often, how soon, and when they end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures::{FutureExt, StreamExt, stream};
use rpc_client::{Client, ClientError, ClientState, ConnectError, ConnectionError, Reconnect};
use rpc_testing::{SOON, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Duration, timeout},
};

use super::{
    DeskClient, House, away, client, closed, connected, only, quickly,
    resume::{config, resuming},
    serve, serve_with, state,
};
use crate::line::Line;

#[tokio::test]
async fn attempts_are_given_up_after_their_number() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).reconnect(quickly().max_attempts(3)).await.unwrap();
    line.close();
    let error = closed(&client).await;
    assert!(matches!(&error, ClientError::Connect(error) if matches!(**error, ConnectError::Ended { .. })), "{error}");
    assert_eq!(line.accepted(), 4);
}

#[tokio::test]
async fn sessions_that_end_soon_count_as_attempts() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let reconnect = quickly().min_uptime(Duration::from_secs(3600)).max_attempts(2);
    let client = client(line.addr()).reconnect(reconnect).await.unwrap();
    for _ in 0..2 {
        line.cut();
        away(&client).await;
        connected(&client).await;
    }
    line.cut();
    assert!(matches!(closed(&client).await, ClientError::Session(ConnectionError::Lost(_))));
    assert_eq!(line.accepted(), 3, "the attempt of `connect` is none of the two");
}

/// A client with one attempt, which begins when the test says so.
async fn with_one_attempt(line: &Line) -> Client {
    let day = Duration::from_secs(86400);
    let once = Reconnect::default().initial_delay(day).max_delay(day).min_uptime(day).max_attempts(1);
    let client = resuming(line).reconnect(once).await.unwrap();
    // By then each end knows that the other one knows of the session.
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await, Ok(0));
    client
}

#[tokio::test]
async fn a_link_that_resumes_the_session_ends_the_row_of_attempts() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let client = with_one_attempt(&line).await;
    let session = client.session().id();
    for _ in 0..4 {
        line.cut();
        let ClientState::Reconnecting { attempt, .. } = away(&client).await else { unreachable!() };
        assert_eq!(attempt, 1, "no other attempt was made for this link");
        client.reconnect_now();
        connected(&client).await;
        assert_eq!(client.session().id(), session);
    }
    line.close();
    away(&client).await;
    client.reconnect_now();
    assert!(matches!(closed(&client).await, ClientError::Connect(_)), "the one attempt has failed");
}

#[tokio::test]
async fn a_link_of_a_new_session_has_a_row_of_attempts_of_its_own() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let client = with_one_attempt(&line).await;
    only(&server).abort().await;
    away(&client).await;
    client.reconnect_now();
    connected(&client).await;
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await, Ok(0));
    line.cut();
    away(&client).await;
    client.reconnect_now();
    connected(&client).await;
    assert_eq!((line.accepted(), server.sessions().len()), (3, 1));
}

#[tokio::test]
async fn no_attempt_begins_when_the_time_is_over() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).reconnect(quickly().max_elapsed(Duration::from_millis(30))).await.unwrap();
    line.close();
    closed(&client).await;

    // A wait ends with the time.
    let day = Duration::from_secs(86400);
    let slowly = quickly().initial_delay(day).max_delay(day).max_elapsed(Duration::from_millis(30));
    line.open(server.local_addr());
    let client = super::client(line.addr()).reconnect(slowly.clone()).await.unwrap();
    line.cut();
    assert!(matches!(closed(&client).await, ClientError::Session(ConnectionError::Lost(_))));
    line.close();
    let connecting = super::client(line.addr()).reconnect(slowly.retry_initial(true));
    timeout(SOON, connecting.into_future()).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn no_attempt_for_a_link_begins_when_the_time_is_over() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let day = Duration::from_secs(86400);
    let slowly = quickly().initial_delay(day).max_delay(day).max_elapsed(Duration::from_millis(30));
    let client = resuming(&line).reconnect(slowly).await.unwrap();
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await, Ok(0));
    line.cut();
    assert!(matches!(closed(&client).await, ClientError::Session(ConnectionError::Lost(_))));
    assert_eq!(line.accepted(), 1);
}

#[tokio::test]
async fn the_first_session_is_asked_for_again_only_if_that_is_wanted() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    line.close();
    assert!(matches!(client(line.addr()).await.unwrap_err(), ConnectError::Ended { .. }));
    let tried = line.accepted();
    let connecting = tokio::spawn(client(line.addr()).reconnect(quickly().retry_initial(true)).into_future());
    until("three attempts have failed", || line.accepted() >= tried + 3).await;
    line.open(server.local_addr());
    let client = timeout(SOON, connecting).await.unwrap().unwrap().unwrap();
    assert_eq!(client.client::<DeskClient>().say("one").await, Ok(1));
    client.close().await;
    let two = quickly().retry_initial(true).max_attempts(2);
    line.close();
    let tried = line.accepted();
    super::client(line.addr()).reconnect(two).await.unwrap_err();
    assert!(line.accepted() <= tried + 2);
}

/// Where HTTP is spoken, and each request gets this answer.
async fn answering(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, requests) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (addr, requests)
}

#[tokio::test]
async fn a_first_failure_that_does_not_pass_is_returned() {
    let (addr, requests) = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let error = timeout(SOON, client(addr).reconnect(quickly().retry_initial(true)).into_future()).await.unwrap();
    assert!(matches!(error.unwrap_err(), ConnectError::Http { .. }));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    // The program may know better.
    let patient = quickly().retry_initial(true).retry_if(|_| true).max_attempts(3);
    timeout(SOON, client(addr).reconnect(patient).into_future()).await.unwrap().unwrap_err();
    assert_eq!(requests.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let (busy, requests) = answering("HTTP/1.1 503 Busy\r\nretry-after: 86400\r\ncontent-length: 0\r\n\r\n").await;
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).await.unwrap();
    line.open(busy);
    let day = Duration::from_secs(86400);
    let asked =
        |state: &ClientState| matches!(state, ClientState::Reconnecting { next_in: Some(wait), .. } if *wait >= day);
    state(&client, asked).await;
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    line.open(server.local_addr());
    client.reconnect_now();
    connected(&client).await;
    for longest in ["18446744073709551615", "18446744073709551616"] {
        // Such a number is no time, or the wait is as long as it can be: nothing panics.
        let answer = format!("HTTP/1.1 503 Busy\r\nretry-after: {longest}\r\ncontent-length: 0\r\n\r\n");
        let (busy, requests) = answering(answer.leak()).await;
        line.open(busy);
        until("the server was asked", || requests.load(Ordering::Relaxed) > 0).await;
        away(&client).await;
        line.open(server.local_addr());
        until("the client waits or is back", || {
            client.reconnect_now();
            client.state().is_connected()
        })
        .await;
    }
}

#[tokio::test]
async fn a_wait_can_be_cut_short() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let day = Duration::from_secs(86400);
    let client = client(line.addr()).reconnect(Reconnect::default().initial_delay(day).max_delay(day)).await.unwrap();
    line.cut();
    let ClientState::Reconnecting { attempt, error, next_in, .. } = away(&client).await else { unreachable!() };
    assert!(
        attempt == 1 && next_in.is_some_and(|wait| wait < day) && matches!(error, ClientError::Session(_)),
        "{error}"
    );
    client.reconnect_now();
    connected(&client).await;

    // A program that hears of the wait ends it before the wait has begun.
    struct Hasty(Client);
    impl Wake for Hasty {
        fn wake(self: Arc<Self>) {
            self.0.reconnect_now();
        }
    }
    let mut states = client.states();
    assert!(states.next().now_or_never().unwrap().unwrap().is_connected());
    let waker = Waker::from(Arc::new(Hasty(client.clone())));
    assert!(states.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    line.cut();
    until("there is a third session", || line.accepted() == 3).await;
    connected(&client).await;
}
