//! What a client tells of itself.

use std::sync::Arc;

use futures::{StreamExt, stream};
use rpc_client::{Client, ClientEvent, ClientState, ConnectionError, Reconnect};
use rpc_testing::SOON;
use tokio::time::timeout;

use super::{
    DeskClient, House, all, away, connected, hold,
    line::Line,
    only, quickly,
    resume::{config, resuming},
    serve_with,
};

pub(super) async fn next(events: &mut (impl futures::Stream<Item = ClientEvent> + Unpin)) -> ClientEvent {
    timeout(SOON, events.next()).await.expect("there is no event").expect("the events have ended")
}

#[tokio::test]
async fn events_count_the_calls_of_a_lost_session() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    let mut events = client.events();
    let held = hold(&desk, "held");
    house.until_said("held").await;
    line.cut();
    let lost = next(&mut events).await;
    assert!(matches!(lost, ClientEvent::SessionLost { unknown: 1, not_executed: 0, .. }), "{lost:?}");
    held.await.unwrap().unwrap_err();
    let ClientEvent::SessionStarted { session } = next(&mut events).await else { panic!("no session has started") };
    assert_eq!(session, client.session().id());
    only(&server).close().await;
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { unknown: 0, not_executed: 0, .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::Closed(_)));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn events_count_the_calls_of_a_session_that_is_given_up_without_a_link() {
    let house = Arc::<House>::default();
    let server = serve_with(&house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).reconnect(quickly().max_attempts(0)).await.unwrap();
    let desk: DeskClient = client.client();
    assert_eq!(desk.sum(stream::empty()).await, Ok(0));
    let mut events = client.events();
    let held = hold(&desk, "held");
    house.until_said("held").await;
    line.cut();
    assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
    let lost = next(&mut events).await;
    let ClientEvent::SessionLost { reason: ConnectionError::Lost(_), unknown: 1, not_executed: 0 } = lost else {
        panic!("{lost:?}");
    };
    held.await.unwrap().unwrap_err();
    assert!(matches!(next(&mut events).await, ClientEvent::Closed(_)));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_slow_reader_of_events_is_told_how_many_it_has_missed() {
    let house = Arc::<House>::default();
    let (_server, line, client) = all(&house).await;
    let mut events = client.events();
    for _ in 0..40 {
        line.cut();
        away(&client).await;
        connected(&client).await;
    }
    assert!(matches!(next(&mut events).await, ClientEvent::Lagged(16)));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { .. }));
}

#[tokio::test]
async fn states_begin_with_the_present_one_and_end_with_the_end() {
    let house = Arc::<House>::default();
    let (server, _line, client) = all(&house).await;
    let states = client.states();
    only(&server).close().await;
    let states: Vec<_> = timeout(SOON, states.collect()).await.unwrap();
    assert!(matches!(states.last(), Some(ClientState::Closed(_))), "{states:?}");
    let states: Vec<_> = timeout(SOON, client.states().collect()).await.unwrap();
    assert!(matches!(states[..], [ClientState::Closed(_)]), "{states:?}");

    let once: Client =
        rpc_client::connect(format!("ws://{}/", server.local_addr())).reconnect(Reconnect::never()).await.unwrap();
    let states = once.states();
    once.close().await;
    let states: Vec<_> = timeout(SOON, states.collect()).await.unwrap();
    assert!(matches!(states[..], [ClientState::Connected, ClientState::Closed(_)]), "{states:?}");
}
