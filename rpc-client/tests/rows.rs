//! Every row of hostile input that a server can bring about by bytes, against a client, beside another session of the
//! same process. Counters and memory are afterwards what they were before.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "rows/answers.rs"]
mod answers;
#[path = "rows/damaged.rs"]
mod damaged;

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
    rows::{Guest, Host, HostClient, Pace, Row, Side, Victim, answer, config, rows},
    until,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a row that takes no time is run again.
const AGAIN: usize = 4;
/// What may be left of a row that was run so often: places in tables, and what the thread keeps for a while.
const LEFT: usize = 40 * 1024;

fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes of a client's Hello that are cut; it has some more.
const HELLO: usize = 60;

/// A server that keeps no rules, and a session with another one, which has been open since before.
struct Place {
    listener: TcpListener,
    victim: Victim,
    healthy: HostClient,
    server: ServerHandle,
}

impl Place {
    async fn begin() -> Self {
        let server = Server::builder().service(Host::serve(Victim::default())).listen("127.0.0.1:0").await.unwrap();
        let connecting = HostClient::connect(format!("ws://{}/", server.local_addr()));
        let healthy = connecting.callback(Guest::serve(Victim::default())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, victim: Victim::default(), healthy, server }
    }

    /// The session with the other server is called and calls back, without a pause.
    async fn served(&self) {
        loop {
            assert_eq!(self.healthy.echo("hi".to_owned()).await.as_deref(), Ok("hi"));
            assert_eq!(self.healthy.ask().await.as_deref(), Ok("a server asks"));
        }
    }

    async fn run(&self, row: &Row) {
        let attack = async |link, gone: Arc<AtomicBool>| {
            row.attack(link, Side::Client, move || gone.load(Ordering::SeqCst)).await;
        };
        self.session(&format!("{row:?}"), row.pace, row.number == 35, attack).await;
    }

    /// A client connects to the server that keeps no rules, and stays until its session is over. The server learns
    /// when that is. If it `resets`, its end of the link is a reset.
    async fn session(&self, what: &str, pace: Pace, resets: bool, server: impl AsyncFnOnce(Link, Arc<AtomicBool>)) {
        let url = format!("ws://{}/", self.listener.local_addr().unwrap());
        let connecting = HostClient::connect(url).callback(Guest::serve(self.victim.clone())).config(config(pace));
        let connecting = connecting.reconnect(Reconnect::never());
        let gone = Arc::<AtomicBool>::default();
        let over = gone.clone();
        let client = tokio::spawn(async move {
            if let Ok(host) = connecting.await {
                let session = host.session();
                session.closed().await;
                assert_eq!(session.stats(), Stats::default());
            }
            over.store(true, Ordering::SeqCst);
        });
        let attack = async {
            let stream = accept(&self.listener).await.into_inner();
            if resets {
                stream.set_zero_linger().unwrap();
            }
            server(Box::new(stream), gone).await;
        };
        self.beside(what, attack).await;
        timeout(SOON, client).await.unwrap().unwrap();
        until("no handler is left", || self.victim.held() == 0).await;
        self.is_at_rest().await;
    }

    /// Runs what a server does that keeps no rules, while the other one serves.
    async fn beside(&self, what: &str, server: impl Future<Output = ()>) {
        tokio::select! {
            ended = timeout(SOON, server) => ended.unwrap_or_else(|_| panic!("{what} does not end")),
            () = self.served() => unreachable!("the calls go on"),
        }
    }

    async fn is_at_rest(&self) {
        at_rest(&self.healthy.session()).await;
        at_rest(&self.server.sessions().iter().next().unwrap()).await;
    }

    /// Runs what a server does, and then again as often as this; what is left each time adds up.
    async fn leaves_nothing(&self, what: &str, again: usize, server: impl AsyncFn()) {
        self.beside(what, server()).await;
        let before = allocated();
        for _ in 0..again {
            self.beside(what, server()).await;
        }
        self.is_at_rest().await;
        self.freed(&format!("{what} leaves nothing"), before).await;
    }

    /// As [`Self::run`], and looks at the memory.
    async fn measure(&self, row: &Row) {
        // From here on, the thread keeps what a call needs.
        assert_eq!(self.healthy.echo("hi".to_owned()).await.as_deref(), Ok("hi"));
        let (before, asked) = (allocated(), ALLOCATOR.stats().bytes_allocated);
        self.run(row).await;
        let asked = ALLOCATOR.stats().bytes_allocated - asked;
        assert!(row.allocates.is_none_or(|most| asked <= most), "{row:?}: {asked} bytes were allocated");
        if row.pace == Pace::Patient {
            // What is left each time adds up.
            for _ in 0..AGAIN {
                self.run(row).await;
            }
        }
        self.freed(&format!("{row:?} leaves nothing"), before).await;
    }

    /// Waits until there is no more than before. The healthy client is served meanwhile: the thread frees what its
    /// connections have not needed for a while, and keeps what these calls need.
    async fn freed(&self, what: &str, before: usize) {
        tokio::select! {
            () = until(what, || allocated() <= before + LEFT) => {}
            () = self.served() => unreachable!("the calls go on"),
        }
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
    answers::run(&place).await;
    damaged::run(&place).await;
    timeout(SOON, place.server.shutdown()).await.unwrap();
}

/// Row 37: a call is cut off at each byte of its answer, and a Hello at each of its first bytes. Both end, and the call
/// says that its method may have run.
async fn every_cut(place: &Place) {
    let url = format!("ws://{}/", place.listener.local_addr().unwrap());
    let connecting =
        || HostClient::connect(&url).callback(Guest::serve(place.victim.clone())).reconnect(Reconnect::never());
    for cut in 0.. {
        let answer = async {
            let stream = accept(&place.listener).await.into_inner();
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
            let mut stream = accept(&place.listener).await.into_inner();
            let is_over = timeout(SOON, stream.read_exact(&mut came)).await.unwrap().is_err();
            stream.set_zero_linger().unwrap();
            is_over
        };
        let connecting = async { connecting().await.map(drop) };
        let (is_over, ended) = timeout(SOON, async { tokio::join!(reading, connecting) }).await.unwrap();
        assert!(!is_over && ended.is_err(), "a Hello cut at byte {cut}");
    }
}
