//! Links that a test hands over one by one, in memory and in virtual time.

use std::{
    future::IntoFuture,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use rpc_client::{Client, ClientEvent, ClientState, ConnectBuilder, Reconnect, connect};
use rpc_core::{CloseCode, Config, ConnectionError, ConnectionInfo, Credential, Identity, Session};
use rpc_server::{AuthError, Authenticator, Server, async_trait};
use rpc_testing::{Lines, SOON, pass};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::AbortHandle,
    time::timeout,
};
use tracing::Level;

use super::{Bell, Clerk, Counter, Desk, DeskClient, House, closed, events::next};

const SECOND: Duration = Duration::from_secs(1);

fn resumable() -> Config {
    Config::builder().resume_window(60 * SECOND).build().unwrap()
}

fn server() -> rpc_server::ServerBuilder {
    Server::builder().service(Desk::serve(Clerk(Arc::<House>::default()))).config(resumable()).resume_anonymous(true)
}

/// A pace at which many attempts fit into the time of the last words, were they not to come ever more slowly.
fn pace() -> Reconnect {
    Reconnect::default().initial_delay(SECOND / 10).min_uptime(Duration::ZERO)
}

/// The ends of the links that a client has asked for.
struct Dials {
    far: UnboundedReceiver<DuplexStream>,
    count: Arc<AtomicUsize>,
}

/// A client that is not yet connected, and its dials.
fn dialling(config: Config) -> (ConnectBuilder<Client>, Dials) {
    let (dialled, far) = unbounded_channel();
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    let open = move || {
        counted.fetch_add(1, SeqCst);
        let (near, far) = duplex(64 * 1024);
        // A test that has ended answers no more dials.
        let opened = dialled.send(far).map(|()| near).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        async move { opened }
    };
    let builder = connect("ws://localhost/").callback(Bell::serve(Counter::default()));
    (builder.over_with(open).config(config).reconnect(pace()), Dials { far, count })
}

impl Dials {
    async fn next(&mut self) -> DuplexStream {
        timeout(SOON, self.far.recv()).await.expect("the client does not dial").unwrap()
    }

    /// Leads the next link to this server, until the link is cut.
    async fn lead_to(&mut self, server: &Server) -> AbortHandle {
        lead(self.next().await, server)
    }
}

fn lead(mut far: DuplexStream, server: &Server) -> AbortHandle {
    let (mut near, at_server) = duplex(64 * 1024);
    server.serve_stream(at_server, ConnectionInfo::default()).unwrap();
    tokio::spawn(async move { copy_bidirectional(&mut far, &mut near).await }).abort_handle()
}

/// A client whose session can be resumed, the session at its server, and the link between them.
async fn joined(builder: ConnectBuilder<Client>, dials: &mut Dials, server: &Server) -> (Client, Session, AbortHandle) {
    let (client, link) = tokio::join!(builder, dials.lead_to(server));
    let client = client.unwrap();
    // By then each end knows that the other one knows of the session.
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    let session = server.sessions().iter().next().unwrap();
    (client, session, link)
}

