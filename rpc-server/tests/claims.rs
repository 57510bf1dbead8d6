//! Links that claim a session at a server, by bytes, beside a client that is served throughout.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;

use std::{env, time::Duration};

use allocated::{KIB, allocated};
use bytes::Bytes;
use rpc_client::Connect;
use rpc_core::{__internals::wire::Resume, Config, Credential, Identity, SessionState, Stub, async_trait};
use rpc_server::{AuthError, Authenticator, ConnectionInfo, Server, ServerBuilder, ServerHandle};
use rpc_testing::{
    Link, SOON, at_rest, join,
    rows::{Claimant, Guest, Host, HostClient, Victim},
    until,
};
use tokio::time::timeout;

/// How many connections there may be, and as many sessions without one.
const MOST: usize = 32;
/// Into how many parts the sessions are divided that are left behind.
const PARTS: usize = 100;
/// What may be left after all claims.
const LEFT: usize = 40 * KIB;

/// How many sessions are left behind: 1,000, or what `SESSIONS_LEFT_BEHIND` says.
fn left_behind() -> usize {
    env::var("SESSIONS_LEFT_BEHIND").map_or(1000, |count| count.parse().expect("a number"))
}

struct Place {
    server: ServerHandle,
    healthy: HostClient,
}

impl Place {
    async fn begin() -> Self {
        Self::with(Server::builder().resume_anonymous(true)).await
    }

    async fn with(builder: ServerBuilder) -> Self {
        let config = Config::builder().resume_window(Duration::from_secs(60)).build().unwrap();
        let builder = builder.service(Host::serve(Victim::default())).config(config).max_connections(MOST);
        let server = builder.listen("127.0.0.1:0").await.unwrap();
        let connecting = HostClient::connect(format!("ws://{}/", server.local_addr()));
        let connecting = connecting.credentials(Credential::in_hello("healthy"));
        let healthy = connecting.callback(Guest::serve(Victim::default())).await.unwrap();
        Self { server, healthy }
    }

    async fn link(&self) -> Link {
        Box::new(join(self.server.local_addr()).await.into_inner())
    }

    async fn served(&self) {
        loop {
            assert_eq!(self.healthy.echo("hi".to_owned()).await.as_deref(), Ok("hi"));
            assert_eq!(self.healthy.ask().await.as_deref(), Ok("a server asks"));
        }
    }

    /// Row 38: of two links that claim one session the newer has it.
    async fn two_links(&self) {
        let mut first = Claimant::open(self.link().await).await;
        first.is_served(1).await;
        let (token, received) = (first.token(), first.received());
        let mut second = Claimant::claim(self.link().await, token.clone(), 1, received).await.unwrap();
        assert!(second.is_resumed());
        first.is_closed(4409).await;
        second.is_served(10).await;
        // A claim that is not newer changes nothing.
        let received = second.received();
        for epoch in [0, 1] {
            let stale = Claimant::claim(self.link().await, token.clone(), epoch, received).await;
            assert_eq!(stale.unwrap_err(), 1000);
            second.is_served(20 + epoch * 10).await;
        }
        second.leave().await;
        // The session is over, so the token names none.
        let late = Claimant::claim(self.link().await, token, 2, received).await.unwrap();
        assert!(!late.is_resumed());
        late.leave().await;
    }

    /// Row 39: tokens that were not given, and positions that cannot be.
    async fn false_claims(&self) {
        let mut honest = Claimant::open(self.link().await).await;
        honest.is_served(1).await;
        let (token, received) = (honest.token(), honest.received());
        let mut other = token.to_vec();
        other[0] ^= 1;
        for guess in [other.into(), token.slice(1..), Bytes::new(), Bytes::from_static(&[0; 64])] {
            let guessed = Claimant::claim(self.link().await, guess, 1, received).await.unwrap();
            assert!(!guessed.is_resumed() && guessed.token() != token);
            guessed.leave().await;
            honest.is_served(2).await;
        }
        // A position that was not sent ends the session.
        let liar = Claimant::claim(self.link().await, token.clone(), 1, 1 << 40).await.unwrap();
        assert!(!liar.is_resumed());
        liar.leave().await;
        honest.is_closed(4410).await;
        let late = Claimant::claim(self.link().await, token, 2, received).await.unwrap();
        assert!(!late.is_resumed());
        late.leave().await;
    }

