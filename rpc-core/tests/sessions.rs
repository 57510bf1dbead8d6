//! What a session's handle and driver promise with any hosting.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use rpc_core::{
    __internals::wire::PacketHeader,
    CloseCode, Code, Config, ConnectionError, ConnectionInfo, Context, Hosting, Principal, Session, SessionHooks,
    SessionId, SessionState, Status, TimeLimit, Timeout, async_trait,
    intercept::{CallInfo, Interceptor, Next, Reply},
    session::{
        Driver, Greeting, Handshake, Transport, WebSocket, connect, connect_in_memory, connect_in_memory_with,
        connect_with, memory,
    },
};
use rpc_testing::{LIMITS, Wrapped, hello, packet, until};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

#[tokio::test(start_paused = true)]
async fn drivers_over_different_transports_are_one_type() {
    let (hosting, config) = (Hosting::default(), Config::default());
    let info = ConnectionInfo::default;
    let told = Arc::<AtomicUsize>::default();
    let (near, far) = memory();
    let (near, far) = (Wrapped::new(near, &told), Wrapped::new(far, &told));
    let (io, other_io) = tokio::io::duplex(4096);
    let (ws_server, ws_client) =
        (WebSocket::server(io, Bytes::new(), &config), WebSocket::client(other_io, Bytes::new(), &config));
    let clients = [connect(far, &hosting, &config, info()), connect(ws_client, &hosting, &config, info())];
    let (clients, drivers): (Vec<_>, Vec<Driver>) = clients.into_iter().unzip();
    let mut running: Vec<_> = drivers.into_iter().map(tokio::spawn).collect();
    let handshakes: [Handshake; 2] =
        [Handshake::read(near, &config).await.unwrap(), Handshake::read(ws_server, &config).await.unwrap()];
    let servers = handshakes.into_iter().map(|handshake| handshake.accept(&hosting, info()));
    let (servers, drivers): (Vec<_>, Vec<Driver>) = servers.unzip();
    running.extend(drivers.into_iter().map(tokio::spawn));
    for session in clients.iter().chain(&servers) {
        session.established().await.unwrap();
    }
    assert_eq!(told.load(Ordering::SeqCst), 2, "each end of the wrapped pair was told once");
    clients[0].close();
    clients[1].close();
    for driver in running {
        driver.await.unwrap();
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Badge(u32);

#[rpc_core::callback]
trait Visitor {
    #[rpc(oneway)]
    async fn next_please(&self);
}

struct Ann;

impl Visitor for Ann {
    async fn next_please(&self) {}
}

#[rpc_core::service(callback = Visitor)]
trait Desk {
    /// What a handler finds out about its caller: session, principal, badge.
    async fn who(&self, cx: &Context<VisitorClient>) -> (String, Option<String>, Option<u32>);
    /// Takes an hour.
    async fn deliberate(&self) -> u32;
}

struct Clerk;

impl Desk for Clerk {
    async fn who(&self, cx: &Context<VisitorClient>) -> (String, Option<String>, Option<u32>) {
        let badge = cx.info().extensions.get::<Badge>();
        assert_eq!(badge, cx.extension::<Badge>());
        let principal = cx.principal().map(|principal| principal.name().to_owned());
        (cx.session_id().to_string(), principal, badge.map(|badge| badge.0))
    }

    async fn deliberate(&self) -> u32 {
        sleep(Duration::from_secs(3600)).await;
        42
    }
}

#[tokio::test(start_paused = true)]
async fn facts_of_a_connection_are_values_that_outlive_the_session() {
    let hosting = Hosting::builder().service(Clerk.serve()).build().unwrap();
    let mut extensions = http::Extensions::new();
    extensions.insert(Badge(7));
    let info = ConnectionInfo::default().with_extensions(extensions);
    let (near, far) = memory();
    let config = Config::default();
    let visitor = Hosting::builder().service(Ann.serve()).build().unwrap();
    let (client, other) = connect(far, &visitor, &config, ConnectionInfo::default());
    let other = tokio::spawn(other);
    let (server, driver) = Handshake::read(near, &config).await.unwrap().accept(&hosting, info);
    let drivers = [tokio::spawn(driver), other];
    client.established().await.unwrap();

    let (info, before) = (server.info(), server.principal());
    assert!(server.set_principal(Principal::new("ann")));
    assert_eq!((before, server.principal()), (None, Some(Principal::new("ann"))));
    let (session, principal, badge) = client.client::<DeskClient>().who().await.unwrap();
    assert_eq!(session.parse(), Ok(server.id()), "the text of an id leads back to it");
    assert_eq!((principal.as_deref(), badge), (Some("ann"), Some(7)));

    client.close();
    for driver in drivers {
        driver.await.unwrap();
    }
    drop((server, client));
    assert_eq!(info.extensions.get(), Some(&Badge(7)));
}

/// Notes in which sessions calls are made and served.
struct Notes(Arc<Mutex<Vec<Option<SessionId>>>>);

#[async_trait]
impl Interceptor for Notes {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        assert_eq!(call.info().is_some(), call.session_id().is_some());
        let reply = next.run(call).await;
        self.0.lock().unwrap().push(call.session_id());
        reply
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_and_served_in_sessions_that_interceptors_can_name() {
    let notes = Arc::<Mutex<Vec<_>>>::default();
    let served = Hosting::builder().service(Clerk.serve()).interceptor(Notes(notes.clone())).build().unwrap();
    let made = Hosting::builder().service(Ann.serve()).interceptor(Notes(notes.clone())).build().unwrap();
    let (server, client) = connect_in_memory(&served, &made);
    client.client::<DeskClient>().who().await.unwrap();
    assert_eq!(*notes.lock().unwrap(), [Some(server.id()), Some(client.id())]);
    assert_ne!(server.id(), client.id());
}

/// Both ends, with a call under way that takes an hour; a drain may take longer.
async fn deliberating() -> (Session, Session, JoinHandle<Result<u32, Status>>) {
    let long = Duration::from_secs(3 * 3600);
    let config = Config::builder().call_timeout(long).drain_grace(long).drain_timeout(long).build().unwrap();
    let desk = Hosting::builder().service(Clerk.serve()).build().unwrap();
    let visitor = Hosting::builder().service(Ann.serve()).build().unwrap();
    let (server, client) = connect_in_memory_with(&desk, &visitor, &config);
    let stub: DeskClient = client.client();
    stub.who().await.unwrap();
    let call = tokio::spawn(async move { stub.deliberate().await });
    until("the call is under way", || server.stats().handlers == 1).await;
    (server, client, call)
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_awaited_and_goes_on_where_it_is_not() {
    for awaited in [true, false] {
        let (server, client, call) = deliberating().await;
        let begun = Instant::now();
        let mut drain = server.drain();
        assert!((&mut drain).now_or_never().is_none(), "a call is under way");
        let reason = if awaited {
            drain.await
        } else {
            drop(drain);
            server.closed().await
        };
        assert_eq!(reason, ConnectionError::ShutDown);
        assert_eq!(call.await.unwrap(), Ok(42), "the drain has let the call finish");
        assert!(begun.elapsed() >= Duration::from_secs(3000), "{:?}", begun.elapsed());
        assert!(matches!(client.closed().await, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }));
        assert_eq!(server.drain().await, ConnectionError::ShutDown, "after the end there is nothing to wait for");
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_lets_no_call_finish_and_says_that_the_other_side_may_come_back() {
    let (server, client, call) = deliberating().await;
    let begun = Instant::now();
    assert_eq!(server.abort().await, ConnectionError::ShutDown);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(matches!(client.closed().await, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_drain_ends_although_the_driver_does_not_run() {
    let config = Config::builder().drain_timeout(Duration::from_secs(7)).build().unwrap();
    let (near, mut far) = memory();
    far.start_send(packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, Vec::new())])).unwrap();
    let handshake = Handshake::read(near, &config).await.unwrap();
    let (session, _driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    let begun = Instant::now();
    let ConnectionError::TimedOut(timeout) = session.drain().await else { panic!("nothing has ended the session") };
    assert_eq!(timeout, Timeout::new(TimeLimit::Drain, Duration::from_secs(7)));
    assert!(timeout.to_string().contains("7s (Config::drain_timeout)"), "{timeout}");
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[rpc_core::service]
trait Stuck {
    async fn never(&self) -> u32;
}

struct Sloth;

impl Stuck for Sloth {
    async fn never(&self) -> u32 {
        std::future::pending().await
    }
}

/// A session that could be resumed, whose client has gone during a call.
struct Cut {
    client: Session,
    server: Session,
    server_driver: JoinHandle<()>,
    call: JoinHandle<Result<u32, Status>>,
}

impl Cut {
    async fn begin(hosting: &Hosting) -> Self {
        let config = Config::builder().resume_window(Duration::from_secs(60)).build().unwrap();
        let info = ConnectionInfo::default;
        let (near, far) = memory();
        let resuming = Greeting { resumes: true, ..Greeting::default() };
        let (client, client_driver) = connect_with(resuming, far, &Hosting::default(), &config, info());
        let client_driver = tokio::spawn(client_driver);
        let (server, server_driver) = Handshake::read(near, &config).await.unwrap().accept(hosting, info());
        let server_driver = tokio::spawn(server_driver);
        client.established().await.unwrap();
        let stub = client.client::<StuckClient>();
        let call = tokio::spawn(async move { stub.never().await });
        until("the call is served", || server.stats().connection.calls_served == 1).await;
        client_driver.abort();
        Self { client, server, server_driver, call }
    }
}

/// The runtime of a session may end before the runtime of its callers.
#[tokio::test(start_paused = true)]
async fn calls_end_when_the_driver_of_a_session_that_could_be_resumed_is_dropped() {
    let hosting = Hosting::builder().service(Sloth.serve()).build().unwrap();
    let Cut { client, call, .. } = Cut::begin(&hosting).await;
    let ended = tokio::time::timeout(Duration::from_secs(3600), call).await.expect("the call hangs").unwrap();
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(client.closed().await.is_lost());
}

/// Tells when its session has ended.
struct Bell(Arc<tokio::sync::Semaphore>);

#[async_trait]
impl SessionHooks for Bell {
    async fn closed(&self, _: &Session, _: &ConnectionError) {
        self.0.add_permits(1);
    }
}

#[tokio::test(start_paused = true)]
async fn closed_hooks_do_not_wait_for_a_peer_that_is_away_to_come_for_the_last_words() {
    let rung = Arc::new(tokio::sync::Semaphore::new(0));
    let hosting = Hosting::builder().service(Sloth.serve()).hooks(Bell(rung.clone())).build().unwrap();
    let Cut { server, server_driver, call, .. } = Cut::begin(&hosting).await;
    call.await.unwrap().unwrap_err();
    until("the server has noticed", || server.state() == SessionState::Detached).await;
    let ended = Instant::now();
    let closed = server.close();
    rung.acquire().await.unwrap().forget();
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    assert_eq!(server.state(), SessionState::Closing, "the last words wait");
    assert_eq!(closed.await, ConnectionError::ClosedLocally);
    assert!(ended.elapsed() >= Duration::from_secs(9), "{:?}", ended.elapsed());
    server_driver.await.unwrap();
    assert_eq!(rung.available_permits(), 0, "the hook has run once");
}
