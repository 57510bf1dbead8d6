//! Identities that expire: a client that shows a newer credential is served on, and a peer that does not is closed.

use std::time::Duration;

use bytes::Bytes;
use rpc_client::Connect;
use rpc_core::{
    __internals::wire::{Frame, PacketHeader},
    Credential, Identity, Stub, async_trait,
};
use rpc_server::{AuthError, AuthRequest, Authenticator, ConnectionInfo, ServerBuilder, Verdict};
use rpc_testing::{LIMITS, Link, greeting, hello, over_both, packet, with_stopped_clock};
use tokio::time::advance;

use crate::{
    raw::{DeskClient, Raw, UPGRADE, builder},
    row::Row,
    transport::Transport,
};

over_both!(an_identity_that_expires, an_identity_that_is_renewed);

const SECOND: Duration = Duration::from_secs(1);
const HOLDS: Duration = Duration::from_secs(10);

/// Each identity holds for ten seconds, except the healthy client's.
struct Login;

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        match credential.expose_text().unwrap() {
            "healthy" => Ok(Identity::new("healthy")),
            "short" => Ok(Identity::new("short").expires_in(HOLDS)),
            _ => Err(AuthError::unauthenticated("the token is not valid")),
        }
    }

    async fn at_upgrade(&self, request: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
        match request.bearer() {
            Some(token) => Ok(self.authenticate(&token, request.info()).await?.into()),
            None => Ok(Verdict::Undecided),
        }
    }
}

fn bank() -> ServerBuilder {
    builder().authenticator(Login)
}

/// A Hello that shows this credential.
fn showing(credential: &'static str) -> Bytes {
    let Frame::Hello(mut said) = hello(LIMITS, Vec::new()) else { unreachable!() };
    said.credentials = credential.into();
    packet(PacketHeader { seq: 0, ack: 0 }, &[Frame::Hello(said)])
}

/// A peer with a session, whose identity expires: by a credential at the upgrade, and by one in the Hello.
async fn peers(row: &Row) -> [Raw<Link>; 2] {
    let (mut upgraded, head, _) = row.ask(&[&UPGRADE[..], &["Authorization: Bearer short"]].concat()).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    upgraded.frame(0x82, &greeting()).await;
    let mut greeted = row.peer().await.upgrade().await;
    greeted.frame(0x82, &showing("short")).await;
    [upgraded, greeted]
}

async fn an_identity_that_expires(transport: Transport) {
    with_stopped_clock(async {
        let row = Row::begin(transport, bank()).await;
        row.beside(async {
            let peers = peers(&row).await;
            row.sessions(3).await;
            advance(HOLDS - SECOND).await;
            row.served().await;
            assert_eq!(row.server.sessions().len(), 3);
            advance(SECOND * 2).await;
            for mut peer in peers {
                assert_eq!(peer.close_code().await, Some(4401));
            }
        })
        .await;
    })
    .await;
}

async fn an_identity_that_is_renewed(transport: Transport) {
    with_stopped_clock(async {
        let row = Row::begin(transport.clone(), bank()).await;
        row.beside(async {
            for credential in [Credential::bearer("short"), Credential::in_hello("short")] {
                let connecting =
                    DeskClient::connect(transport.url(row.server.local_addr(), "/")).credentials(credential);
                let desk = transport.trusting(connecting).await.unwrap();
                let session = row.server.sessions().iter().find(|session| session.principal() == Some("short".into()));
                let session = session.unwrap();
                for _ in 0..3 * HOLDS.as_secs() {
                    advance(SECOND).await;
                    assert!(desk.address().await.unwrap().is_some());
                    // The client renews when a fifth of the time is left.
                    while session.identity().unwrap().time_left().unwrap() < SECOND * 2 {
                        row.served().await;
                    }
                }
                assert_eq!(row.server.sessions().len(), 2);
                desk.session().close().await;
            }
        })
        .await;
    })
    .await;
}
