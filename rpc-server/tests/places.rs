//! Links that do not get the session that they claim give their places back, wherever they fail: at a server with one
//! place, the next client gets it each time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use rpc_core::{
    __internals::wire::{Frame, Hello, PacketHeader, Resume as Claim},
    Config, ConnectionInfo, Credential, Identity, Resume, Session, SessionHooks, SessionState, Status, async_trait,
    session::SUBPROTOCOL,
};
use rpc_server::{AuthError, Authenticator, Server, ServerHandle};
use rpc_testing::{
    LIMITS, Link, SOON, packet,
    rows::{Claimant, Host, Victim},
    until,
};
use tokio::{
    net::TcpStream,
    sync::Notify,
    task::yield_now,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::Role},
};

/// What hooks and the authenticator do with those who come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Manner {
    #[default]
    Polite,
    Refuses,
    Panics,
    NeverDecides,
}

/// Decides in a manner that a test sets, and tells that it was asked.
#[derive(Clone, Default)]
struct Door {
    at_hello: Arc<Mutex<Manner>>,
    at_resuming: Arc<Mutex<Manner>>,
    asked_at_hello: Arc<Notify>,
    asked_at_resuming: Arc<Notify>,
}

impl Door {
    async fn decide(&self, asked: &Notify, manner: &Mutex<Manner>) -> bool {
        asked.notify_one();
        let manner = *manner.lock().unwrap();
        match manner {
            Manner::Polite => true,
            Manner::Refuses => false,
            Manner::Panics => panic!("the panic of a test"),
            Manner::NeverDecides => pending().await,
        }
    }
}

#[async_trait]
impl Authenticator for Door {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        match self.decide(&self.asked_at_hello, &self.at_hello).await {
            true => Ok(Identity::new(credential.expose_text().unwrap_or_default())),
            false => Err(AuthError::permission_denied("not you")),
        }
    }
}

#[async_trait]
impl SessionHooks for Door {
    async fn resuming(&self, _: &Session, _: &ConnectionInfo) -> Result<Resume, Status> {
        match self.decide(&self.asked_at_resuming, &self.at_resuming).await {
            true => Ok(Resume::NoOpinion),
            false => Err(Status::permission_denied("not you")),
        }
    }
}

/// A server with one place.
struct Narrow {
    server: ServerHandle,
    door: Door,
}

impl Narrow {
    async fn begin() -> Self {
        let door = Door::default();
        let config = Config::builder().resume_window(Duration::from_secs(600)).hello_timeout(Duration::from_secs(1));
        let builder = Server::builder().service(Host::serve(Victim::default())).config(config.build().unwrap());
        let builder = builder.authenticator(door.clone()).hooks(door.clone()).max_connections(1);
        Self { server: builder.listen("127.0.0.1:0").await.unwrap(), door }
    }

    /// A link, once the server has a place for it.
    async fn link(&self) -> Link {
        let (addr, uri) = (self.server.local_addr(), format!("ws://{}/", self.server.local_addr()));
        let joined = async {
            loop {
                let mut request = uri.as_str().into_client_request().unwrap();
                request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
                let socket = TcpStream::connect(addr).await.unwrap();
                if let Ok((socket, _)) = client_async(request, socket).await {
                    return Box::new(socket.into_inner()) as Link;
                }
                yield_now().await;
            }
        };
        timeout(SOON, joined).await.expect("the place is not given back")
    }

    async fn claim(&self, token: &Bytes, epoch: u64, received: u64, name: &str) -> Result<Claimant, u16> {
        let claim = Claim { token: token.clone(), epoch, received };
        timeout(SOON, Claimant::claim_as(self.link().await, claim, name)).await.unwrap()
    }

    /// As [`Self::claim`], and the link is lost when the door has been asked and decides.
    async fn claim_and_go(&self, token: &Bytes, epoch: u64, asked: &Notify) {
        // It may have been asked before.
        let _ = asked.notified().now_or_never();
        let claim = Claim { token: token.clone(), epoch, received: 0 };
        let claiming = Claimant::claim_as(self.link().await, claim, "ada");
        tokio::select! {
            claimed = claiming => panic!("{claimed:?}"),
            () = asked.notified() => {}
        }
    }

    /// A session of ada whose link is lost. All who came before have given their places back.
    async fn detached(&self) -> (Session, Bytes) {
        let claimant = timeout(SOON, Claimant::open_as(self.link().await, "ada")).await.unwrap();
        let token = claimant.token();
        until("it is open", || self.server.sessions().len() == 1).await;
        let session = self.server.sessions().iter().next().unwrap();
        drop(claimant);
        until("its link is lost", || session.state() == SessionState::Detached).await;
        (session, token)
    }
}

