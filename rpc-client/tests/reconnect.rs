//! Clients that make a new session when the old one is over, over real sockets that are cut.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "reconnect/attempts.rs"]
mod attempts;
#[path = "reconnect/by_hand.rs"]
mod by_hand;
#[path = "reconnect/calls.rs"]
mod calls;
#[path = "reconnect/discard.rs"]
mod discard;
#[path = "reconnect/drains.rs"]
mod drains;
#[path = "reconnect/ends.rs"]
mod ends;
#[path = "reconnect/events.rs"]
mod events;
#[path = "reconnect/leaving.rs"]
mod leaving;
#[path = "reconnect/line.rs"]
mod line;
#[path = "reconnect/resume.rs"]
mod resume;
#[path = "reconnect/setup.rs"]
mod setup;
#[path = "reconnect/setup_links.rs"]
mod setup_links;
#[path = "reconnect/torture.rs"]
mod torture;
#[path = "reconnect/torture_restarts.rs"]
mod torture_restarts;
#[path = "reconnect/turns.rs"]
mod turns;
#[path = "reconnect/watched.rs"]
mod watched;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use rpc_client::{Client, ClientError, ClientState, ConnectBuilder, Reconnect, Session, connect};
use rpc_core::{Config, Context, Status, Streaming};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

use line::Line;

#[rpc_core::callback]
trait Bell {
    async fn ring(&self, times: u32) -> u32;
}

#[rpc_core::service(callback = Bell)]
trait Desk {
    /// Leaves a word in the server's log.
    async fn say(&self, word: &str) -> usize;
    /// Says the word, and answers when the gate lets it.
    async fn hold(&self, word: &str);
    /// Calls the client back.
    async fn call_back(&self, cx: &Context<BellClient>) -> Result<u32, Status>;
    async fn sum(&self, numbers: Streaming<u32>) -> Result<u32, Status>;
}

/// A client's bell, which counts.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Bell for Counter {
    async fn ring(&self, times: u32) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed);
        times
    }
}

/// What the servers of a test share.
struct House {
    log: Mutex<Vec<String>>,
    gate: Semaphore,
}

impl Default for House {
    fn default() -> Self {
        Self { log: Mutex::default(), gate: Semaphore::new(0) }
    }
}

impl House {
    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    async fn until_said(&self, word: &str) {
        until("the word is said", || self.log().iter().any(|said| said == word)).await;
    }
}

#[derive(Clone, Default)]
struct Clerk(Arc<House>);

impl Desk for Clerk {
    async fn say(&self, word: &str) -> usize {
        let mut log = self.0.log.lock().unwrap();
        log.push(word.to_owned());
        log.len()
    }

    async fn hold(&self, word: &str) {
        self.say(word).await;
        self.0.gate.acquire().await.unwrap().forget();
    }

    async fn call_back(&self, cx: &Context<BellClient>) -> Result<u32, Status> {
        cx.peer().ring(3).await
    }

    async fn sum(&self, mut numbers: Streaming<u32>) -> Result<u32, Status> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }
}

/// A server on a port of its own, whose sessions end with their links.
async fn serve(house: &Arc<House>) -> ServerHandle {
    let service = Desk::serve(Clerk(house.clone()));
    Server::builder().service(service).listen("127.0.0.1:0").await.unwrap()
}

/// A server on a port of its own, whose sessions can be resumed.
async fn serve_with(house: &Arc<House>, config: Config) -> ServerHandle {
    let service = Desk::serve(Clerk(house.clone()));
    Server::builder().service(service).config(config).resume_anonymous(true).listen("127.0.0.1:0").await.unwrap()
}

/// Waits that are as short as a test needs.
fn quickly() -> Reconnect {
    Reconnect::default()
        .initial_delay(Duration::from_millis(5))
        .max_delay(Duration::from_millis(20))
        .min_uptime(Duration::ZERO)
}

/// A client that connects again, not yet connected.
fn client(line: SocketAddr) -> ConnectBuilder<Client> {
    connect(format!("ws://{line}/")).callback(Counter::default().serve()).reconnect(quickly())
}

/// A server, the line to it, and a client that connects again.
async fn all(house: &Arc<House>) -> (ServerHandle, Line, Client) {
    let server = serve(house).await;
    let line = Line::to(server.local_addr()).await;
    let client = client(line.addr()).await.unwrap();
    (server, line, client)
}

/// The one session of a server.
fn only(server: &ServerHandle) -> Session {
    let mut sessions = server.sessions().iter();
    let session = sessions.next().unwrap();
    assert!(sessions.next().is_none(), "there are several sessions");
    session
}

/// Calls `hold` in a task of its own.
fn hold(desk: &DeskClient, word: &'static str) -> JoinHandle<Result<(), Status>> {
    let desk = desk.clone();
    tokio::spawn(async move { desk.hold(word).await })
}

/// Waits for a state of a client.
async fn state(client: &Client, is_it: impl Fn(&ClientState) -> bool) -> ClientState {
    let mut states = client.states();
    let found = async {
        while let Some(state) = states.next().await {
            if is_it(&state) {
                return state;
            }
        }
        panic!("the states have ended");
    };
    timeout(SOON, found).await.expect("the client does not come to this state")
}

async fn away(client: &Client) -> ClientState {
    state(client, |state| matches!(state, ClientState::Reconnecting { .. })).await
}

async fn connected(client: &Client) {
    state(client, ClientState::is_connected).await;
}

async fn closed(client: &Client) -> ClientError {
    timeout(SOON, client.closed()).await.expect("the client is not closed")
}
