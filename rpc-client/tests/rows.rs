//! Every row of hostile input that a server can bring about by bytes, against a client, beside another session of the
//! same process. Counters and memory are afterwards what they were before.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "rows/answers.rs"]
mod answers;
#[path = "rows/damaged.rs"]
mod damaged;
#[path = "rows/positions.rs"]
mod positions;
#[path = "rows/resumed.rs"]
mod resumed;

use std::{
    alloc::System,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rpc_client::{Connect, Reconnect};
use rpc_core::{Code, Execution, Stats, Stub};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{
    Limit, Link, SOON, accept, at_rest,
    rows::{Guest, Host, HostClient, Memory, Pace, Row, Scene, Side, Victim, answer, config, rows},
    until,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of a client's Hello that are cut; it has some more.
const HELLO: usize = 60;

/// A session with a server, which has been open since before any other server came.
struct Place {
    victim: Victim,
    healthy: HostClient,
    server: ServerHandle,
}

impl Place {
    async fn begin() -> Self {
        let server = Server::builder().service(Host::serve(Victim::default())).listen("127.0.0.1:0").await.unwrap();
        let connecting = HostClient::connect(format!("ws://{}/", server.local_addr()));
        let healthy = connecting.callback(Guest::serve(Victim::default())).await.unwrap();
        Self { victim: Victim::default(), healthy, server }
    }

    /// A client connects to a server that keeps no rules, and stays until its session is over. The server learns when
    /// that is. If it `resets`, its end of the link is a reset.
    async fn session(&self, pace: Pace, resets: bool, server: impl AsyncFnOnce(Link, Arc<AtomicBool>)) {
        let (listener, url) = listen().await;
        let connecting = HostClient::connect(url).callback(Guest::serve(self.victim.clone())).config(config(pace));
        let connecting = connecting.reconnect(Reconnect::never());
        let gone = Arc::<AtomicBool>::default();
        let over = gone.clone();
        let client = async move {
            if let Ok(host) = connecting.await {
                let session = host.session();
                session.closed().await;
                assert_eq!(session.stats(), Stats::default());
            }
            over.store(true, Ordering::SeqCst);
        };
        let attack = async {
            let stream = accept(&listener).await.into_inner();
            if resets {
                stream.set_zero_linger().unwrap();
            }
            server(Box::new(stream), gone).await;
        };
        tokio::join!(client, attack);
    }
}

/// Where a server listens that keeps no rules.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

impl Scene for Place {
    fn healthy(&self) -> &HostClient {
        &self.healthy
    }

    fn memory(&self) -> Memory {
        let stats = ALLOCATOR.stats();
        Memory { held: stats.bytes_allocated - stats.bytes_deallocated, asked: stats.bytes_allocated }
    }

    async fn attack(&self, row: &Row) {
        let attack = async |link, gone: Arc<AtomicBool>| {
            row.attack(link, Side::Client, move || gone.load(Ordering::SeqCst)).await;
        };
        self.session(row.pace, row.number == 35, attack).await;
    }

    async fn is_at_rest(&self) {
        until("no handler is left", || self.victim.held() == 0).await;
        at_rest(&self.healthy.session()).await;
        at_rest(&self.server.sessions().iter().next().unwrap()).await;
    }
}

#[tokio::test]
async fn hostile_rows_leave_nothing_at_a_client() {
    let _limit = Limit::begin();
    let place = Place::begin().await;
    // What the process keeps is made by a first round.
    for row in rows().iter().filter(|row| row.pace == Pace::Patient) {
        place.run(row).await;
    }
    for row in &rows() {
        place.measure(row).await;
    }
    every_cut(&place).await;
    resumed::run(&place).await;
    positions::run(&place).await;
    answers::run(&place).await;
    damaged::run(&place).await;
    timeout(SOON, place.server.shutdown()).await.unwrap();
}

/// Row 37: a call is cut off at each byte of its answer, and a Hello at each of its first bytes. Both end, and the call
/// says that its method may have run.
async fn every_cut(place: &Place) {
    let (listener, url) = listen().await;
    let connecting =
        || HostClient::connect(&url).callback(Guest::serve(place.victim.clone())).reconnect(Reconnect::never());
    for cut in 0.. {
        let answer = async {
            let stream = accept(&listener).await.into_inner();
            // The answer comes before the end of the link.
            answer(Box::new(stream), cut).await
        };
        let call = async { connecting().await.unwrap().echo("hi".to_owned()).await };
        let (is_whole, outcome) = timeout(SOON, async { tokio::join!(answer, call) }).await.unwrap();
        match outcome {
            Ok(text) => assert!(is_whole && text == "hi", "an answer cut at byte {cut}"),
            Err(status) => {
                assert!(!is_whole, "{status}");
                let seen = (status.code(), status.execution());
                assert_eq!(seen, (Code::Unavailable, Execution::Unknown), "an answer cut at byte {cut}: {status}");
            }
        }
        if is_whole {
            break;
        }
    }
    for cut in 0..HELLO {
        let mut came = vec![0; cut];
        let reading = async {
            let mut stream = accept(&listener).await.into_inner();
            let is_over = timeout(SOON, stream.read_exact(&mut came)).await.unwrap().is_err();
            stream.set_zero_linger().unwrap();
            is_over
        };
        let connecting = async { connecting().await.map(drop) };
        let (is_over, ended) = timeout(SOON, async { tokio::join!(reading, connecting) }).await.unwrap();
        assert!(!is_over && ended.is_err(), "a Hello cut at byte {cut}");
    }
}
