//! What sessions keep to be resumed stays within `ServerBuilder::replay_total`. The clients are raw peers, so that a
//! test decides what they acknowledge.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use rpc_core::{
    __internals::wire::{Frame, Hello, PacketHeader, Payload, Resume, read_packet},
    Config, Session, SessionHooks, SessionState, Status, Stub, async_trait,
};
use rpc_server::{BuildError, ListenError, Server, ServerBuilder, ServerHandle};
use rpc_testing::{LIMITS, SOON, join, packet, request, until};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

const KIB: usize = 1024;

#[rpc_core::service]
trait Store {
    /// As many letters.
    async fn fetch(&self, len: usize) -> String;
}

struct Shelf;

impl Store for Shelf {
    async fn fetch(&self, len: usize) -> String {
        "x".repeat(len)
    }
}

fn builder() -> ServerBuilder {
    let config = Config::builder().resume_window(Duration::from_secs(600)).progress_timeout(Duration::from_secs(600));
    Server::builder().service(Shelf.serve()).config(config.build().unwrap()).resume_anonymous(true)
}

async fn serve(replay_total: usize) -> ServerHandle {
    builder().replay_total(replay_total).listen("127.0.0.1:0").await.unwrap()
}

/// A client that acknowledges nothing unless it is told to.
struct Peer {
    link: WebSocketStream<TcpStream>,
    token: Bytes,
    calls: u64,
    received: u64,
    session: Session,
}

/// A client says this, and the server welcomes it.
async fn welcomed(server: &ServerHandle, hello: Hello) -> (WebSocketStream<TcpStream>, bool, Bytes) {
    let mut link = join(server.local_addr()).await;
    let hello = Hello { resume_window_ms: 600_000, ..hello };
    let packet = packet(PacketHeader { seq: 0, ack: 0 }, &[Frame::Hello(Box::new(hello))]);
    link.send(Message::Binary(packet)).await.unwrap();
    let (_, frames) = next(&mut link).await;
    let Frame::Welcome(welcome) = &frames[0] else { panic!("{frames:?}") };
    (link, welcome.resumed, welcome.token.clone())
}

/// The next packet.
async fn next(link: &mut WebSocketStream<TcpStream>) -> (PacketHeader, Vec<Frame>) {
    loop {
        let message = timeout(SOON, link.next()).await.unwrap().unwrap().unwrap();
        if let Message::Binary(bytes) = message {
            let (header, frames) = read_packet(bytes).unwrap();
            return (header, frames.map(Result::unwrap).collect());
        }
    }
}

impl Peer {
    async fn new(server: &ServerHandle) -> Self {
        Self::with(server, Hello::new(LIMITS, Vec::new())).await
    }

    async fn with(server: &ServerHandle, hello: Hello) -> Self {
        let (link, _, token) = welcomed(server, hello).await;
        let session = server.sessions().iter().last().unwrap();
        let mut peer = Self { link, token, calls: 0, received: 0, session };
        peer.ack().await;
        peer
    }

    async fn ack(&mut self) {
        let ack = packet(PacketHeader { seq: 0, ack: self.received }, &[]);
        self.link.send(Message::Binary(ack)).await.unwrap();
    }

    /// Calls, and takes the answer in. Nothing is acknowledged by that.
    async fn fetch(&mut self, len: u32) {
        self.calls += 1;
        let method = StoreClient::CONTRACT.methods()[0].id();
        let arguments = [&[0x91, 0xce][..], &len.to_be_bytes()].concat();
        let call = request(self.calls, method, Payload::Inline(arguments.into()), Vec::new().into());
        let call = packet(PacketHeader { seq: self.calls, ack: 0 }, &[call]);
        self.link.send(Message::Binary(call)).await.unwrap();
        loop {
            let (header, frames) = next(&mut self.link).await;
            self.received = self.received.max(header.seq);
            if frames.iter().any(|frame| matches!(frame, Frame::Response { .. })) {
                return;
            }
        }
    }

    /// The connection is gone.
    async fn vanish(self) -> (Session, Bytes) {
        drop(self.link);
        let session = self.session;
        until("the server has noticed", || {
            matches!(session.state(), SessionState::Detached | SessionState::Closing | SessionState::Closed)
        })
        .await;
        (session, self.token)
    }
}

