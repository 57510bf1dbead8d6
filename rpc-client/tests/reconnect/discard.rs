//! `Session::discard`: a session whose link is lost is given up before its time is over.

use std::{sync::Arc, time::Duration};

use futures::stream;
use rpc_client::{Client, ClientEvent, SessionState, connect};
use rpc_core::{Code, ConnectionError, Execution, Session, Status};
use rpc_server::ServerHandle;
use rpc_testing::{SOON, until};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    Bell, BellClient, DeskClient, House, Line,
    events::next,
    hold, only, quickly,
    resume::{all, config, unplug},
    serve_with,
};

/// Less than the ten seconds that last words wait.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Tells of each call, and never answers.
struct Silent(mpsc::UnboundedSender<u32>);

impl Bell for Silent {
    async fn ring(&self, times: u32) -> u32 {
        let _ = self.0.send(times);
        std::future::pending().await
    }
}

/// A server, the line to it, and a client that is asked and does not answer.
async fn silent(house: &Arc<House>) -> (ServerHandle, Line, Client, mpsc::UnboundedReceiver<u32>) {
    let server = serve_with(house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let (rings, rung) = mpsc::unbounded_channel();
    let client = connect(format!("ws://{}/", line.addr())).callback(Silent(rings).serve());
    let client = client.reconnect(quickly()).config(config()).await.unwrap();
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    (server, line, client, rung)
}

fn ring(session: &Session, times: u32) -> JoinHandle<Result<u32, Status>> {
    let bell = session.client::<BellClient>();
    tokio::spawn(async move { bell.ring(times).await })
}

async fn outcome(call: JoinHandle<Result<u32, Status>>) -> (Code, Execution) {
    let status = timeout(SOON, call).await.unwrap().unwrap().unwrap_err();
    (status.code(), status.execution())
}

#[tokio::test]
async fn a_server_gives_a_session_up_whose_client_is_away() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let (session, mut events) = (only(&server), client.events());
    let held = hold(&client.client(), "held");
    house.until_said("held").await;
    unplug(&line, &client, &session).await;
    assert!(session.discard());
    assert!(!session.discard(), "it has been given up already");
    let reason = timeout(AT_ONCE, session.closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::Lost(_)), "{reason:?}");
    assert!(session.stats().is_at_rest(), "its handler is cancelled");
    until("it has left", || server.sessions().is_empty()).await;

    line.open(server.local_addr());
    let status = timeout(SOON, held).await.unwrap().unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
    assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { unknown: 1, .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionStarted { .. }));
    assert_ne!(only(&server).id(), session.id());
}

#[tokio::test]
async fn calls_to_the_client_say_whether_they_had_gone_out() {
    let house = Arc::<House>::default();
    let (server, line, client, mut rung) = silent(&house).await;
    let session = only(&server);
    let before = ring(&session, 1);
    assert_eq!(timeout(SOON, rung.recv()).await.unwrap(), Some(1));
    unplug(&line, &client, &session).await;
    let while_away = ring(&session, 2);
    until("it waits", || session.stats().connection.calls_pending == 2).await;
    assert!(session.discard());
    assert_eq!(outcome(before).await, (Code::Unavailable, Execution::Unknown));
    assert_eq!(outcome(while_away).await, (Code::Unavailable, Execution::NotExecuted));
    assert_eq!(outcome(ring(&session, 3)).await, (Code::Unavailable, Execution::NotExecuted), "it is over");
}

#[tokio::test]
async fn a_session_that_has_a_link_goes_on() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    assert!(!session.discard());
    assert!(!client.session().discard());
    unplug(&line, &client, &session).await;
    line.open(server.local_addr());
    super::connected(&client).await;
    assert!(!session.discard(), "its client is back");
    assert_eq!(timeout(SOON, client.client::<DeskClient>().say("here")).await.unwrap().unwrap(), 1);
    assert_eq!((only(&server).id(), session.state()), (session.id(), SessionState::Open));
}

#[tokio::test]
async fn last_words_that_wait_for_the_client_are_given_up_too() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    unplug(&line, &client, &session).await;
    let closing = session.close();
    assert_eq!(session.state(), SessionState::Closing);
    assert!(session.discard());
    timeout(AT_ONCE, closing).await.expect("it waits for its client");
    assert_eq!(session.closed().await, ConnectionError::ClosedLocally);
    assert!(!session.discard());
    // The client has not heard that the session was closed, so it begins a new one.
    line.open(server.local_addr());
    assert_eq!(timeout(SOON, client.client::<DeskClient>().say("here")).await.unwrap().unwrap(), 1);
    until("the server has the new one alone", || server.sessions().len() == 1).await;
}

#[tokio::test]
async fn a_client_gives_its_session_up_and_begins_another_one() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let (session, mut events) = (only(&server), client.events());
    let held = hold(&client.client(), "held");
    house.until_said("held").await;
    unplug(&line, &client, &session).await;
    assert!(client.session().discard());
    let status = timeout(SOON, held).await.unwrap().unwrap().unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
    assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { unknown: 1, .. }));
    line.open(server.local_addr());
    assert_eq!(timeout(SOON, client.client::<DeskClient>().say("here")).await.unwrap().unwrap(), 2);
    assert_eq!(session.state(), SessionState::Detached, "the server has not been told");
    assert!(session.discard());
    until("the server has the new one alone", || server.sessions().len() == 1).await;
}
