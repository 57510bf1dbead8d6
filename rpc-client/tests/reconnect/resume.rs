//! Sessions that outlive their links.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use rpc_client::{Client, ClientEvent, ConnectBuilder, SessionState, connect};
use rpc_core::{
    CloseCode, Config, ConnectionError, ConnectionInfo, Credential, Identity, Resume, Session, SessionHooks, Status,
};
use rpc_server::{AuthError, Authenticator, Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::time::timeout;

use super::{DeskClient, House, away, client, connected, events::next, hold, line::Line, only, serve_with};

pub(crate) fn config() -> Config {
    Config::builder().resume_window(Duration::from_secs(60)).build().unwrap()
}

pub(crate) fn resuming(line: &Line) -> ConnectBuilder<Client> {
    client(line.addr()).config(config())
}

pub(crate) async fn all(house: &Arc<House>) -> (ServerHandle, Line, Client) {
    let server = serve_with(house, config()).await;
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    // By then each end knows that the other one knows of the session.
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    (server, line, client)
}

/// Closes the line, and waits until both ends have noticed.
pub(crate) async fn unplug(line: &Line, client: &Client, session: &Session) {
    line.close();
    away(client).await;
    until("the server has noticed", || session.state() == SessionState::Detached).await;
}

/// The link is lost, and the session goes on.
async fn lost_and_resumed(events: &mut (impl Stream<Item = ClientEvent> + Unpin)) {
    let (lost, resumed) = (next(events).await, next(events).await);
    let is_so = matches!((&lost, &resumed), (ClientEvent::LinkLost { .. }, ClientEvent::Resumed { .. }));
    assert!(is_so, "{lost:?} {resumed:?}");
}

#[tokio::test]
async fn a_call_under_way_when_the_link_is_cut_ends_with_its_value() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let before = client.session().id();
    let held = hold(&client.client(), "held");
    house.until_said("held").await;
    line.cut();
    house.gate.add_permits(1);
    timeout(SOON, held).await.unwrap().unwrap().unwrap();
    assert_eq!(house.log(), ["held"], "it ran once");
    assert_eq!(client.session().id(), before);
    assert_eq!(server.sessions().len(), 1);
}

/// A client that renews its identity does so for each link.
#[tokio::test]
async fn each_loss_and_each_return_of_a_link_counts_once() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let sessions = [client.session(), only(&server)];
    let mut events = Box::pin(client.events());
    for count in 1..=3 {
        line.cut();
        lost_and_resumed(&mut events).await;
        timeout(SOON, client.client::<DeskClient>().say("back")).await.expect("the call hangs").unwrap();
        let changes = sessions.each_ref().map(Session::link_changes);
        // A server may notice the loss and the return of a link at once.
        assert_eq!(changes[0], 2 * count);
        assert!((count..=2 * count).contains(&changes[1]), "{changes:?}");
    }
}

#[tokio::test]
async fn calls_that_are_made_while_links_are_cut_run_once_each_and_in_their_order() {
    let house = Arc::<House>::default();
    let (_server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    let words: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for (number, word) in words.iter().enumerate() {
        if number % 40 == 20 {
            line.cut();
        }
        let count = timeout(SOON, desk.say(word)).await.expect("the call hangs").unwrap();
        assert_eq!(count, number + 1);
    }
    assert_eq!(house.log(), words);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was() {
    let house = Arc::<House>::default();
    let (_server, line, client) = all(&house).await;
    let line = Arc::new(line);
    let cut = line.clone();
    let numbers = stream::iter(0..20_000_u32).inspect(move |number| {
        if number % 4_000 == 3_999 {
            cut.cut();
        }
    });
    let sum = timeout(SOON, client.client::<DeskClient>().sum(numbers)).await.expect("the call hangs").unwrap();
    assert_eq!(sum, (0..20_000).sum::<u32>());
}

#[tokio::test]
async fn a_server_calls_a_client_back_that_was_away() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    unplug(&line, &client, &session).await;
    let bell = session.client::<super::BellClient>();
    let ring = tokio::spawn(async move { bell.ring(7).await });
    line.open(server.local_addr());
    assert_eq!(timeout(SOON, ring).await.unwrap().unwrap().unwrap(), 7);
    connected(&client).await;
}

#[tokio::test]
async fn a_client_tells_that_its_link_was_lost_and_that_the_session_goes_on() {
    let house = Arc::<House>::default();
    let (_server, line, client) = all(&house).await;
    let mut events = client.events();
    line.cut();
    let lost = timeout(SOON, events.next()).await.unwrap();
    assert!(matches!(lost, Some(ClientEvent::LinkLost { reason: ConnectionError::Lost(_) })), "{lost:?}");
    let resumed = timeout(SOON, events.next()).await.unwrap();
    assert!(matches!(resumed, Some(ClientEvent::Resumed { away }) if away < SOON), "{resumed:?}");
}

#[tokio::test]
async fn a_server_that_was_restarted_gives_a_new_session() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let desk: DeskClient = client.client();
    let mut events = client.events();
    let held = hold(&desk, "held");
    house.until_said("held").await;
    let other = serve_with(&house, config()).await;
    line.close();
    away(&client).await;
    line.open(other.local_addr());
    let status = timeout(SOON, held).await.unwrap().unwrap().unwrap_err();
    assert_eq!(status.execution(), rpc_core::Execution::Unknown, "{status}");
    assert_eq!(timeout(SOON, desk.say("again")).await.unwrap().unwrap(), 2);
    let told: Vec<_> = events.by_ref().take(3).collect().await;
    let expected = matches!(
        told[..],
        [
            ClientEvent::LinkLost { .. },
            ClientEvent::SessionLost { unknown: 1, not_executed: 0, .. },
            ClientEvent::SessionStarted { .. }
        ]
    );
    assert!(expected, "{told:?}");
    drop(server);
}

