//! What becomes of a connection that enters, and of its place, in each phase of a server.

use rpc_core::{Hosting, SessionState, session::connect_in_memory};
use rpc_testing::SOON;
use tokio::time::timeout;

use super::*;
use crate::caps::Caps;

fn entered(sessions: &Sessions) -> Entry {
    sessions.enter(Arc::new(Caps::new(1, 1).enter(None).unwrap()), Kind::Newcomer(None)).unwrap()
}

/// A session whose Hello came while the server ended, and how it ends.
async fn begun(mut entry: Entry) -> (bool, ConnectionError) {
    let (session, _client) = connect_in_memory(&Hosting::default(), &Hosting::default());
    session.established().await.unwrap();
    entry.begun(&session);
    let drained = session.state() == SessionState::Draining;
    (drained, timeout(SOON, session.closed()).await.unwrap())
}

#[tokio::test]
async fn a_session_that_begins_in_a_drain_drains() {
    let sessions = Sessions::new();
    let entry = entered(&sessions);
    sessions.begin_drain();
    assert_eq!(begun(entry).await, (true, ConnectionError::ShutDown));
    assert_eq!(sessions.connections(), 0);
}

#[tokio::test]
async fn a_session_that_begins_when_all_are_closed_is_closed() {
    let sessions = Sessions::new();
    let entry = entered(&sessions);
    sessions.close();
    assert_eq!(begun(entry).await, (false, ConnectionError::ShutDown));
}

#[tokio::test]
async fn a_drain_of_closed_sessions_does_not_let_them_drain() {
    let sessions = Sessions::new();
    let entry = entered(&sessions);
    sessions.close();
    sessions.begin_drain();
    assert_eq!(begun(entry).await, (false, ConnectionError::ShutDown));
}

#[tokio::test]
async fn the_place_of_a_connection_goes_over_to_its_session() {
    let caps = Caps::new(1, 1);
    let sessions = Sessions::new();
    let mut entry = sessions.enter(Arc::new(caps.enter(None).unwrap()), Kind::Newcomer(None)).unwrap();
    let (session, _client) = connect_in_memory(&Hosting::default(), &Hosting::default());
    entry.begun(&session);
    assert!(entry.place.is_none());
    assert!(caps.enter(None).is_err(), "the session holds it");
    drop(entry);
    assert!(caps.enter(None).is_ok(), "the session has ended");
}

#[test]
fn a_connection_that_becomes_no_session_gives_its_place_back() {
    let caps = Caps::new(1, 1);
    let sessions = Sessions::new();
    drop(sessions.enter(Arc::new(caps.enter(None).unwrap()), Kind::Newcomer(None)).unwrap());
    let last = sessions.enter(Arc::new(caps.enter(None).unwrap()), Kind::Newcomer(None)).unwrap();
    sessions.close();
    drop(last);
    assert!(sessions.enter(Arc::new(caps.enter(None).unwrap()), Kind::Newcomer(None)).is_none(), "no more are taken");
    assert!(caps.enter(None).is_ok());
}
