//! Servers in memory: what the builders set is there, and the network between the ends can be cut and held.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rpc_core::{
    CallOptions, Code, Config, ConnectionError, ConnectionInfo, Context, Credential, Identity, Session, SessionHooks,
    Status, Stub, TimeLimit, async_trait,
};
use rpc_server::{AuthError, Authenticator, ListenError, Server};
use rpc_test::{TestServer, settle};
use tokio::time::{Instant, sleep};

#[rpc_core::service]
trait Lab {
    async fn who(&self, cx: &Context<LabClient>) -> String;
    async fn wait(&self, hours: u64) -> u64;
}

struct Bench;

impl Lab for Bench {
    async fn who(&self, cx: &Context<LabClient>) -> String {
        cx.principal().map_or_else(|| "a stranger".to_owned(), |principal| principal.name().to_owned())
    }
    async fn wait(&self, hours: u64) -> u64 {
        sleep(Duration::from_secs(hours * 3600)).await;
        hours
    }
}

fn lab() -> TestServer {
    TestServer::start(Server::builder().service(Bench.serve())).unwrap()
}

/// Knows one token.
struct Guard;

#[async_trait]
impl Authenticator for Guard {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        if credential.matches("4711") { Ok(Identity::new("ada")) } else { Err(AuthError::unauthenticated("no")) }
    }
}

/// Lets in who shows a badge.
struct Door;

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let has_badge = session.info().headers.contains_key("x-badge");
        if has_badge { Ok(()) } else { Err(Status::permission_denied("show your badge")) }
    }
    async fn closed(&self, _: &Session, _: &ConnectionError) {}
}

#[tokio::test(start_paused = true)]
async fn a_test_is_three_lines_long() {
    let server = TestServer::start(Server::builder().service(Bench.serve())).unwrap();
    let lab = server.connect::<LabClient>().await.unwrap();
    assert_eq!(lab.who().await.unwrap(), "a stranger");
}

#[tokio::test(start_paused = true)]
async fn credentials_and_headers_are_read_as_behind_a_socket() {
    let server = TestServer::start(Server::builder().service(Bench.serve()).authenticator(Guard)).unwrap();
    let lab = server.connect::<LabClient>().header("authorization", "Bearer 4711").await.unwrap();
    assert_eq!(lab.who().await.unwrap(), "ada");
    for credential in [Credential::bearer("4711"), Credential::in_hello("4711")] {
        let source = move || {
            let credential = credential.clone();
            async move { Ok::<_, Status>(credential) }
        };
        let lab = server.connect::<LabClient>().credentials(source).await.unwrap();
        assert_eq!(lab.who().await.unwrap(), "ada");
    }
    let refused = server.connect::<LabClient>().header("authorization", "Bearer 1").await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    server.connect::<LabClient>().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn hooks_and_sessions() {
    let server = TestServer::start(Server::builder().service(Bench.serve()).hooks(Door)).unwrap();
    let refused = server.connect::<LabClient>().await.unwrap_err();
    assert!(refused.to_string().contains("show your badge"), "{refused}");
    let client = server.client().header("x-badge", "1").await.unwrap();
    assert_eq!(server.sessions().len(), 1);
    client.close().await;
    settle().await;
    assert!(server.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn hours_take_no_time() {
    let server = lab();
    let lab = server.connect::<LabClient>().await.unwrap();
    let patient = lab.with(CallOptions::new().timeout(Duration::from_secs(9 * 3600)));
    let before = Instant::now();
    assert_eq!(patient.wait(8).await, Ok(8));
    assert_eq!(before.elapsed().as_secs() / 3600, 8);
    assert_eq!(patient.wait(10).await.unwrap_err().code(), Code::DeadlineExceeded);
    // Nothing is left behind, at either end.
    settle().await;
    assert!(lab.session().stats().is_at_rest());
    assert!(server.sessions().iter().all(|session| session.stats().is_at_rest()));
}

#[tokio::test(start_paused = true)]
async fn a_cut_network_is_a_lost_link_at_both_ends_and_clients_connect_anew() {
    let server = lab();
    let lab = server.connect::<LabClient>().await.unwrap();
    let at_server = server.sessions().iter().next().unwrap();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.wait(1).await }
    });
    settle().await;
    server.network().cut();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    for session in [lab.session(), at_server] {
        let reason = session.closed().await;
        assert!(reason.is_lost() && reason.to_string().contains("reset"), "{reason}");
    }
    let lab = server.connect::<LabClient>().await.unwrap();
    assert_eq!(lab.who().await.unwrap(), "a stranger");
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_held_still_shows_timeouts() {
    let server = lab();
    let lab = server.connect::<LabClient>().await.unwrap();
    server.network().hold();
    assert!(server.network().is_held());
    let hurried = lab.with(CallOptions::new().timeout(Duration::from_secs(5)));
    assert_eq!(hurried.who().await.unwrap_err().code(), Code::DeadlineExceeded);
    server.network().release();
    assert_eq!(lab.who().await.unwrap(), "a stranger", "the session has lived on");

    server.network().hold();
    let reason = lab.session().closed().await;
    let ConnectionError::TimedOut(timeout) = &reason else { panic!("{reason}") };
    assert_eq!(timeout.limit, TimeLimit::Keepalive);
}

#[tokio::test(start_paused = true)]
async fn connecting_over_a_network_that_is_held_still() {
    let server = lab();
    server.network().hold();
    let config = Config::builder().upgrade_timeout(Duration::from_secs(3)).build().unwrap();
    let before = Instant::now();
    server.connect::<LabClient>().config(config).await.unwrap_err();
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_path_and_a_host_of_the_server() {
    let builder = || Server::builder().service(Bench.serve()).path("/rpc").allow_host("chat.example");
    let server = TestServer::start(builder()).unwrap();
    server.connect::<LabClient>().await.unwrap_err();
    let server = TestServer::start(builder()).unwrap().at("ws://chat.example/rpc");
    server.connect::<LabClient>().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_been_shut_down_takes_no_clients() {
    let server = lab();
    let lab = server.connect::<LabClient>().await.unwrap();
    server.server().shutdown().await;
    assert!(lab.session().closed().await.is_shut_down());
    server.connect::<LabClient>().await.unwrap_err();
    assert!(matches!(server.stream(ConnectionInfo::default()), Err(ListenError::ShutDown)));
}
