//! Clients that connect again in memory, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use rpc_client::{Client, ClientError, ClientState, Connect, ConnectError, Reconnect, Stub, connect};
use rpc_server::Server;
use rpc_test::{Network, TestServer, settle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

#[rpc_core::service]
trait Lab {
    async fn hour(&self) -> u8;
}

struct Bench;

impl Lab for Bench {
    async fn hour(&self) -> u8 {
        12
    }
}

fn lab() -> TestServer {
    TestServer::start(Server::builder().service(Bench.serve())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_test_connects_again() {
    let server = lab();
    let lab = server.connect::<LabClient>().reconnect(Reconnect::default()).await.unwrap();
    let first = lab.session().id();
    server.network().cut();
    settle().await;
    assert_eq!(lab.hour().await, Ok(12));
    assert_ne!(lab.session().id(), first);
    drop(server);
    let client = Client::of(&lab).unwrap();
    settle().await;
    assert!(matches!(client.state(), ClientState::Reconnecting { .. }), "the client does not keep the server");
}

/// A client whose first session is open, and whose later streams fail to open, and the instants of these attempts.
async fn failing(server: &TestServer, reconnect: Reconnect) -> (Client, Arc<Mutex<Vec<Instant>>>) {
    let attempts = Arc::<Mutex<Vec<Instant>>>::default();
    let first = Mutex::new(Some(server.stream(rpc_core::ConnectionInfo::default()).unwrap()));
    let kept = attempts.clone();
    let open = move || {
        let stream = first.lock().unwrap().take();
        if stream.is_none() {
            kept.lock().unwrap().push(Instant::now());
        }
        async move { stream.ok_or_else(|| io::Error::other("no way")) }
    };
    let client = connect("ws://localhost/").over_with(open).reconnect(reconnect).await.unwrap();
    // Longer than a session has to last to be a success.
    sleep(Duration::from_secs(10)).await;
    (client, attempts)
}

#[tokio::test(start_paused = true)]
async fn waits_grow_from_half_a_second_to_half_a_minute() {
    let server = lab();
    let (client, attempts) = failing(&server, Reconnect::default()).await;
    let cut = Instant::now();
    server.network().cut();
    sleep(Duration::from_secs(3600)).await;
    let attempts = attempts.lock().unwrap().clone();
    let waits: Vec<_> = std::iter::once(&cut).chain(&attempts).zip(&attempts).map(|(from, to)| *to - *from).collect();
    for (index, wait) in waits.iter().enumerate() {
        let longest = Duration::from_millis(500 << index.min(6)).min(Duration::from_secs(30));
        assert!(*wait <= longest + Duration::from_millis(10), "{index}: {wait:?}");
    }
    // In the mean a wait is half of the longest: 240 in an hour.
    assert!((150..400).contains(&waits.len()), "{}", waits.len());
    let ClientState::Reconnecting { attempt, error, since, .. } = client.state() else {
        panic!("{:?}", client.state())
    };
    assert_eq!(attempt as usize, waits.len() + 1);
    assert!(since - cut < Duration::from_secs(1), "{since:?}");
    assert!(matches!(error, ClientError::Connect(error) if error.to_string().contains("no way")));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_time_of_a_program() {
    let server = lab();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let (client, attempts) = failing(&server, Reconnect::default().max_elapsed(minutes(10))).await;
    let cut = Instant::now();
    server.network().cut();
    let error = timeout(minutes(60), client.closed()).await.unwrap();
    assert!(matches!(&error, ClientError::Connect(error) if matches!(**error, ConnectError::Stream { .. })), "{error}");
    let last = *attempts.lock().unwrap().last().unwrap() - cut;
    assert!(last > minutes(8) && last < minutes(10) + Duration::from_secs(31), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_is_left_alone_for_as_long_as_it_asks() {
    let server = lab();
    let network = Network::new();
    let (near, mut far) = network.pair();
    let refusal = tokio::spawn(async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(far.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7200\r\ncontent-length: 0\r\n\r\n";
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
    });
    let (asked, busy) = (Arc::<AtomicUsize>::default(), Mutex::new(Some(near)));
    let (counted, lab, network) = (asked.clone(), server.server().clone(), server.network().clone());
    let open = move || {
        let stream = match counted.fetch_add(1, Ordering::Relaxed) {
            1 => busy.lock().unwrap().take().unwrap(),
            _ => {
                let (near, far) = network.pair();
                lab.serve_stream(far, rpc_core::ConnectionInfo::default()).unwrap();
                near
            }
        };
        async move { Ok(stream) }
    };
    let connecting = LabClient::connect("ws://localhost/").over_with(open).reconnect(Reconnect::default());
    let lab = connecting.await.unwrap();
    let began = Instant::now();
    server.sessions().iter().next().unwrap().abort().await;
    refusal.await.unwrap();
    let client = Client::of(&lab).unwrap();
    let mut states = client.states();
    let is_back = async {
        while !matches!(states.next().await, Some(ClientState::Reconnecting { .. })) {}
        while !matches!(states.next().await, Some(ClientState::Connected)) {}
    };
    timeout(Duration::from_secs(8000), is_back).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(began.elapsed() >= Duration::from_secs(7200), "{:?}", began.elapsed());
    assert_eq!(lab.hour().await, Ok(12));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_leaves_spreads_the_return_of_its_clients() {
    let hour = Duration::from_secs(3600);
    let config = rpc_core::Config::builder().reconnect_spread(hour).build().unwrap();
    let old = TestServer::start(Server::builder().service(Bench.serve()).config(config)).unwrap();
    let mut waits = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(old.client().reconnect(Reconnect::default()).await.unwrap());
    }
    old.server().shutdown().await;
    settle().await;
    for client in &clients {
        let ClientState::Reconnecting { next_in: Some(wait), .. } = client.state() else {
            panic!("{:?}", client.state())
        };
        waits.push(wait);
    }
    assert!(waits.iter().all(|wait| *wait <= hour), "{waits:?}");
    assert!(waits.iter().max().unwrap() > &(hour / 10) && waits.iter().min().unwrap() < &(hour / 2), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_link_is_left_at_once() {
    let server = lab();
    let (client, attempts) = failing(&server, Reconnect::default().initial_delay(Duration::ZERO)).await;
    let began = Instant::now();
    server.network().hold();
    let mut states = client.states();
    let is_away = async { while !matches!(states.next().await, Some(ClientState::Reconnecting { .. })) {} };
    timeout(Duration::from_secs(60), is_away).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    // Nothing has been heard for `keepalive_timeout`, ten seconds before the hold included. The answer to the goodbye
    // is not waited for.
    let first = *attempts.lock().unwrap().first().unwrap() - began;
    assert!(first < Duration::from_millis(20_500), "{first:?}");
}