#[tokio::test]
async fn a_link_that_does_not_get_the_session_that_it_claims_gives_its_place_back() {
    let narrow = Narrow::begin().await;
    let (server, door) = (&narrow.server, &narrow.door);
    let (session, token) = narrow.detached().await;
    let manner = |at_hello, at_resuming| {
        (*door.at_hello.lock().unwrap(), *door.at_resuming.lock().unwrap()) = (at_hello, at_resuming);
    };
    // Nothing is said on it.
    drop(narrow.link().await);
    // It is lost, or refused, while the door decides on the client.
    for at_hello in [Manner::Refuses, Manner::Panics, Manner::NeverDecides] {
        manner(at_hello, Manner::Polite);
        let refused = narrow.claim(&token, 1, 0, "ada").await;
        assert!(refused.is_ok_and(|refused| !refused.is_resumed()), "{at_hello:?}");
    }
    narrow.claim_and_go(&token, 1, &door.asked_at_hello).await;
    // Or on whether it may go on.
    for at_resuming in [Manner::Refuses, Manner::Panics, Manner::NeverDecides] {
        manner(Manner::Polite, at_resuming);
        let other = narrow.claim(&token, 1, 0, "ada").await.unwrap();
        assert!(!other.is_resumed(), "{at_resuming:?}");
        timeout(SOON, other.leave()).await.unwrap();
    }
    manner(Manner::Polite, Manner::NeverDecides);
    narrow.claim_and_go(&token, 1, &door.asked_at_resuming).await;
    manner(Manner::Polite, Manner::Polite);
    // It has no right to the session.
    for (token, name) in [(&token, "bob"), (&Bytes::from_static(b"a guess"), "ada")] {
        let other = narrow.claim(token, 1, 0, name).await.unwrap();
        assert!(!other.is_resumed(), "{name}");
        timeout(SOON, other.leave()).await.unwrap();
    }
    // It is not newer than the one before.
    assert_eq!(narrow.claim(&token, 0, 0, "ada").await.unwrap_err(), 1000);
    assert_eq!(session.state(), SessionState::Detached, "the session is as it was");
    // It goes on, often, and then comes too often.
    let mut epoch = 10;
    let came_too_often = loop {
        match narrow.claim(&token, epoch, 0, "ada").await {
            Ok(back) => assert!(back.is_resumed()),
            Err(code) => break code,
        }
        until("its link is lost", || session.state() == SessionState::Detached).await;
        epoch += 1;
        assert!(epoch < 100);
    };
    assert_eq!(came_too_often, 1013);
    // It comes from an impossible position, which ends the session.
    let liar = narrow.claim(&token, epoch + 100, 1 << 40, "ada").await.unwrap();
    assert!(!liar.is_resumed());
    until("the session is over", || session.state() == SessionState::Closed).await;
    timeout(SOON, liar.leave()).await.unwrap();
    until("all have left", || server.sessions().is_empty() && server.sessions().connections() == 0).await;
    // The last one has a place, and another one has none.
    drop(narrow.detached().await);
    let _last = timeout(SOON, Claimant::open_as(narrow.link().await, "eve")).await.unwrap();
    tokio::select! {
        _ = narrow.link() => panic!("there is one place"),
        () = sleep(Duration::from_millis(100)) => {}
    }
}

#[tokio::test]
async fn a_link_that_gets_no_session_has_its_place_until_it_is_closed() {
    let narrow = Narrow::begin().await;
    let (_, token) = narrow.detached().await;
    let connections = || narrow.server.sessions().connections();
    let before = connections();
    // The client of the first wants no other session, and the second is not newer than the session's own link.
    for (token, resume_window_ms) in [(Bytes::from_static(&[7; 16]), 0), (token, 600_000)] {
        let mut socket = WebSocketStream::from_raw_socket(narrow.link().await, Role::Client, None).await;
        let resume = Some(Claim { token, epoch: 0, received: 0 });
        let credentials = b"ada".to_vec();
        let hello = Hello { credentials, resume, resume_window_ms, ..Hello::new(LIMITS, Vec::new()) };
        let hello = packet(PacketHeader { seq: 0, ack: 0 }, &[Frame::Hello(Box::new(hello))]);
        socket.send(Message::Binary(hello)).await.unwrap();
        // This reads the server's Close frame, and nothing behind it.
        let closed = timeout(SOON, socket.next()).await.unwrap();
        assert!(matches!(closed, Some(Ok(Message::Close(Some(_))))), "{closed:?}");
        assert_eq!(connections(), before + 1);
        drop(socket);
        until("it has left", || connections() == before).await;
    }
}
