//! When a client is closed for good, and when it is not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt, StreamExt};
use rpc_client::{
    Client, ClientError, ClientState, Code, ConnectError, ConnectionError, Credential, Reconnect, Status, connect,
};
use rpc_core::{Config, Identity};
use rpc_server::{AuthError, Authenticator, ConnectionInfo, Server, ServerHandle, async_trait};
use rpc_testing::{SOON, until};
use tokio::time::{Duration, timeout};

use super::{
    Bell, Clerk, Counter, Desk, DeskClient, House, all, away, client, closed, connected, only, quickly, serve,
};
use crate::line::Line;

#[tokio::test]
async fn a_session_that_either_side_closes_is_the_last() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    only(&server).close().await;
    let error = closed(&client).await;
    assert!(matches!(&error, ClientError::Session(ConnectionError::ClosedByPeer { .. })), "{error}");
    assert!(matches!(client.state(), ClientState::Closed(_)));
    let status = client.client::<DeskClient>().say("late").await.unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("connect again"), "{status}");

    let client = super::client(line.addr()).await.unwrap();
    client.session().close().await;
    assert!(matches!(closed(&client).await, ClientError::Session(ConnectionError::ClosedLocally)));
    assert_eq!(line.accepted(), 2);
}

#[tokio::test]
async fn a_client_can_be_closed_while_there_is_no_session() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    line.close();
    away(&client).await;
    client.close().await;
    assert!(matches!(closed(&client).await, ClientError::Session(ConnectionError::ClosedLocally)));
    let status = client.client::<DeskClient>().say("late").now_or_never().unwrap().unwrap_err();
    assert!(status.message().contains("the program has closed it"), "{status}");
    line.open(server.local_addr());
    assert!(server.sessions().is_empty(), "it does not dial any more");
}

#[tokio::test]
async fn dropping_the_last_stub_ends_the_session_and_the_dialling() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let (desk, states) = (client.client::<DeskClient>(), client.states());
    drop(client);
    assert_eq!(desk.say("one").await, Ok(1));
    line.cut();
    away(&Client::of(&desk).unwrap()).await;
    assert_eq!(desk.say("two").await, Ok(2), "a stub alone keeps its client");
    drop(desk);
    until("the session is over at the server", || server.sessions().is_empty()).await;
    let last = timeout(SOON, states.collect::<Vec<_>>()).await.unwrap();
    assert!(matches!(last.last(), Some(ClientState::Closed(_))), "{last:?}");

    let client = super::client(line.addr()).await.unwrap();
    line.close();
    away(&client).await;
    let states = client.states();
    drop(client);
    let last = timeout(SOON, states.collect::<Vec<_>>()).await.unwrap();
    assert!(matches!(last.last(), Some(ClientState::Closed(_))), "{last:?}");
}

#[tokio::test]
async fn a_server_that_is_shut_down_is_waited_for() {
    let house = Arc::<House>::default();
    let (old, line, client) = all(&house).await;
    old.shutdown().await;
    away(&client).await;
    let new = serve(&house).await;
    line.open(new.local_addr());
    connected(&client).await;
    assert_eq!(client.client::<DeskClient>().say("one").await, Ok(1));
}

#[tokio::test]
async fn a_client_that_only_prepares_its_session_has_one() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let connecting = connect(format!("ws://{}/", line.addr())).callback(Counter::default().serve());
    let client = connecting.reconnect(Reconnect::never()).on_session(async |_| Ok(())).await.unwrap();
    line.cut();
    let error = closed(&client).await;
    assert!(matches!(error, ClientError::Session(ConnectionError::Lost(_))), "{error}");
    assert_eq!(line.accepted(), 1);
}

#[tokio::test]
async fn a_panic_in_the_programs_code_closes_the_client() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).reconnect(quickly().retry_if(|_| panic!("the rule of a test"))).await.unwrap();
    let desk: DeskClient = client.client();
    let (states, events) = (client.states(), client.events());
    line.close();
    let error = closed(&client).await;
    assert!(error.to_string().contains("panicked") && !error.to_string().contains("runtime"), "{error}");
    let status = desk.say("late").now_or_never().unwrap().unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("panicked"), "{status}");
    timeout(SOON, async { (states.count().await, events.count().await) }).await.expect("they do not end");
}

