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

use allocated::{allocated, asked_for};
use rpc_client::Connect;
use rpc_core::Stub;
use rpc_server::{Server, ServerBuilder, ServerHandle};
use rpc_testing::{
    Limit, Link, SOON, at_rest, join,
    rows::{Guest, Host, HostClient, Memory, Pace, Row, Scene, Side, Victim, config, opening, rows},
    until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How many calls the healthy client makes of the method that is cut off, beside each cut.
const OF_THE_HEALTHY: usize = 1;

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
}

impl Scene for Place {
    fn healthy(&self) -> &HostClient {
        &self.healthy
    }

    fn memory(&self) -> Memory {
        Memory { held: allocated(), asked: asked_for() }
    }

    async fn attack(&self, row: &Row) {
        let link: Link = Box::new(self.link(row.number == 35).await);
        let sessions = self.server.sessions().clone();
        row.attack(link, Side::Server, move || sessions.connections() == 1).await;
    }

    async fn is_at_rest(&self) {
        let sessions = self.server.sessions();
        until("all have left", || sessions.connections() == 1 && sessions.len() == 1 && self.victim.held() == 0).await;
        at_rest(&self.healthy.session()).await;
        at_rest(&sessions.iter().next().unwrap()).await;
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
    let (whole, before) = (opening(), place.memory().held);
    for cut in 0..whole.len() {
        let ran = place.victim.echoed();
        let what = format!("a request cut at byte {cut}");
        let peer = async || {
            let mut link = place.link(true).await;
            link.write_all(&whole[..cut]).await.unwrap();
        };
        place.repeat(&what, 1, peer).await;
        assert_eq!(place.victim.echoed() - ran, OF_THE_HEALTHY, "{what}");
    }
    let (mut read, mut is_whole) = (0, false);
    while !is_whole {
        let ran = place.victim.echoed();
        let what = format!("an answer cut at byte {read}");
        let peer = async || {
            let mut came = vec![0; read];
            let mut link = place.link(true).await;
            link.write_all(&whole).await.unwrap();
            link.read_exact(&mut came).await.unwrap();
            // The text of the answer.
            is_whole = came.ends_with(b"\xa2hi");
        };
        place.repeat(&what, 1, peer).await;
        let ran = place.victim.echoed() - ran;
        assert!(ran <= OF_THE_HEALTHY + 1 && (!is_whole || ran == OF_THE_HEALTHY + 1), "{what}: {ran}");
        read += 1;
    }
    place.freed("cuts leave nothing", before).await;
}
