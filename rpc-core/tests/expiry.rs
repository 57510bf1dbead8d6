//! Identities that expire, and credentials in the Hello.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rpc_core::{
    CloseCode, Config, ConnectionError, ConnectionInfo, Credential, Hosting, Identity, Session,
    session::{Handshake, connect_as, memory},
};
use rpc_testing::SOON;
use tokio::time::{Instant, timeout};

const HOUR: Duration = Duration::from_secs(3600);

/// A session whose client has this identity: at the server, at the client.
async fn begin(identity: Identity) -> (Session, Session) {
    let (hosting, config) = (Hosting::default(), Config::default());
    let (near, far) = memory();
    let credential = Credential::in_hello("open sesame");
    let (client, driver) = connect_as(&credential, far, &hosting, &config, ConnectionInfo::default());
    tokio::spawn(driver);
    let handshake = timeout(SOON, Handshake::read(near, &config)).await.unwrap().unwrap();
    assert_eq!(handshake.credentials(), b"open sesame");
    let mut info = ConnectionInfo::default();
    info.extensions.insert(identity);
    let (server, driver) = handshake.accept(&hosting, info);
    tokio::spawn(driver);
    timeout(SOON, client.established()).await.unwrap().unwrap();
    (server, client)
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
