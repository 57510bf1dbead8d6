//! The credentials that a client shows, and how they are renewed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rpc_client::{Connect, ConnectError, Credential, Reconnect};
use rpc_core::{
    __renewal::RenewalClient, CloseCode, Code, Context, Identity, Service, Stub, contract::ContractDescriptor,
};
use rpc_server::{AuthError, Authenticator, ConnectionInfo, Server, ServerHandle, async_trait};
use rpc_testing::{Lines, SOON, pass, until};
use tokio::time::timeout;
use tracing::Level;

const SECRET: &str = "hunter2";

#[rpc_core::service]
trait Vault {
    async fn owner(&self, cx: &Context<VaultClient>) -> Option<String>;
    async fn opened(&self, cx: &Context<VaultClient>) -> Option<u32>;
}

struct Cellar;

impl Vault for Cellar {
    async fn owner(&self, cx: &Context<VaultClient>) -> Option<String> {
        cx.principal().map(|principal| principal.to_string())
    }

    async fn opened(&self, cx: &Context<VaultClient>) -> Option<u32> {
        cx.principal()?.value::<u32>().copied()
    }
}

/// Counts how often it was asked; each identity says at which question it was given. Its tokens are
/// `name:secret:milliseconds`.
#[derive(Clone, Default)]
struct Guard {
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Authenticator for Guard {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut parts = credential.expose_text().unwrap().split(':');
        let (name, secret, millis) = (parts.next().unwrap(), parts.next(), parts.next());
        if secret != Some(SECRET) {
            return Err(AuthError::unauthenticated("the token is not valid"));
        }
        let identity = Identity::new(name).value(asked);
        Ok(match millis {
            Some(millis) => identity.expires_in(Duration::from_millis(millis.parse().unwrap())),
            None => identity,
        })
    }
}

async fn vault(guard: &Guard) -> ServerHandle {
    Server::builder().service(Cellar.serve()).authenticator(guard.clone()).listen("127.0.0.1:0").await.unwrap()
}

fn url(server: &ServerHandle) -> String {
    format!("ws://{}/", server.local_addr())
}

fn token(name: &str, millis: u32) -> String {
    format!("{name}:{SECRET}:{millis}")
}

#[tokio::test]
async fn a_credential_goes_with_the_upgrade_or_with_the_hello() {
    let server = vault(&Guard::default()).await;
    let token = format!("ada:{SECRET}");
    for credential in [Credential::bearer(&token), Credential::in_hello(&token)] {
        let vault = VaultClient::connect(url(&server)).credentials(credential).await.unwrap();
        assert_eq!(vault.owner().await.unwrap().as_deref(), Some("ada"));
        vault.session().close().await;
    }
    let vault = VaultClient::connect(url(&server));
    let vault = vault.credentials(async || Ok::<_, std::io::Error>(Credential::bearer("bob:hunter2"))).await.unwrap();
    assert_eq!(vault.owner().await.unwrap().as_deref(), Some("bob"));
}

#[tokio::test]
async fn a_client_that_is_refused_learns_why() {
    let server = vault(&Guard::default()).await;
    let connect = |credential: Credential| VaultClient::connect(url(&server)).credentials(credential);
    let error = connect(Credential::bearer("ada:wrong")).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Http { status, .. } if status.as_u16() == 401), "{error:?}");
    assert!(error.to_string().contains("the token is not valid"), "{error}");
    let error = connect(Credential::in_hello("ada:wrong")).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Rejected(status) if status.code() == Code::Unauthenticated), "{error:?}");
    let error = VaultClient::connect(url(&server)).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Rejected(status) if status.code() == Code::Unauthenticated), "{error:?}");
    until("nothing is left", || server.sessions().connections() == 0).await;
}

