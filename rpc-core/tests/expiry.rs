//! Identities that expire, and credentials in the Hello.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpc_core::{
    CloseCode, Code, Config, ConnectionError, ConnectionInfo, Credential, Hosting, Identity, Session, SessionHooks,
    Status, async_trait,
    session::{Greeting, Handshake, connect_with, memory},
};
use rpc_testing::{Inside, SOON, until};
use tokio::time::{Instant, timeout};

const HOUR: Duration = Duration::from_secs(3600);

/// A session whose client has this identity: at the server, at the client.
async fn begin(identity: Identity) -> (Session, Session) {
    let (server, client) = begin_at(&Hosting::default(), identity).await;
    timeout(SOON, client.established()).await.unwrap().unwrap();
    (server, client)
}

/// As [`begin`], at a server that hosts something. The session may not be open yet.
async fn begin_at(hosting: &Hosting, identity: Identity) -> (Session, Session) {
    let config = Config::default();
    let (near, far) = memory();
    let credential = Credential::in_hello("open sesame");
    let greeting = Greeting { credential: Some(&credential), ..Greeting::default() };
    let (client, driver) = connect_with(greeting, far, &Hosting::default(), &config, ConnectionInfo::default());
    tokio::spawn(driver);
    let handshake = timeout(SOON, Handshake::read(near, &config)).await.unwrap().unwrap();
    assert_eq!(handshake.credentials(), b"open sesame");
    let mut info = ConnectionInfo::default();
    info.extensions.insert(identity);
    let (server, driver) = handshake.accept(hosting, info);
    tokio::spawn(driver);
    (server, client)
}

#[rpc_core::service]
trait Cellar {
    async fn wait(&self);
}

/// Counts the handlers that wait.
struct Vault(Arc<AtomicUsize>);

impl Cellar for Vault {
    async fn wait(&self) {
        let _inside = Inside::enter(&self.0);
        std::future::pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_ends_with_the_identity_also_in_a_drain() {
    for drains in [false, true] {
        let waiting = Arc::new(AtomicUsize::new(0));
        let hosting = Hosting::builder().service(Vault(Arc::clone(&waiting)).serve()).build().unwrap();
        let begun = Instant::now();
        let (server, client) = begin_at(&hosting, Identity::new("ada").expires_in(Duration::from_secs(5))).await;
        let cellar: CellarClient = client.client();
        let call = tokio::spawn(async move { cellar.wait().await });
        until("the handler waits", || waiting.load(Ordering::SeqCst) == 1).await;
        if drains {
            drop(server.drain());
        }
        let reason = timeout(SOON, server.closed()).await.unwrap();
        assert_eq!(reason, ConnectionError::Expired);
        assert!(begun.elapsed() < Config::default().drain_grace(), "{:?}", begun.elapsed());
        assert!(timeout(SOON, client.closed()).await.unwrap().is_expired());
        assert_eq!(timeout(SOON, call).await.unwrap().unwrap().unwrap_err().code(), Code::Unavailable);
        assert_eq!(waiting.load(Ordering::SeqCst), 0);
        assert!(server.stats().is_at_rest() && client.stats().is_at_rest());
    }
}

/// Opens no session.
struct Slow;

#[async_trait]
impl SessionHooks for Slow {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_expires_before_the_session_is_open_ends_the_session() {
    let hosting = Hosting::builder().hooks(Slow).build().unwrap();
    let (server, client) = begin_at(&hosting, Identity::new("ada").expires_in(Duration::from_secs(1))).await;
    assert_eq!(timeout(SOON, server.closed()).await.unwrap(), ConnectionError::Expired);
    let reason = timeout(SOON, client.established()).await.unwrap().unwrap_err();
    assert!(reason.is_expired(), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_the_identity_expires() {
    let (server, client) = begin(Identity::new("ada").expires_in(HOUR)).await;
    let begun = Instant::now();
    assert_eq!(server.identity().unwrap().principal().name(), "ada");
    let reason = timeout(HOUR * 2, server.closed()).await.unwrap();
    assert_eq!(reason, ConnectionError::Expired);
    assert!((HOUR - SOON..HOUR + SOON).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let reason = timeout(SOON, client.closed()).await.unwrap();
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::EXPIRED, .. }), "{reason}");
    assert!(reason.is_expired() && reason.is_retryable());
    assert!(server.stats().is_at_rest() && client.stats().is_at_rest());
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_renewed_holds_for_longer() {
    let (server, client) = begin(Identity::new("ada").expires_in(HOUR)).await;
    let (early, begun) = (HOUR / 2, Instant::now());
    assert!(timeout(early, client.closed()).await.is_err());
    assert!(!server.renew(Identity::new("bob")), "another name");
    assert!(server.renew(Identity::new("ada").value(7_u8).expires_in(HOUR * 3)));
    assert_eq!(server.principal().unwrap().value::<u8>(), Some(&7));
    let reason = timeout(HOUR * 9, client.closed()).await.unwrap();
    assert!(reason.is_expired() && begun.elapsed() > HOUR * 3, "{reason}");
}

#[tokio::test(start_paused = true)]
async fn an_identity_may_be_renewed_for_ever_or_end_sooner() {
    let (server, client) = begin(Identity::new("ada").expires_in(HOUR)).await;
    assert!(server.renew(Identity::new("ada")));
    assert!(timeout(HOUR * 9, client.closed()).await.is_err());
    assert!(server.renew(Identity::new("ada").expires_in(Duration::ZERO)));
    assert!(timeout(SOON, client.closed()).await.unwrap().is_expired());
    assert!(server.renew(Identity::new("ada").expires_in(HOUR)), "after the end it does nothing");
}
