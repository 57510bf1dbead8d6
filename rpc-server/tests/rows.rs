//! Every row of hostile input that a client can bring about by bytes, against a server, beside a client that is served
//! throughout. Counters and memory are afterwards what they were before.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;
#[path = "rows/damaged.rs"]
mod damaged;
mod raw;
#[path = "rows/upgrades.rs"]
mod upgrades;

use allocated::{KIB, allocated, asked_for};
use rpc_client::Connect;
use rpc_core::Stub;
use rpc_server::{Server, ServerBuilder, ServerHandle};
use rpc_testing::{
    Limit, Link, SOON, at_rest, join,
    rows::{Guest, Host, HostClient, Pace, Row, Side, Victim, config, opening, rows},
    until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How often a row that takes no time is run again.
const AGAIN: usize = 4;
/// What may be left of a row that was run so often: places in tables, and what the thread keeps for a while.
const LEFT: usize = 40 * KIB;

/// A server, and a client that has had a session since before any hostile peer came.
struct Place {
    server: ServerHandle,
    victim: Victim,
    healthy: HostClient,
}

impl Place {
    async fn begin(pace: Pace) -> Self {
        Self::with(Server::builder().config(config(pace))).await
    }

    async fn with(builder: ServerBuilder) -> Self {
        let victim = Victim::default();
        let server = builder.service(Host::serve(victim.clone())).listen("127.0.0.1:0").await.unwrap();
        let connecting = HostClient::connect(format!("ws://{}/", server.local_addr()));
        let connecting = connecting.header("authorization", "Bearer healthy");
        let healthy = connecting.callback(Guest::serve(Victim::default())).await.unwrap();
        Self { server, victim, healthy }
    }

    /// A connection that has just become a WebSocket. If it `resets`, its end is a reset.
    async fn link(&self, resets: bool) -> TcpStream {
        let stream = join(self.server.local_addr()).await.into_inner();
        if resets {
            stream.set_zero_linger().unwrap();
        }
        stream
    }

    /// The healthy client calls without a pause, and is called back.
    async fn served(&self) {
        loop {
            assert_eq!(self.healthy.echo("hi".to_owned()).await.as_deref(), Ok("hi"));
            assert_eq!(self.healthy.ask().await.as_deref(), Ok("a server asks"));
        }
    }

    /// Runs what a peer does while the healthy client is served.
    async fn beside(&self, what: &str, peer: impl Future<Output = ()>) {
        tokio::select! {
            ended = timeout(SOON, peer) => ended.unwrap_or_else(|_| panic!("{what} does not end")),
            () = self.served() => unreachable!("the calls go on"),
        }
        let sessions = self.server.sessions();
        until(what, || sessions.connections() == 1 && sessions.len() == 1 && self.victim.held() == 0).await;
        at_rest(&self.healthy.session()).await;
        at_rest(&sessions.iter().next().unwrap()).await;
    }

    async fn run(&self, row: &Row) {
        let link: Link = Box::new(self.link(row.number == 35).await);
        let sessions = self.server.sessions().clone();
        self.beside(&format!("{row:?}"), row.attack(link, Side::Server, move || sessions.connections() == 1)).await;
    }

    /// As [`Self::run`], and looks at the memory.
    async fn measure(&self, row: &Row) {
        // From here on, the thread keeps what a call needs.
        assert_eq!(self.healthy.echo("hi".to_owned()).await.as_deref(), Ok("hi"));
        let (before, asked) = (allocated(), asked_for());
        self.run(row).await;
        let asked = asked_for() - asked;
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

    /// Runs what a peer does, and then again as often as this; what is left each time adds up.
    async fn leaves_nothing(&self, what: &str, again: usize, peer: impl AsyncFn()) {
        self.beside(what, peer()).await;
        let before = allocated();
        for _ in 0..again {
            self.beside(what, peer()).await;
        }
        self.freed(&format!("{what} leaves nothing"), before).await;
    }
}

#[tokio::test]
async fn hostile_rows_leave_nothing_at_a_server() {
    let _limit = Limit::begin();
    for pace in [Pace::Patient, Pace::Hasty] {
        let place = Place::begin(pace).await;
        let rows: Vec<_> = rows().into_iter().filter(|row| row.pace == pace).collect();
        assert!(rows.len() >= 5, "{rows:?}");
        // What the process keeps is made by a first round.
        if pace == Pace::Patient {
            for row in &rows {
                place.run(row).await;
            }
        }
        for row in &rows {
            place.measure(row).await;
        }
        if pace == Pace::Patient {
            every_cut(&place).await;
            damaged::run(&place).await;
        }
        timeout(SOON, place.server.shutdown()).await.unwrap();
    }
    upgrades::run().await;
}

/// Row 37: a call is cut off at each byte of its request and of its answer. It runs once at most, and not at all if
/// its request has not come whole.
async fn every_cut(place: &Place) {
    let whole = opening();
    for cut in 0..whole.len() {
        let ran = place.victim.echoed();
        let peer = async {
            let mut link = place.link(true).await;
            link.write_all(&whole[..cut]).await.unwrap();
        };
        let calls = place.beside_quietly(peer).await;
        assert_eq!(place.victim.echoed() - ran, calls, "a request cut at byte {cut}");
    }
    let mut read = 0;
    loop {
        let ran = place.victim.echoed();
        let mut came = vec![0; read];
        let mut is_whole = false;
        let peer = async {
            let mut link = place.link(true).await;
            link.write_all(&whole).await.unwrap();
            link.read_exact(&mut came).await.unwrap();
            // The text of the answer.
            is_whole = came.ends_with(b"\xa2hi");
        };
        let calls = place.beside_quietly(peer).await;
        assert!(place.victim.echoed() - ran <= calls + 1, "an answer cut at byte {read}");
        if is_whole {
            assert_eq!(place.victim.echoed() - ran, calls + 1);
            break;
        }
        read += 1;
    }
}

impl Place {
    /// As [`Self::beside`] with one call of the healthy client, whose number it returns: they are counted too.
    async fn beside_quietly(&self, peer: impl Future<Output = ()>) -> usize {
        let call = async { assert_eq!(self.healthy.echo("hi".to_owned()).await.as_deref(), Ok("hi")) };
        timeout(SOON, async { tokio::join!(peer, call) }).await.unwrap();
        until("the peer is gone", || self.server.sessions().connections() == 1).await;
        1
    }
}