#[tokio::test]
async fn a_source_that_has_no_credential_is_named() {
    let guard = Guard::default();
    let server = vault(&guard).await;
    let none = async || Err::<Credential, _>("the token endpoint is down");
    let error = VaultClient::connect(url(&server)).credentials(none).await.unwrap_err();
    assert!(matches!(error, ConnectError::Credentials { .. }), "{error:?}");
    assert!(error.to_string().contains("the token endpoint is down"), "{error}");
    let both = VaultClient::connect(url(&server)).header("authorization", "Basic x");
    let error = both.credentials(Credential::bearer("x")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Header { .. }), "{error:?}");
    assert_eq!(guard.asked.load(Ordering::SeqCst), 0);
}

#[rpc_core::callback(
    name = "a-callback-contract-with-a-name-that-is-rather-long-so-that-a-few-of-them-fill-a-hello-of-sixteen-kib"
)]
trait Listener {
    async fn hear(&self);
}

struct Ear;

impl Listener for Ear {
    async fn hear(&self) {}
}

/// Hosts contracts whose names fit a Hello by themselves, and so does the credential.
#[tokio::test]
async fn a_credential_that_makes_the_hello_too_long_is_an_error_before_anything_is_sent() {
    let guard = Guard::default();
    let server = vault(&guard).await;
    for (contracts, fits) in [(50, true), (100, false)] {
        let mut connecting = VaultClient::connect(url(&server));
        for number in 0..contracts {
            let name = format!("{number:03}{}", ListenerClient::CONTRACT.name()).leak();
            let contract = Box::leak(Box::new(ContractDescriptor::new(name, &[])));
            connecting = connecting.callback(Service::host(contract, Ear, |_, _, _, _| unreachable!("no method")));
        }
        let long = format!("ada:{SECRET}:60000:{}", "x".repeat(8000));
        let connected = timeout(SOON, connecting.credentials(Credential::in_hello(long)).into_future()).await.unwrap();
        let asked = guard.asked.load(Ordering::SeqCst);
        match connected {
            Ok(_) => assert!(fits && asked == 1, "{contracts} contracts"),
            Err(error) => {
                let shown = format!("{error} {error:?}");
                assert!(!fits && asked == 1 && matches!(error, ConnectError::Credentials { .. }), "{shown}");
                assert!(shown.contains("100 callback contracts") && !shown.contains(SECRET), "{shown}");
                assert!(shown.contains("16384 bytes"), "{shown}");
            }
        }
    }
    until("the first client has left, and no second one has come", || server.sessions().connections() == 0).await;
}

