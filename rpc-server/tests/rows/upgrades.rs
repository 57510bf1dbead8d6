//! Rows 1 to 5, 15 and 43: peers that never become a session, and those whose identity expires, with the memory that
//! they leave.

use std::time::Duration;

use futures::future::join_all;
use rpc_core::{Credential, Identity, async_trait};
use rpc_server::{AuthError, AuthRequest, Authenticator, ConnectionInfo, Server, Verdict};
use rpc_testing::{
    SOON, greeting,
    rows::{AGAIN, Pace, Scene, config},
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    Place,
    raw::{Raw, UPGRADE},
};

/// How many peers wait for a time limit together.
const TOGETHER: usize = 8;
/// The time of an upgrade where peers are slow.
const LIMIT: Duration = Duration::from_secs(1);
/// For how long an identity holds.
const HOLDS: Duration = Duration::from_secs(1);

/// The header lines of a valid upgrade, with this one in place of its namesake.
fn with(line: &str) -> Vec<&str> {
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    UPGRADE.into_iter().filter(|own| name(own) != name(line)).chain([line]).collect()
}

/// What peers ask that the server has to refuse, and the beginning of its answer.
async fn refused(place: &Place) {
    let long = format!("X: {}", "x".repeat(64 * 1024));
    let many: Vec<_> = (0..101).map(|number| format!("X-{number}: x")).collect();
    let many = [&UPGRADE[..], &many.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    for (what, lines, status) in [
        ("row 3: a long head", with(&long), "431"),
        ("row 3: many headers", many, "431"),
        ("row 3: no header", vec!["no header"], "400"),
        ("row 4: another origin", with("Origin: https://evil.example.com"), "403"),
        ("row 5: no key", with("Sec-WebSocket-Key: short"), "400"),
        ("row 5: another version", with("Sec-WebSocket-Version: 8"), "426"),
        ("row 5: another sub-protocol", with("Sec-WebSocket-Protocol: chat"), "400"),
    ] {
        let peer = async || {
            let mut peer = Raw::connect(&place.server).await;
            let head = peer.get(&lines).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {head}");
            peer.body(&head).await;
        };
        place.leaves_nothing(what, AGAIN, peer).await;
    }
}

/// Row 15: the offer is declined, and a message that is compressed all the same is a breach.
async fn compressed(place: &Place) {
    let peer = async || {
        let mut peer = Raw::connect(&place.server).await;
        let head = peer.get(&with("Sec-WebSocket-Extensions: permessage-deflate")).await.to_lowercase();
        assert!(head.starts_with("http/1.1 101") && !head.contains("extensions"), "{head}");
        peer.frame(0x82, &greeting()).await;
        peer.frame(0xc2, b"\0").await;
        assert_eq!(peer.close_code().await, Some(1002));
    };
    place.leaves_nothing("row 15: compression", AGAIN, peer).await;
}

/// Rows 1 and 2: no byte, and one byte after the other, until the time of an upgrade is over.
async fn slow(place: &Place) {
    let silent = async || {
        let since = Instant::now();
        let peers = (0..TOGETHER).map(async |_| {
            assert_eq!(Raw::connect(&place.server).await.rest().await, b"");
            // Time limits do not end early, however slow the machine is.
            assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
        });
        join_all(peers).await;
    };
    place.leaves_nothing("row 1: silence", 1, silent).await;
    let drips = async || {
        let since = Instant::now();
        let peers = (0..TOGETHER).map(async |_| {
            let mut peer = Raw::connect(&place.server).await;
            let (mut reads, mut writes) = peer.0.split();
            let mut said = Vec::new();
            let heard = tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut said);
            let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
            let says = async {
                for byte in head {
                    let _ = writes.write_all(&[*byte]).await;
                    sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                // A reset ends the connection as well.
                heard = timeout(SOON, heard) => drop(heard.expect("the server ends the connection")),
                () = says => unreachable!("the head has no end"),
            }
            assert!(said.is_empty() && since.elapsed() >= LIMIT, "{said:?} {:?}", since.elapsed());
        });
        join_all(peers).await;
    };
    place.leaves_nothing("row 2: a byte after the other", 1, drips).await;
}

/// Takes a bearer's token for a name. The identity of all but one expires soon.
struct Login;

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        if credential.matches("healthy") {
            return Ok(Identity::new("healthy"));
        }
        Ok(Identity::new("short").expires_in(HOLDS))
    }

    async fn at_upgrade(&self, request: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
        let token = request.bearer().ok_or_else(|| AuthError::unauthenticated("there is no token"))?;
        Ok(self.authenticate(&token, request.info()).await?.into())
    }
}

/// Row 43: a peer that shows no newer credential is closed when its identity expires.
async fn expired(place: &Place) {
    let peer = async || {
        let peers = (0..TOGETHER).map(async |_| {
            let mut peer = Raw(TcpStream::connect(place.server.local_addr()).await.unwrap());
            let head = peer.get(&with("Authorization: Bearer short")).await;
            assert!(head.starts_with("HTTP/1.1 101"), "{head}");
            peer.frame(0x82, &greeting()).await;
            assert_eq!(peer.close_code().await, Some(4401));
        });
        join_all(peers).await;
    };
    place.leaves_nothing("row 43: an identity that expires", 1, peer).await;
}

/// All of these rows.
pub(crate) async fn run() {
    let patient = Place::begin(Pace::Patient).await;
    refused(&patient).await;
    compressed(&patient).await;
    timeout(SOON, patient.server.shutdown()).await.unwrap();
    let hasty = Place::begin(Pace::Hasty).await;
    assert_eq!(config(Pace::Hasty).upgrade_timeout(), LIMIT);
    slow(&hasty).await;
    timeout(SOON, hasty.server.shutdown()).await.unwrap();
    let bank = Place::with(Server::builder().authenticator(Login)).await;
    expired(&bank).await;
    timeout(SOON, bank.server.shutdown()).await.unwrap();
}