#[test]
fn a_client_whose_runtime_is_shut_down_is_closed() {
    let house = Arc::<House>::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(async {
        let server = serve(&house).await;
        let line = Line::to(server.local_addr()).await;
        let client = client(line.addr()).await.unwrap();
        line.close();
        away(&client).await;
        client
    });
    drop(runtime);
    let error = client.closed().now_or_never().expect("the client is not closed");
    assert!(error.to_string().contains("runtime") && error.to_string().contains("client.close()"), "{error}");
    assert!(!error.to_string().contains("panicked"), "{error}");
    let status = client.client::<DeskClient>().say("late").now_or_never().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

/// A server that lets a client in if `lets_in` says so.
async fn guarded(house: &Arc<House>, lets_in: impl Fn() -> Result<(), Status> + Send + Sync + 'static) -> ServerHandle {
    struct Door<F>(F);

    #[async_trait]
    impl<F: Fn() -> Result<(), Status> + Send + Sync + 'static> rpc_client::SessionHooks for Door<F> {
        async fn opened(&self, _: &rpc_client::Session) -> Result<(), Status> {
            (self.0)()
        }
    }

    Server::builder()
        .service(Desk::serve(Clerk(house.clone())))
        .hooks(Door(lets_in))
        .listen("127.0.0.1:0")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_refusal_closes_the_client_unless_it_is_for_now() {
    let house = Arc::<House>::default();
    let tries = Arc::<AtomicUsize>::default();
    let counted = tries.clone();
    let server = guarded(&house, move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 | 3 => Ok(()),
        1 => Err(Status::unavailable("not now")),
        2 => Err(Status::resource_exhausted("not now")),
        _ => Err(Status::failed_precondition("never again")),
    })
    .await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).await.unwrap();
    line.cut();
    away(&client).await;
    connected(&client).await;
    line.cut();
    let error = closed(&client).await;
    assert!(error.to_string().contains("never again"), "{error}");
    assert_eq!(tries.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_credential_that_is_refused_is_asked_for_once_more() {
    let house = Arc::<House>::default();
    let tries = Arc::<AtomicUsize>::default();
    let counted = tries.clone();
    let server = guarded(&house, move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 | 2 => Ok(()),
        _ => Err(Status::unauthenticated("another token")),
    })
    .await;
    let line = Line::to(server.local_addr()).await;
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let token = move || {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, ConnectError>(Credential::bearer(format!("token {number}"))) }
    };
    let client = client(line.addr()).credentials(token).await.unwrap();
    line.cut();
    away(&client).await;
    connected(&client).await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    line.cut();
    let error = closed(&client).await;
    assert!(error.to_string().contains("another token"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 5, "a second refusal in a row is final");

    // Without a source, there is no other credential.
    tries.store(0, Ordering::Relaxed);
    let client = super::client(line.addr()).await.unwrap();
    line.cut();
    closed(&client).await;
    assert_eq!(tries.load(Ordering::Relaxed), 2);
}

/// Knows every client, some of them for a moment only, which is longer than a handshake.
struct Porter {
    clients: AtomicUsize,
    is_brief: fn(usize) -> bool,
}

#[async_trait]
impl Authenticator for Porter {
    async fn authenticate(&self, _: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        let identity = Identity::new("ada");
        let is_brief = (self.is_brief)(self.clients.fetch_add(1, Ordering::Relaxed));
        Ok(if is_brief { identity.expires_in(Duration::from_millis(500)) } else { identity })
    }
}

/// A client that shows the same credential each time, and a server that gives it such identities.
async fn expiring(is_brief: fn(usize) -> bool, min_uptime: Duration) -> (ServerHandle, Line, Client) {
    let porter = Porter { clients: AtomicUsize::new(0), is_brief };
    let desk = Desk::serve(Clerk::default());
    let server = Server::builder().service(desk).authenticator(porter).listen("127.0.0.1:0").await.unwrap();
    let line = Line::to(server.local_addr()).await;
    let connecting = client(line.addr())
        .header("authorization", "Bearer 4711")
        .config(Config::builder().resume_window(Duration::ZERO).build().unwrap());
    let client = connecting.reconnect(quickly().min_uptime(min_uptime)).await.unwrap();
    (server, line, client)
}

#[tokio::test]
async fn an_identity_that_expires_twice_in_a_row_closes_the_client() {
    let hour = Duration::from_secs(3600);
    let (_server, line, client) = expiring(|_| true, hour).await;
    let error = closed(&client).await;
    assert!(error.session().is_some_and(ConnectionError::is_expired), "{error}");
    assert_eq!(line.accepted(), 2);

    // The second session ends in another way.
    let (_server, line, client) = expiring(|number| number != 1, hour).await;
    until("there is a second session", || line.accepted() == 2).await;
    connected(&client).await;
    line.cut();
    closed(&client).await;
    assert_eq!(line.accepted(), 4);

    // Sessions that last long enough may expire as often as they like.
    let (_server, line, _client) = expiring(|_| true, Duration::ZERO).await;
    until("there are many sessions", || line.accepted() > 4).await;
}

#[tokio::test]
async fn a_contract_that_is_gone_closes_a_stub_of_it() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let line = Line::to(server.local_addr()).await;
    let url = format!("ws://{}/", line.addr());
    let connecting = <DeskClient as rpc_client::Connect>::connect(url);
    let desk = connecting.callback(Bell::serve(Counter::default())).reconnect(quickly()).await.unwrap();
    let other = Server::builder().listen("127.0.0.1:0").await.unwrap();
    line.lead_new_ones(other.local_addr());
    line.cut();
    let error = closed(&Client::of(&desk).unwrap()).await;
    assert!(
        matches!(&error, ClientError::Connect(error) if matches!(**error, ConnectError::NotHosted { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn the_program_can_decide_which_failures_are_final() {
    let house = Arc::<House>::default();
    let (server, line, _) = all(&house).await;
    let patient = quickly().retry_if(|error| !matches!(error, ConnectError::Ended { .. }));
    let client = client(line.addr()).reconnect(patient).await.unwrap();
    line.cut();
    away(&client).await;
    connected(&client).await;
    line.close();
    assert!(matches!(closed(&client).await, ClientError::Connect(_)));
    drop(server);
}

#[tokio::test]
async fn a_stream_of_the_application_makes_one_session() {
    let house = Arc::<House>::default();
    let server = serve(&house).await;
    let stream = async || tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
    let url = "ws://localhost/";
    let error = connect(url).over(stream().await).reconnect(quickly()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Reconnect { .. }) && !error.is_retryable(), "{error}");
    let setup = async |_| Ok(());
    let client =
        connect(url).callback(Counter::default().serve()).over(stream().await).on_session(setup).await.unwrap();
    assert_eq!(client.client::<DeskClient>().say("one").await, Ok(1));
    only(&server).abort().await;
    closed(&client).await;
}