#[tokio::test]
async fn a_client_cannot_make_the_authenticator_read_more_than_an_upgrade_may_hold() {
    let guard = Guard::default();
    let server = vault(&guard).await;
    let vault = VaultClient::connect(url(&server)).credentials(Credential::bearer(token("ada", 60_000))).await.unwrap();
    let renewals: RenewalClient = vault.session().client();
    let padded = |len: usize| {
        let mut text = format!("ada:{SECRET}:60000:").into_bytes();
        text.resize(len, b'x');
        text
    };
    let asked = guard.asked.load(Ordering::SeqCst);
    let status = renewals.renew(&padded(64 * 1024 + 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(!status.to_string().contains(SECRET), "{status}");
    assert_eq!(guard.asked.load(Ordering::SeqCst), asked, "the authenticator is not asked");
    assert!(renewals.renew(&padded(64 * 1024)).await.unwrap().is_some());
    // Nor can it become another.
    let status = renewals.renew(token("eve", 60_000).as_bytes()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(vault.owner().await.unwrap().as_deref(), Some("ada"));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_no_place_to_guess_credentials() {
    let guard = Guard::default();
    let server = Server::builder().service(Cellar.serve()).authenticator(guard.clone()).build().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    server.serve_stream(far, ConnectionInfo::default()).unwrap();
    let vault = VaultClient::connect("ws://localhost/").credentials(Credential::bearer(format!("ada:{SECRET}")));
    let vault = timeout(SOON, vault.over(near).into_future()).await.unwrap().unwrap();
    let renewals: RenewalClient = vault.session().client();
    for _ in 0..2 {
        let asked = guard.asked.load(Ordering::SeqCst);
        let mut codes = Vec::new();
        for guess in 0..30 {
            // Right ones in between do not help.
            if guess % 4 == 0 && guess < 8 {
                renewals.renew(format!("ada:{SECRET}").as_bytes()).await.unwrap();
            }
            let guess = if guess % 2 == 0 { "ada:guess".to_owned() } else { format!("eve:{SECRET}") };
            codes.push(renewals.renew(guess.as_bytes()).await.unwrap_err().code());
        }
        let (judged, refused) = codes.split_at(10);
        let of_credential = |code: &Code| matches!(code, Code::Unauthenticated | Code::PermissionDenied);
        assert!(judged.iter().all(of_credential), "{codes:?}");
        assert!(refused.iter().all(|code| *code == Code::ResourceExhausted), "{codes:?}");
        assert_eq!(guard.asked.load(Ordering::SeqCst), asked + 12);
        pass(Duration::from_secs(61)).await;
    }
    assert_eq!(vault.owner().await.unwrap().as_deref(), Some("ada"), "the session goes on");
}

#[tokio::test]
async fn a_session_is_renewed_before_the_identity_expires() {
    let guard = Guard::default();
    let server = vault(&guard).await;
    let asked = Arc::new(AtomicU32::new(0));
    let source = {
        let asked = asked.clone();
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            // The second attempt fails, and the third one comes in time.
            async move { if number == 1 { Err("not now") } else { Ok(Credential::bearer(token("ada", 4000))) } }
        }
    };
    let vault = VaultClient::connect(url(&server)).credentials(source).await.unwrap();
    let session = server.sessions().iter().next().unwrap();
    until("it is renewed", || guard.asked.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(vault.owner().await.unwrap().as_deref(), Some("ada"));
    assert!(vault.opened().await.unwrap() >= Some(1), "the newer identity has replaced the older one");
    assert_eq!(server.sessions().len(), 1);
    assert_eq!(server.sessions().iter().next().unwrap().id(), session.id(), "it is the same session");
    // The renewals do not keep the session open.
    drop(vault);
    assert!(timeout(SOON, session.closed()).await.is_ok());
}

#[tokio::test]
async fn an_identity_that_is_not_renewed_ends_the_session() {
    let server = vault(&Guard::default()).await;
    // The source has another name later, and then no valid token.
    for later in ["bob:hunter2:60000", "ada:wrong:60000"] {
        let asked = AtomicU32::new(0);
        let source = move || {
            let token = if asked.fetch_add(1, Ordering::SeqCst) == 0 { token("ada", 800) } else { later.to_owned() };
            async move { Ok::<_, std::io::Error>(Credential::in_hello(token)) }
        };
        let vault = VaultClient::connect(url(&server)).credentials(source).reconnect(Reconnect::never()).await.unwrap();
        let reason = timeout(SOON, vault.session().closed()).await.unwrap();
        assert!(
            matches!(&reason, rpc_core::ConnectionError::ClosedByPeer { code: CloseCode::EXPIRED, .. }),
            "{reason}"
        );
    }
    until("nothing is left", || server.sessions().connections() == 0).await;
}

#[tokio::test]
async fn no_log_shows_a_credential_that_is_renewed() {
    Lines::keep();
    let guard = Guard::default();
    let server = vault(&guard).await;
    let source = async || Ok::<_, std::io::Error>(Credential::in_hello(token("ada", 2000)));
    let builder = VaultClient::connect(url(&server)).credentials(source);
    assert!(!format!("{builder:?}").contains(SECRET), "{builder:?}");
    let vault = builder.await.unwrap();
    until("it is renewed", || guard.asked.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(vault.owner().await.unwrap().as_deref(), Some("ada"));
    vault.session().close().await;
    let lines = Lines::read(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains("the identity was renewed")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:?}");
}