async fn link_lost(events: &mut (impl StreamExt<Item = ClientEvent> + Unpin)) -> ConnectionError {
    match next(events).await {
        ClientEvent::LinkLost { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn last_words_are_tried_again_ever_more_slowly() {
    let (builder, mut dials) = dialling(resumable());
    let server = server().build().unwrap();
    let (client, _, link) = joined(builder, &mut dials, &server).await;
    let mut events = client.events();
    link.abort();
    link_lost(&mut events).await;
    drop(client.close());
    // Each link ends at once.
    let count = dials.count.clone();
    let failing = tokio::spawn(async move { while dials.far.recv().await.is_some() {} });
    closed(&client).await;
    failing.abort();
    let count = count.load(SeqCst);
    assert!((3..30).contains(&count), "{count} dials in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn last_words_wait_as_long_as_the_server_asks_for() {
    let (builder, mut dials) = dialling(resumable());
    let server = server().build().unwrap();
    let (client, _, link) = joined(builder, &mut dials, &server).await;
    let mut events = client.events();
    link.abort();
    link_lost(&mut events).await;
    drop(client.close());
    let count = dials.count.clone();
    let busy = tokio::spawn(async move {
        while let Some(mut far) = dials.far.recv().await {
            let _ = far.read(&mut [0; 4096]).await;
            let _ = far.write_all(b"HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    closed(&client).await;
    busy.abort();
    assert_eq!(count.load(SeqCst), 2, "the first link, and one attempt");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_during_an_attempt_does_not_say_that_its_session_goes_on() {
    let (builder, mut dials) = dialling(resumable());
    let server = server().build().unwrap();
    let (client, session, link) = joined(builder, &mut dials, &server).await;
    let (mut events, states) = (client.events(), client.states());
    link.abort();
    link_lost(&mut events).await;
    // The attempt is under way, and its link leads nowhere before the client is closed.
    let attempt = dials.next().await;
    drop(client.close());
    let _first = lead(attempt, &server);
    let at_server = server.clone();
    tokio::spawn(async move {
        let mut links = Vec::new();
        while let Some(far) = dials.far.recv().await {
            links.push(lead(far, &at_server));
        }
    });
    let told = timeout(SOON, events.collect::<Vec<_>>()).await.expect("the client is not closed");
    assert!(!told.iter().any(|event| matches!(event, ClientEvent::Resumed { .. })), "{told:?}");
    let states: Vec<_> = states.skip(1).collect().await;
    assert!(!states.iter().any(ClientState::is_connected), "{states:?}");
    let reason = timeout(SOON, session.closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_fail_all_the_time_do_not_flood_the_log() {
    Lines::keep();
    let server = server().build().unwrap();
    for config in [resumable(), Config::default()] {
        let (builder, mut dials) = dialling(config);
        let quick = pace().initial_delay(SECOND / 100).max_delay(SECOND / 100);
        let (client, link) = tokio::join!(builder.reconnect(quick), dials.lead_to(&server));
        let client = client.unwrap();
        link.abort();
        for _ in 0..40 {
            drop(dials.next().await);
        }
        drop(client);
    }
    let (builder, mut dials) = dialling(resumable());
    let first = tokio::spawn(builder.reconnect(pace().retry_initial(true).max_delay(SECOND / 100)).into_future());
    for _ in 0..40 {
        drop(dials.next().await);
    }
    first.abort();
    let lines = Lines::read(Level::INFO);
    let count = lines.iter().filter(|line| line.contains("attempt is in") || line.contains("is tried again")).count();
    // There are three kinds, and other tests may have written some of theirs.
    assert!(count <= 15, "{lines:#?}");
}

/// Gives each identity for the time that the credential says, in seconds; none if there is no number.
struct Clock;

#[async_trait]
impl Authenticator for Clock {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        let seconds = credential.expose_text().unwrap_or_default().parse();
        let seconds = seconds.map_err(|_| AuthError::unauthenticated("no number"))?;
        Ok(Identity::new("ada").expires_in(Duration::from_secs(seconds)))
    }
}

#[tokio::test(start_paused = true)]
async fn the_identity_of_the_newest_link_is_renewed_in_time() {
    let (builder, mut dials) = dialling(resumable());
    let server = server().authenticator(Clock).build().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let source = move || {
        let seconds = if counted.fetch_add(1, SeqCst) == 0 { 3600 } else { 10 };
        async move { Ok::<_, io::Error>(Credential::bearer(seconds.to_string())) }
    };
    let (client, session, link) = joined(builder.credentials(source), &mut dials, &server).await;
    let mut events = client.events();
    pass(SECOND).await;
    link.abort();
    link_lost(&mut events).await;
    let _link = dials.lead_to(&server).await;
    assert!(matches!(next(&mut events).await, ClientEvent::Resumed { .. }));
    pass(60 * SECOND).await;
    assert!(session.identity().unwrap().time_left().unwrap() > SECOND, "it was renewed in time");
    assert!(asked.load(SeqCst) > 5);
    drop(client);
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { .. }), "the link has stayed");
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_has_expired_costs_the_link_and_a_fresh_credential_goes_on() {
    let (builder, mut dials) = dialling(resumable());
    let server = server().authenticator(Clock).build().unwrap();
    let (asked, has_fresh) = (AtomicUsize::new(0), Arc::<AtomicBool>::default());
    let fresh = has_fresh.clone();
    let source = move || {
        let credential = match asked.fetch_add(1, SeqCst) {
            0 => Ok(Credential::bearer("5")),
            _ if fresh.load(SeqCst) => Ok(Credential::bearer("3600")),
            _ => Err(io::Error::other("there is no other token yet")),
        };
        async move { credential }
    };
    let builder = builder.credentials(source).reconnect(pace().min_uptime(3600 * SECOND));
    let (client, session, _link) = joined(builder, &mut dials, &server).await;
    let mut events = client.events();
    let reason = link_lost(&mut events).await;
    assert!(reason.is_expired(), "{reason}");
    has_fresh.store(true, SeqCst);
    let _link = dials.lead_to(&server).await;
    assert!(matches!(next(&mut events).await, ClientEvent::Resumed { .. }));
    assert_eq!(server.sessions().iter().next().unwrap().id(), session.id(), "it is the same session");
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_expires_on_two_links_in_a_row_closes_the_client() {
    // The client has no other credential than this.
    let joined_for = |seconds: &str| {
        let (builder, dials) = dialling(resumable());
        let builder = builder.header("authorization", format!("Bearer {seconds}"));
        (builder.reconnect(pace().min_uptime(3600 * SECOND)), dials)
    };
    let server = server().authenticator(Clock).build().unwrap();
    let (builder, mut dials) = joined_for("5");
    let (client, _, _link) = joined(builder, &mut dials, &server).await;
    let mut events = client.events();
    link_lost(&mut events).await;
    let _link = dials.lead_to(&server).await;
    assert!(matches!(next(&mut events).await, ClientEvent::Resumed { .. }));
    let error = closed(&client).await;
    assert!(error.session().is_some_and(ConnectionError::is_expired), "{error}");
    assert_eq!(dials.count.load(SeqCst), 2);

    // One that has expired once, at a server that then knows nothing of the session, has expired once.
    let other = Server::builder().service(Desk::serve(Clerk(Arc::<House>::default()))).build().unwrap();
    let (builder, mut dials) = joined_for("5");
    let (client, link) = tokio::join!(builder, dials.lead_to(&server));
    let (client, _link) = (client.unwrap(), link);
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    let mut events = client.events();
    link_lost(&mut events).await;
    let _link = dials.lead_to(&other).await;
    assert!(matches!(next(&mut events).await, ClientEvent::SessionLost { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::SessionStarted { .. }));
    assert!(client.state().is_connected());
}
