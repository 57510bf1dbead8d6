//! What becomes of a connection that enters, and of its place, in each phase of a server; and what those hear who watch
//! the sessions.

mod hooks;

use futures::{FutureExt, StreamExt};
use rpc_core::{
    Config, ConnectionInfo, Hosting, SessionState,
    session::{Greeting, Handshake, connect_in_memory, connect_with, memory},
};
use rpc_testing::{SOON, until};
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

#[tokio::test]
async fn a_session_that_goes_on_over_another_connection_has_the_place_of_that_one() {
    let caps = Caps::new(2, 2);
    let sessions = Sessions::new();
    let connected = || sessions.enter(Arc::new(caps.enter(None).unwrap()), Kind::Newcomer(None)).unwrap();
    let mut entry = connected();
    let (session, _client) = connect_in_memory(&Hosting::default(), &Hosting::default());
    entry.begun(&session);
    // The old connection is not known to be lost.
    connected().hand_over(&session);
    let other = caps.enter(None).expect("the old place is given back");
    assert!(caps.enter(None).is_err(), "the session has the new one");
    drop((entry, other));
    assert!([caps.enter(None), caps.enter(None)].iter().all(Result::is_ok));
}

/// Is not hosted.
#[rpc_core::service]
trait Nothing {
    async fn at_all(&self);
}

#[tokio::test]
async fn a_session_that_has_lost_its_new_connection_already_has_no_place() {
    let caps = Caps::new(2, 2);
    let sessions = Sessions::new();
    let connected = || sessions.enter(Arc::new(caps.enter(None).unwrap()), Kind::Newcomer(None)).unwrap();
    let config = Config::builder().resume_window(Duration::from_secs(60)).build().unwrap();
    let (resuming, (near, far)) = (Greeting { resumes: true, ..Greeting::default() }, memory());
    let nothing = Hosting::default();
    let (client, driver) = connect_with(resuming, far, &nothing, &config, ConnectionInfo::default());
    let at_client = tokio::spawn(driver);
    let handshake = Handshake::read(near, &config).await.unwrap();
    let (session, driver) = handshake.accept(&nothing, ConnectionInfo::default());
    tokio::spawn(driver);
    timeout(SOON, client.established()).await.unwrap().unwrap();
    let mut entry = connected();
    entry.begun(&session);
    // The server has to learn that its Welcome has come: a call shows it.
    timeout(SOON, client.client::<NothingClient>().at_all()).await.unwrap().unwrap_err();
    at_client.abort();
    until("the link is lost", || session.is_detached()).await;
    entry.follow(&session);
    connected().hand_over(&session);
    assert_eq!(sessions.shared.lock().without_place, 1);
    let free = [caps.enter(None), caps.enter(None)];
    assert!(free.iter().all(Result::is_ok), "both places are given back");
    drop(entry);
    assert_eq!(sessions.shared.lock().without_place, 0);
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

/// Sessions, one of which is open, and what tells of them.
struct Watched {
    sessions: Sessions,
    one: Session,
    _client: Session,
}

impl Watched {
    fn new() -> Self {
        let (one, _client) = connect_in_memory(&Hosting::default(), &Hosting::default());
        let sessions = Sessions::new();
        sessions.shared.opened(&one);
        Self { sessions, one, _client }
    }

    fn lose(&self, why: &str) {
        let lost = Arc::new(ConnectionError::Lost(why.to_owned()));
        wake(self.sessions.shared.lock().link_changed(self.one.id(), Some(lost)));
    }

    fn resume(&self) {
        wake(self.sessions.shared.lock().link_changed(self.one.id(), None));
    }

    fn close(&self) {
        self.sessions.shared.closed(self.one.id(), ConnectionError::ClosedLocally);
    }
}

/// All that a stream has to tell now.
fn told(changes: &mut SessionChanges) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(Some(change)) = changes.next().now_or_never() {
        told.push(match change {
            SessionChange::Opened(_) => "opened".to_owned(),
            SessionChange::Detached(_, ConnectionError::Lost(why)) => why,
            SessionChange::Detached(_, error) => error.to_string(),
            SessionChange::Resumed(_) => "resumed".to_owned(),
            SessionChange::Closed(..) => "closed".to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn each_loss_of_a_link_and_each_return_is_told() {
    let watched = Watched::new();
    let mut changes = watched.sessions.changes();
    assert_eq!(told(&mut changes), ["opened"]);
    watched.lose("cut");
    assert_eq!((told(&mut changes), watched.sessions.detached()), (vec!["cut".to_owned()], 1));
    watched.resume();
    assert_eq!((told(&mut changes), watched.sessions.detached()), (vec!["resumed".to_owned()], 0));
    watched.close();
    assert_eq!(told(&mut changes), ["closed"]);
}

#[tokio::test]
async fn a_link_that_is_lost_and_replaced_before_the_reader_asks_is_left_out() {
    let watched = Watched::new();
    let mut changes = watched.sessions.changes();
    assert_eq!(told(&mut changes), ["opened"]);
    for _ in 0..3 {
        watched.lose("cut");
        watched.resume();
    }
    assert!(told(&mut changes).is_empty());
    watched.lose("cut");
    assert_eq!(told(&mut changes), ["cut"]);
    watched.resume();
    watched.lose("cut again");
    assert!(told(&mut changes).is_empty(), "the reader knows that it has no link");
    watched.resume();
    assert_eq!(told(&mut changes), ["resumed"]);
}

#[tokio::test]
async fn a_reader_that_sleeps_has_one_entry_of_each_session() {
    let watched = Watched::new();
    let mut changes = watched.sessions.changes();
    assert_eq!(told(&mut changes), ["opened"]);
    for _ in 0..3 {
        watched.lose("cut");
        watched.resume();
        assert_eq!(watched.sessions.shared.lock().waiting(changes.watcher), 1);
    }
    watched.close();
    assert_eq!(watched.sessions.shared.lock().waiting(changes.watcher), 1);
    assert_eq!(told(&mut changes), ["closed"]);
}

#[tokio::test]
async fn a_reader_that_begins_while_a_session_has_no_link_hears_of_both() {
    let watched = Watched::new();
    watched.lose("cut");
    let mut changes = watched.sessions.changes();
    assert_eq!(told(&mut changes), ["opened", "cut"]);
    let mut slow = watched.sessions.changes();
    watched.resume();
    assert_eq!(told(&mut slow), ["opened"]);
    assert_eq!(told(&mut changes), ["resumed"]);
}

#[tokio::test]
async fn a_detached_session_that_ends_is_closed_without_having_gone_on() {
    let watched = Watched::new();
    let mut changes = watched.sessions.changes();
    assert_eq!(told(&mut changes), ["opened"]);
    watched.lose("cut");
    assert_eq!(told(&mut changes), ["cut"]);
    watched.close();
    assert_eq!((told(&mut changes), watched.sessions.detached()), (vec!["closed".to_owned()], 0));
}

#[tokio::test]
async fn the_reason_is_that_of_the_last_loss() {
    let watched = Watched::new();
    let mut changes = watched.sessions.changes();
    assert_eq!(told(&mut changes), ["opened"]);
    // The link between the two was lost before anyone saw it.
    watched.lose("cut");
    watched.lose("cut again");
    assert_eq!((told(&mut changes), watched.sessions.detached()), (vec!["cut again".to_owned()], 1));
    let mut later = watched.sessions.changes();
    watched.lose("cut once more");
    assert_eq!(told(&mut later), ["opened", "cut once more"]);
    assert!(told(&mut changes).is_empty(), "the reader knows that it has no link");
}