/// Whether a client may go on that has taken in the packets up to this one.
async fn come_back(server: &ServerHandle, token: Bytes, received: u64) -> bool {
    let resume = Some(Resume { token, epoch: 1, received });
    let (_link, resumed, _) = welcomed(server, Hello { resume, ..Hello::new(LIMITS, Vec::new()) }).await;
    resumed
}

#[tokio::test]
async fn a_session_without_a_link_that_keeps_most_is_given_up_and_a_light_one_goes_on() {
    let server = serve(220 * KIB).await;
    let mut light = Peer::new(&server).await;
    light.fetch(10).await;
    let (light, token) = light.vanish().await;
    let mut heavy = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::new(&server).await;
        for _ in 0..3 {
            peer.fetch(30_000).await;
        }
        heavy.push(peer.vanish().await);
    }
    until("two of three heavy ones are left", || server.sessions().len() == 3).await;
    assert_eq!(light.state(), SessionState::Detached);
    let gone = heavy.iter().filter(|(session, _)| session.state() == SessionState::Closed).count();
    assert_eq!(gone, 1);
    let kept: usize = server.sessions().iter().map(|session| session.stats().connection.replay_bytes).sum();
    assert!(kept < 220 * KIB, "{kept}");
    assert!(come_back(&server, token, 0).await);
    for (session, token) in heavy {
        let is_there = session.state() != SessionState::Closed;
        assert_eq!(come_back(&server, token, 0).await, is_there);
    }
}

#[tokio::test]
async fn a_client_that_acknowledges_nothing_is_served_and_cannot_resume_before_it_does() {
    for acknowledges in [false, true] {
        let server = serve(100 * KIB).await;
        let mut peer = Peer::new(&server).await;
        for _ in 0..20 {
            peer.fetch(20_000).await;
            let kept = peer.session.stats().connection.replay_bytes;
            assert!(kept <= 130 * KIB, "{kept}");
        }
        assert_eq!(peer.session.state(), SessionState::Open);
        if acknowledges {
            peer.ack().await;
            let session = peer.session.clone();
            until("nothing is kept", || session.stats().connection.replay_bytes == 0).await;
        }
        let received = peer.received;
        let (session, token) = peer.vanish().await;
        let state = if acknowledges { SessionState::Detached } else { SessionState::Closed };
        until("it is over, or has no link", || session.state() == state).await;
        assert_eq!(come_back(&server, token, received).await, acknowledges);
    }
}

/// Knows the clients that come while it is told to.
#[derive(Clone, Default)]
struct Door(Arc<AtomicBool>);

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        if self.0.load(Ordering::Relaxed) {
            session.set_principal("ada".into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn of_those_that_keep_as_much_a_stranger_goes_first_that_was_there_for_the_shortest_time() {
    let door = Door::default();
    let server = builder().hooks(door.clone()).replay_total(220 * KIB).listen("127.0.0.1:0").await.unwrap();
    let patient = Peer::new(&server).await;
    door.0.store(true, Ordering::Relaxed);
    let known = Peer::new(&server).await;
    door.0.store(false, Ordering::Relaxed);
    let short = Peer::new(&server).await;
    let mut sessions = Vec::new();
    for mut peer in [known, short, patient] {
        for _ in 0..3 {
            peer.fetch(30_000).await;
        }
        sessions.push(peer.vanish().await.0);
    }
    until("one is given up", || server.sessions().len() == 2).await;
    let states = sessions.iter().map(Session::state).collect::<Vec<_>>();
    assert_eq!(states, [SessionState::Detached, SessionState::Closed, SessionState::Detached]);
}

#[tokio::test]
async fn more_than_all_sessions_may_hold_is_refused() {
    let error = builder().memory(64 << 20).replay_total(65 << 20).listen("127.0.0.1:0").await.unwrap_err();
    let expected = BuildError::ReplayTotal { given: 65 << 20, most: 64 << 20 };
    assert!(matches!(&error, ListenError::Build(error) if *error == expected), "{error:?}");
    assert!(error.to_string().contains("ServerBuilder::replay_total is 68157440"), "{error}");
    // The default is no more than there is.
    builder().memory(64 << 20).listen("127.0.0.1:0").await.unwrap().shutdown().await;
}
