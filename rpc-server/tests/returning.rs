//! A server that is restarted under many clients, which all come back at once, beside a client that is served.
//!
//! The links are pipes, and time is virtual: 10,000 sockets with both ends do not fit into a process, and in virtual
//! time no state of a client is missed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;
mod raw;

use std::{
    env,
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
    time::Duration,
};

use allocated::{KIB, allocated};
use futures::{StreamExt, future::join_all};
use raw::{DeskClient, builder};
use rpc_client::{Client, ClientError, ClientState, ConnectError, Reconnect, connect};
use rpc_core::Stub;
use rpc_server::{ConnectionInfo, Server};
use rpc_testing::{Limit, at_rest, until};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    sync::watch,
    time::{sleep, timeout},
};

/// What a pipe holds, in bytes.
const PIPE: usize = 4 * KIB;
/// For how long a client stays when it has come back, so that others find no place.
const STAY: Duration = Duration::from_secs(10);
/// For how long there is no server.
const DOWN: Duration = Duration::from_secs(1);
/// By then, all clients have been served.
const LONGEST: Duration = Duration::from_secs(3600);
/// A wait before a first attempt is a part of this.
const FIRST: Duration = Duration::from_millis(500);
/// Into how many parts of the same length that time is divided.
const PARTS: u32 = 10;
/// What may be left of all clients: places in tables, and what the thread keeps for a while.
const LEFT: usize = 40 * KIB;

/// How many clients there are: 1,000, or what `CLIENTS_AT_ONCE` says.
fn clients() -> usize {
    env::var("CLIENTS_AT_ONCE").map_or(1000, |count| count.parse().expect("a number"))
}

/// A server that takes this many connections, and one of the client that is served.
fn server(most: usize) -> Server {
    builder().max_connections(most + 1).build().unwrap()
}

/// Leads to a server, unless that is down. The links that there are end when it changes.
struct Line(watch::Sender<Option<Server>>);

impl Line {
    fn dial(&self) -> io::Result<DuplexStream> {
        let mut changes = self.0.subscribe();
        let Some(server) = changes.borrow_and_update().clone() else {
            return Err(ErrorKind::ConnectionRefused.into());
        };
        let (near, mut far) = duplex(PIPE);
        let (mut near_server, at_server) = duplex(PIPE);
        server.serve_stream(at_server, ConnectionInfo::default()).map_err(io::Error::other)?;
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut far, &mut near_server) => {}
                _ = changes.changed() => {}
            }
        });
        Ok(near)
    }
}

async fn client(line: &Arc<Line>) -> Client {
    let line = line.clone();
    let open = move || {
        let opened = line.dial();
        async move { opened }
    };
    connect("ws://localhost/").over_with(open).reconnect(Reconnect::default()).await.unwrap()
}

/// What the clients have seen.
#[derive(Debug, Default)]
struct Seen {
    /// The waits before the first attempts.
    waits: Vec<Duration>,
    /// How many attempts met no server.
    refused: usize,
    /// How many attempts found no place.
    turned_away: usize,
    /// How many attempts ended without an answer.
    unheard: usize,
    /// The most connections that the server had.
    most: usize,
}

/// A client that loses its session, is served by another server, and leaves.
async fn comes_back(client: Client, server: Server, seen: &Mutex<Seen>) {
    let mut states = client.states().skip_while(|state| std::future::ready(state.is_connected()));
    loop {
        match states.next().await.unwrap() {
            ClientState::Connected => break,
            ClientState::Reconnecting { attempt: 1, next_in: Some(wait), .. } => seen.lock().unwrap().waits.push(wait),
            ClientState::Reconnecting { error: ClientError::Connect(error), next_in: Some(_), .. } => match *error {
                ConnectError::Stream { .. } => seen.lock().unwrap().refused += 1,
                ConnectError::Http { status, .. } if status == 503 => seen.lock().unwrap().turned_away += 1,
                // Streams that come when 64 others are being told why are closed unheard.
                ConnectError::Ended { .. } => seen.lock().unwrap().unheard += 1,
                _ => panic!("{error:?}"),
            },
            ClientState::Reconnecting { next_in: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    client.client::<DeskClient>().address().await.unwrap();
    {
        let mut seen = seen.lock().unwrap();
        seen.most = seen.most.max(server.sessions().connections());
    }
    sleep(STAY).await;
    client.close().await;
}

/// `count` clients have sessions with a server, which is restarted with places for a quarter of them.
async fn restart(count: usize, next: &Server) -> Seen {
    let old = server(count);
    let line = Arc::new(Line(watch::Sender::new(Some(old.clone()))));
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(client(&line).await);
    }
    // Sessions that end sooner count as attempts that have failed.
    sleep(STAY).await;
    assert_eq!(old.sessions().len(), count);
    let seen = Mutex::default();
    let back = join_all(clients.into_iter().map(|client| comes_back(client, next.clone(), &seen)));
    let restart = async {
        line.0.send_replace(None);
        old.shutdown().await;
        sleep(DOWN).await;
        line.0.send_replace(Some(next.clone()));
    };
    let _ = timeout(LONGEST, async { tokio::join!(back, restart) }).await.expect("all clients are served");
    seen.into_inner().unwrap()
}

/// Calls now and then, so that time passes.
async fn is_served(healthy: &DeskClient) {
    loop {
        healthy.address().await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_all_come_back_at_once_are_spread_turned_away_and_served() {
    let _limit = Limit::begin();
    let count = clients();
    let places = count / 4;
    let next = server(places);
    let line = Arc::new(Line(watch::Sender::new(Some(next.clone()))));
    let healthy = client(&line).await.client::<DeskClient>();
    let restart = async |count| {
        let seen = tokio::select! {
            seen = restart(count, &next) => seen,
            () = is_served(&healthy) => unreachable!("the calls go on"),
        };
        until("all have left", || next.sessions().connections() == 1).await;
        seen
    };
    // What the process keeps is made by a first round.
    restart(count).await;
    at_rest(&healthy.session()).await;
    let before = allocated();
    let seen = restart(count).await;
    at_rest(&healthy.session()).await;
    assert_eq!(seen.waits.len(), count);
    let part = FIRST / PARTS;
    let waits_within = |nth| seen.waits.iter().filter(|&wait| (part * nth..part * (nth + 1)).contains(wait)).count();
    let parts: Vec<_> = (0..PARTS).map(waits_within).collect();
    assert_eq!(parts.iter().sum::<usize>(), count, "no wait is longer than {FIRST:?}");
    let fair = count / parts.len();
    assert!(parts.iter().all(|&here| (fair / 2..fair * 2).contains(&here)), "{parts:?}");
    assert!(seen.unheard < count / 10 && seen.refused > count / 2 && seen.turned_away > count / 2, "{seen:?}");
    assert!(seen.most > places / 2 && seen.most <= places + 1, "{seen:?}");
    drop(seen);
    until("nothing is left", || allocated() <= before + LEFT).await;
}
