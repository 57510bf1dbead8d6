//! Links that are lost while a session is being prepared.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt, stream};
use rpc_client::{
    Client, ClientEvent, ClientState, ConnectBuilder, ConnectError, ConnectionError, Session, SessionState, Status,
};
use rpc_testing::{SOON, until};
use tokio::time::timeout;

use super::{
    DeskClient, House, connected,
    events::next,
    line::Line,
    only, quickly,
    resume::{config, resuming},
    serve_with,
};

/// A client whose setup holds a call in its session with this number, and how often the setup has begun.
fn holding(line: &Line, held: usize) -> (ConnectBuilder<Client>, Arc<AtomicUsize>) {
    let runs = Arc::<AtomicUsize>::default();
    let counted = runs.clone();
    let client = resuming(line).on_session(move |session: Session| {
        let run = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let desk: DeskClient = session.client();
            // By then each end knows that the other one knows of the session.
            desk.sum(stream::empty()).await?;
            if run == held {
                desk.hold("held").await?;
                desk.say("goes on").await?;
            }
            Ok(())
        }
    });
    (client, runs)
}

#[tokio::test]
async fn a_link_that_is_lost_while_the_first_session_is_prepared_is_replaced() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let (client, runs) = holding(&line, 0);
    let connecting = tokio::spawn(client.into_future());
    house.until_said("held").await;
    line.cut();
    until("there is another link", || line.accepted() == 2).await;
    house.gate.add_permits(1);
    let client = timeout(SOON, connecting).await.expect("the setup hangs").unwrap().unwrap();
    assert_eq!(client.client::<DeskClient>().say("after").await, Ok(3));
    assert_eq!(house.log(), ["held", "goes on", "after"]);
    assert_eq!((runs.load(Ordering::Relaxed), server.sessions().len()), (1, 1));
}

#[tokio::test]
async fn a_link_that_is_lost_while_a_later_session_is_prepared_is_replaced() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let (client, runs) = holding(&line, 1);
    let client = client.await.unwrap();
    let desk: DeskClient = client.client();
    let mut events = client.events();
    only(&server).abort().await;
    house.until_said("held").await;
    let mut waits = std::pin::pin!(desk.say("after"));
    assert!((&mut waits).now_or_never().is_none());
    line.cut();
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::Resumed { .. }));
    assert!(matches!(client.state(), ClientState::Reconnecting { .. }), "it takes no calls yet");
    house.gate.add_permits(1);
    assert!(matches!(next(&mut events).await, ClientEvent::SessionStarted { .. }));
    connected(&client).await;
    assert_eq!(timeout(SOON, waits).await.unwrap(), Ok(3));
    assert_eq!(house.log(), ["held", "goes on", "after"]);
    assert_eq!((runs.load(Ordering::Relaxed), line.accepted()), (2, 3));
}

#[tokio::test]
async fn the_setup_runs_again_if_the_server_does_not_know_the_session_any_more() {
    let house = Arc::<House>::default();
    let [old, new] = [serve_with(&house, config()).await, serve_with(&house, config()).await];
    let line = Line::to(old.local_addr()).await;
    let (client, runs) = holding(&line, 0);
    let connecting = tokio::spawn(client.into_future());
    house.until_said("held").await;
    line.open(new.local_addr());
    let client = timeout(SOON, connecting).await.expect("the setup hangs").unwrap().unwrap();
    assert_eq!(client.client::<DeskClient>().say("after").await, Ok(2));
    assert_eq!((runs.load(Ordering::Relaxed), new.sessions().len()), (2, 1));
    client.close().await;
}

#[tokio::test]
async fn a_session_that_gets_no_link_while_it_is_prepared_is_given_up() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let (client, runs) = holding(&line, 0);
    let connecting = tokio::spawn(client.reconnect(quickly().max_attempts(2)).into_future());
    house.until_said("held").await;
    line.close();
    let error = timeout(SOON, connecting).await.expect("the setup hangs").unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Session(_)), "{error}");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert!(line.accepted() <= 3);
}

#[tokio::test]
async fn a_setup_that_needs_no_link_any_more_does_not_wait_for_one() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Arc::new(Line::to(server.local_addr()).await);
    let cut = line.clone();
    let connecting = resuming(&line).on_session(move |session: Session| {
        let line = cut.clone();
        async move {
            session.client::<DeskClient>().sum(stream::empty()).await?;
            line.close();
            until("the link is lost", || session.state() == SessionState::Detached).await;
            // An attempt is under way, or has failed.
            until("another link was asked for", || line.accepted() > 1).await;
            Ok(())
        }
    });
    let client = timeout(SOON, connecting.into_future()).await.expect("the setup hangs").unwrap();
    let mut events = client.events();
    line.open(server.local_addr());
    assert_eq!(timeout(SOON, client.client::<DeskClient>().say("after")).await.unwrap(), Ok(1));
    assert!(matches!(next(&mut events).await, ClientEvent::Resumed { .. }), "the loss is told once");
    connected(&client).await;
}

#[tokio::test]
async fn a_setup_that_fails_without_a_link_leaves_no_last_words() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Arc::new(Line::to(server.local_addr()).await);
    let (cut, kept) = (line.clone(), Arc::<OnceLock<Session>>::default());
    let keeps = kept.clone();
    let connecting = resuming(&line).on_session(move |session: Session| {
        let (line, session) = (cut.clone(), keeps.get_or_init(|| session).clone());
        async move {
            session.client::<DeskClient>().sum(stream::empty()).await?;
            line.close();
            until("the link is lost", || session.state() == SessionState::Detached).await;
            Err(Status::permission_denied("not like this").into())
        }
    });
    let error = timeout(SOON, connecting.into_future()).await.expect("the setup hangs").unwrap_err();
    assert!(matches!(&error, ConnectError::Setup(status) if status.message() == "not like this"), "{error}");
    let reason = timeout(SOON, kept.get().unwrap().closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::Lost(_)), "{reason}");
}