#[tokio::test]
async fn a_client_that_is_closed_while_it_is_away_says_so_over_another_link() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    unplug(&line, &client, &session).await;
    let closing = client.close();
    line.open(server.local_addr());
    let closed = timeout(SOON, session.closed()).await.unwrap();
    assert!(matches!(closed, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }), "{closed:?}");
    timeout(SOON, closing).await.unwrap();
    timeout(SOON, client.closed()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_ends_a_session_whose_client_is_away_tells_it_later() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    unplug(&line, &client, &session).await;
    drop(session.close());
    line.open(server.local_addr());
    let closed = timeout(SOON, client.closed()).await.unwrap();
    let reason = closed.session().unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }), "{reason:?}");
}

#[tokio::test]
async fn a_session_without_a_link_ends_when_its_time_is_over() {
    let house = Arc::<House>::default();
    let short = Config::builder().resume_window(Duration::from_millis(50)).build().unwrap();
    let server = serve_with(&house, short).await;
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    let session = only(&server);
    line.close();
    away(&client).await;
    let closed = timeout(SOON, session.closed()).await.unwrap();
    assert!(matches!(closed, ConnectionError::Lost(_)), "{closed:?}");
    until("the session has left", || server.sessions().is_empty()).await;
    line.open(server.local_addr());
    assert_eq!(timeout(SOON, client.client::<DeskClient>().say("hello")).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn without_a_window_at_the_server_a_session_ends_with_its_link() {
    let house = Arc::<House>::default();
    let config = Config::builder().resume_window(Duration::ZERO).build().unwrap();
    let server = serve_with(&house, config).await;
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    let mut events = client.events();
    line.cut();
    let lost = timeout(SOON, events.next()).await.unwrap();
    assert!(matches!(lost, Some(ClientEvent::SessionLost { .. })), "{lost:?}");
}

#[tokio::test]
async fn sessions_of_clients_without_an_identity_end_with_their_links_unless_the_server_says_otherwise() {
    let house = Arc::<House>::default();
    let server = super::serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    let mut events = client.events();
    line.cut();
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { .. }));
}

#[tokio::test]
async fn a_client_without_settings_goes_on_with_its_session() {
    let service = super::Desk::serve(super::Clerk::default());
    let server = Server::builder().service(service).authenticator(Names).listen("127.0.0.1:0").await.unwrap();
    let line = Line::to(server.local_addr()).await;
    let connecting = connect(format!("ws://{}/", line.addr())).callback(super::Bell::serve(super::Counter::default()));
    let client = connecting.header("authorization", "Bearer ada").await.unwrap();
    let desk: DeskClient = client.client();
    assert_eq!(desk.sum(stream::empty()).await.unwrap(), 0);
    let before = client.session().id();
    line.cut();
    assert_eq!(timeout(SOON, desk.say("hello")).await.unwrap().unwrap(), 1);
    assert_eq!(client.session().id(), before);
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so_at_once_although_another_client_is_away() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    unplug(&line, &client, &session).await;
    let present = client_of(&server).await;
    let shutdown = tokio::spawn(async move { server.shutdown().await });
    // A session that lingers does so for ten seconds, and a drain takes thirty at most.
    let closed = timeout(Duration::from_secs(8), present.session().closed()).await.expect("it has to wait");
    assert!(closed.is_shut_down(), "{closed:?}");
    shutdown.abort();
}

/// A client without a line between.
async fn client_of(server: &ServerHandle) -> Client {
    client(server.local_addr()).config(config()).await.unwrap()
}

#[tokio::test]
async fn a_session_belongs_to_the_one_who_has_shown_the_same_name() {
    let house = Arc::<House>::default();
    let service = super::Desk::serve(super::Clerk(house.clone()));
    let name = Arc::new(Mutex::new("ada"));
    let builder = Server::builder().service(service).config(config()).authenticator(Names);
    let server = builder.listen("127.0.0.1:0").await.unwrap();
    let line = Line::to(server.local_addr()).await;
    let shown = name.clone();
    let client = resuming(&line).credentials(move || {
        let name = *shown.lock().unwrap();
        async move { Ok::<_, std::io::Error>(Credential::bearer(name)) }
    });
    let client = client.await.unwrap();
    let desk: DeskClient = client.client();
    assert_eq!(desk.sum(stream::empty()).await.unwrap(), 0);
    let mut events = client.events();
    line.cut();
    lost_and_resumed(&mut events).await;
    let adas = only(&server);
    *name.lock().unwrap() = "bob";
    line.cut();
    assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionStarted { .. }));
    assert_eq!(adas.principal().unwrap().name(), "ada", "it waits for her, untouched");
    assert_eq!(adas.state(), SessionState::Detached);
    assert_eq!(server.sessions().len(), 2);
}