    /// Row 39: a token that another principal was given names nothing.
    async fn another_principal(&self) {
        let mut honest = Claimant::open_as(self.link().await, "alice").await;
        honest.is_served(1).await;
        let (token, received) = (honest.token(), honest.received());
        let claim = async |credential, received| {
            let resume = Resume { token: token.clone(), epoch: 1, received };
            Claimant::claim_as(self.link().await, resume, credential).await.unwrap()
        };
        let thief = claim("mallory", received).await;
        assert!(!thief.is_resumed() && thief.token() != token);
        honest.is_served(10).await;
        // Nor does it while the session has no link.
        let received = honest.received();
        drop(honest);
        until("its link is lost", || self.detached() == 1).await;
        let second = claim("mallory", received).await;
        assert!(!second.is_resumed());
        for thief in [thief, second] {
            thief.leave().await;
        }
        let mut back = claim("alice", received).await;
        assert!(back.is_resumed());
        back.is_served(20).await;
        back.leave().await;
    }

    /// The number of sessions without a link.
    fn detached(&self) -> usize {
        self.server.sessions().iter().filter(|session| session.state() == SessionState::Detached).count()
    }

    /// Row 40: sessions that are begun and left behind do not take the place of one whose client comes back.
    async fn left_behind(&self) {
        let mut honest = Claimant::open(self.link().await).await;
        honest.is_served(1).await;
        let (token, received) = (honest.token(), honest.received());
        drop(honest);
        let (count, mut held) = (left_behind(), 0);
        // The limit of time is for a part of them, since their number may be any.
        for part in 0..PARTS {
            self.beside(async {
                for _ in 0..count.div_ceil(PARTS) {
                    drop(Claimant::open(self.link().await).await);
                    let sessions = self.server.sessions();
                    until("its link is lost", || sessions.len() == self.detached() + 1).await;
                    assert!(sessions.len() <= MOST + 1, "{} sessions", sessions.len());
                }
            })
            .await;
            if part == PARTS / 2 {
                held = allocated();
            }
        }
        assert!(self.server.sessions().len() > MOST / 2, "they are kept as long as there are places");
        until("no more is held", || allocated() <= held + LEFT).await;
        let back = Claimant::claim(self.link().await, token, 1, received).await.unwrap();
        assert!(back.is_resumed());
        back.leave().await;
    }

    async fn beside(&self, peers: impl Future<Output = ()>) {
        tokio::select! {
            ended = timeout(SOON, peers) => ended.unwrap(),
            () = self.served() => unreachable!("the calls go on"),
        }
    }

    /// Runs what claimants do, all of whom leave.
    async fn leave(&self, claimants: impl Future<Output = ()>) {
        self.beside(claimants).await;
        let sessions = self.server.sessions();
        until("all have left", || sessions.connections() == 1 && sessions.len() == 1).await;
        at_rest(&self.healthy.session()).await;
        at_rest(&sessions.iter().next().unwrap()).await;
    }
}

/// Takes each credential for a name.
struct Names;

#[async_trait]
impl Authenticator for Names {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        Ok(Identity::new(credential.expose_text().unwrap_or_default()))
    }
}

/// Runs what claimants do, and then again; what is left each time adds up.
async fn leaves_nothing(place: &Place, claimants: impl AsyncFn()) {
    place.leave(claimants()).await;
    let before = allocated();
    for _ in 0..5 {
        place.leave(claimants()).await;
    }
    until("nothing is left", || allocated() <= before + LEFT).await;
}

// One test, because the allocator counts the whole process.
#[tokio::test]
async fn claims_of_sessions_go_to_the_newest_link_and_to_no_stranger() {
    let place = Place::begin().await;
    let strangers = async || {
        place.two_links().await;
        place.false_claims().await;
    };
    leaves_nothing(&place, strangers).await;
    place.left_behind().await;
    timeout(SOON, place.server.shutdown()).await.unwrap();
    let place = Place::with(Server::builder().authenticator(Names)).await;
    leaves_nothing(&place, async || place.another_principal().await).await;
    timeout(SOON, place.server.shutdown()).await.unwrap();
}