/// Takes each credential for a name.
struct Names;

#[rpc_core::async_trait]
impl Authenticator for Names {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        Ok(Identity::new(if credential.matches("ada") { "ada" } else { "bob" }))
    }
}

/// Answers as it was told.
struct Door(Result<Resume, Status>, Arc<Mutex<Vec<String>>>);

#[rpc_core::async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        session.set_principal("ada".into());
        Ok(())
    }

    async fn resuming(&self, session: &Session, info: &ConnectionInfo) -> Result<Resume, Status> {
        let name = session.principal().map(|principal| principal.name().to_owned());
        self.1.lock().unwrap().push(format!("{name:?} {}", info.peer_addr.is_some()));
        self.0.clone()
    }
}

#[tokio::test]
async fn a_hook_decides_who_may_go_on_with_a_session() {
    for (answer, goes_on) in [
        (Ok(Resume::Allow), true),
        // The identity was given by the program, and not shown.
        (Ok(Resume::NoOpinion), false),
        (Err(Status::permission_denied("no")), false),
    ] {
        let house = Arc::<House>::default();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let service = super::Desk::serve(super::Clerk(house.clone()));
        let builder = Server::builder()
            .service(service)
            .config(config())
            .resume_anonymous(true)
            .hooks(Door(answer.clone(), asked.clone()));
        let server = builder.listen("127.0.0.1:0").await.unwrap();
        let line = Line::to(server.local_addr()).await;
        let client = resuming(&line).await.unwrap();
        assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
        let mut events = client.events();
        line.cut();
        assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
        let next = timeout(SOON, events.next()).await.unwrap().unwrap();
        assert_eq!(matches!(next, ClientEvent::Resumed { .. }), goes_on, "{answer:?}: {next:?}");
        assert_eq!(*asked.lock().unwrap(), ["Some(\"ada\") true"], "{answer:?}");
        for session in server.sessions().iter() {
            assert_eq!(session.principal(), Some("ada".into()), "{answer:?}: a session keeps its identity");
        }
    }
}

/// Never answers, and has its senders dropped with its futures.
struct Slow(tokio::sync::mpsc::UnboundedSender<tokio::sync::oneshot::Receiver<()>>);

#[rpc_core::async_trait]
impl SessionHooks for Slow {
    async fn resuming(&self, _: &Session, _: &ConnectionInfo) -> Result<Resume, Status> {
        let (_held, dropped) = tokio::sync::oneshot::channel();
        let _ = self.0.send(dropped);
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_does_not_wait_for_a_hook_that_decides() {
    let house = Arc::<House>::default();
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    let patient = Config::builder()
        .resume_window(Duration::from_secs(60))
        .hook_timeout(Duration::from_secs(600))
        .build()
        .unwrap();
    let service = super::Desk::serve(super::Clerk(house.clone()));
    let server = Server::builder().service(service).config(patient).resume_anonymous(true).hooks(Slow(asked));
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    line.cut();
    let dropped = timeout(SOON, asks.recv()).await.unwrap().unwrap();
    let shutdown = tokio::spawn(async move { server.shutdown().await });
    timeout(SOON, dropped).await.expect("the hook runs on").unwrap_err();
    shutdown.abort();
}

async fn narrow(house: &Arc<House>, places: usize) -> ServerHandle {
    let service = super::Desk::serve(super::Clerk(house.clone()));
    let builder = Server::builder().service(service).config(config()).resume_anonymous(true).max_connections(places);
    builder.listen("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn a_client_comes_back_to_a_server_that_is_full_without_it() {
    let house = Arc::<House>::default();
    let server = narrow(&house, 1).await;
    let line = Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    let (before, mut events) = (client.session().id(), client.events());
    for _ in 0..3 {
        line.cut();
        lost_and_resumed(&mut events).await;
    }
    assert_eq!(client.session().id(), before);
    let other = connect(format!("ws://{}/", server.local_addr())).config(config());
    assert!(other.await.is_err(), "the place is taken again");
}

#[tokio::test]
async fn there_are_not_more_sessions_without_a_link_than_places() {
    let house = Arc::<House>::default();
    let server = narrow(&house, 2).await;
    let mut clients = Vec::new();
    for number in 1..=4_usize {
        let line = Line::to(server.local_addr()).await;
        let client = resuming(&line).await.unwrap();
        assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
        line.close();
        away(&client).await;
        clients.push((client, line));
        let detached = || {
            let sessions = server.sessions();
            let states: Vec<_> = sessions.iter().map(|session| session.state()).collect();
            states.len() == number.min(2) && states.iter().all(|state| *state == SessionState::Detached)
        };
        until("the youngest beyond the places is given up", detached).await;
    }
}
