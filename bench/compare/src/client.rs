//! The client's process: it connects to a server, and measures one row.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::{Outcome, median};
use tokio::task::JoinSet;

use crate::{
    counters::Counters,
    detour::Detour,
    host::Host,
    meter::{Meter, Phase},
    peer::{Call, Link, Peer},
    rows::{Row, Work},
    sample::{Sample, Use},
    server::Control,
};

const MIB: usize = 1024 * 1024;
/// Bytes of a block of [`Work::Bulk`]: as many as a chunk of a session holds in one piece.
const BLOCK: usize = 65_000;
/// Bytes of a payload beside those blocks.
const LARGE: usize = 4 * MIB - 64;
/// Callbacks that the client asks for at once, unless sizes are divided.
const CALLBACKS: u64 = 6_400;
/// The most connections of one phase of [`Work::Connect`]: closed ones keep their ports for a minute.
const MAX_CONNECTIONS: u64 = 8_000;
/// The most broadcasts before messages to clients that read nothing are dropped: more than a queue holds.
const MAX_FILLING: usize = 1_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// The time of the measured phase; what has a fixed size may take longer.
    pub(crate) time: Duration,
    /// What the sizes of a row, and its number of connections beyond 32, are divided by.
    pub(crate) divisor: usize,
}

/// Connects as the row says, warms up, counts allocations for a while, and then measures.
pub(crate) async fn measure<P: Peer>(
    row: &'static Row,
    effort: Effort,
    addr: SocketAddr,
    control: SocketAddr,
) -> Outcome<Sample> {
    let mut control = Control::connect(control)?;
    let host = Arc::new(Host::default());
    if row.work == Work::Idle {
        return idle::<P>(row, effort, addr, &mut control, &host).await;
    }
    let links = match row.work {
        Work::Broadcast { stalled } => subscribe::<P>(connections(row, effort), stalled, addr, &host).await?,
        Work::Majority => subscribe::<P>(connections(row, effort), 0, addr, &host).await?,
        _ => connect::<P>(connections(row, effort), addr, &host).await?,
    };
    let load = Load::<P> { row, links, addr, host, callbacks: CALLBACKS / effort.divisor as u64 };
    load.fill_queues().await?;
    load.phase(effort.time / 5, effort.divisor * 8).await?;

    let (server, client) = (control.read()?, Counters::read()?);
    control.count_allocations(true)?;
    let counted = load.phase(effort.time / 5, effort.divisor * 8).await?;
    control.count_allocations(false)?;
    let allocations = [control.read()? - server, Counters::read()? - client].map(|used| used.allocations);

    let (server, client) = (control.read()?, Counters::read()?);
    let phase = load.phase(effort.time, effort.divisor).await?;
    let [server, client] = [control.read()? - server, Counters::read()? - client];
    Ok(Sample {
        value: load.value(&phase),
        server: Use::of_a_call(&server, phase.count, allocations[0], counted.count),
        client: Use::of_a_call(&client, phase.count, allocations[1], counted.count),
        p50_us: phase.percentile(0.5),
        p99_us: phase.percentile(0.99),
    })
}

fn connections(row: &Row, effort: Effort) -> usize {
    if row.connections > 32 { row.connections / effort.divisor } else { row.connections }
}

async fn connect<P: Peer>(count: usize, addr: SocketAddr, host: &Arc<Host>) -> Outcome<Vec<P::Link>> {
    let mut links = Vec::with_capacity(count);
    for _ in 0..count {
        links.push(P::connect(addr, Arc::clone(host)).await?);
    }
    Ok(links)
}

/// Connects clients that hear broadcasts. One in `stalled` reads nothing after that, and is not among the links; 0
/// stands for none.
async fn subscribe<P: Peer>(count: usize, stalled: usize, addr: SocketAddr, host: &Arc<Host>) -> Outcome<Vec<P::Link>> {
    let stalled = count.checked_div(stalled).map_or(0, |stalled| stalled.max(1)).min(count.saturating_sub(1));
    let links = connect::<P>(count - stalled, addr, host).await?;
    for link in &links {
        link.subscribe(Arc::clone(host)).await?;
    }
    for _ in 0..stalled {
        let detour = Detour::to(addr).await?;
        let link = P::connect(detour.addr, Arc::clone(host)).await?;
        link.subscribe(Arc::clone(host)).await?;
        // Its messages wait for it until the process ends.
        std::mem::forget(link);
        detour.block();
    }
    Ok(links)
}

/// The memory that each connection takes beyond the first ones, at both ends.
async fn idle<P: Peer>(
    row: &Row,
    effort: Effort,
    addr: SocketAddr,
    control: &mut Control,
    host: &Arc<Host>,
) -> Outcome<Sample> {
    // The first connections bring what all share: threads, tables, the code itself.
    let _first = connect_and_call::<P>(16, addr, host).await?;
    let (server, client) = (control.read()?, Counters::read()?);
    let count = connections(row, effort);
    let _links = connect_and_call::<P>(count, addr, host).await?;
    let [server, client] = [control.read()? - server, Counters::read()? - client];
    let [server, client] = [server, client].map(|grown| grown.resident_kib as f64 / count as f64);
    Ok(Sample {
        value: server + client,
        server: Use { idle_kib: Some(server), ..Use::default() },
        client: Use { idle_kib: Some(client), ..Use::default() },
        p50_us: None,
        p99_us: None,
    })
}

async fn connect_and_call<P: Peer>(count: usize, addr: SocketAddr, host: &Arc<Host>) -> Outcome<Vec<P::Link>> {
    let links = connect::<P>(count, addr, host).await?;
    for link in &links {
        one_call(link).await?;
    }
    Ok(links)
}

async fn one_call<L: Link>(link: &L) -> Outcome<()> {
    if link.add_one(1).await? == 2 { Ok(()) } else { Err("a wrong answer came".into()) }
}

/// A row with its open connections.
struct Load<P: Peer> {
    row: &'static Row,
    links: Vec<P::Link>,
    addr: SocketAddr,
    host: Arc<Host>,
    /// How many callbacks the client asks for at once.
    callbacks: u64,
}

impl<P: Peer> Load<P> {
    /// Does what the row says for this time, or for its size divided by `divisor`.
    async fn phase(&self, time: Duration, divisor: usize) -> Outcome<Phase> {
        let link = &self.links[0];
        match self.row.work {
            Work::Calls { call, in_flight } => self.calls(call, in_flight, time, false).await,
            Work::Latency { call, in_flight } => self.calls(call, in_flight, time, true).await,
            Work::BesideBulk { payloads } => {
                Meter::run(time, true, |meter| async move {
                    let bulk = Meter::run(time, false, |bulk| async move {
                        link.keep_in_flight(Call::Echo(MIB), payloads, &bulk).await
                    });
                    let (_, small) = tokio::join!(bulk, link.keep_in_flight(Call::Small, 1, &meter));
                    small
                })
                .await
            }
            Work::OneWay => {
                self.batches(time, 50_000 / divisor.min(20) as u64, |count| async move { link.one_way(count).await })
                    .await
            }
            Work::CallBack { in_flight } => {
                self.batches(time, self.callbacks, |count| async move { link.call_back(count, in_flight).await }).await
            }
            Work::BothWays { in_flight } => {
                Meter::run(time, false, |meter| async move {
                    let there = link.keep_in_flight(Call::Small, in_flight, &meter);
                    let back = async {
                        while !meter.is_stopped() {
                            link.call_back(self.callbacks, in_flight).await?;
                            meter.add(self.callbacks);
                        }
                        Ok(())
                    };
                    tokio::try_join!(there, back)?;
                    Ok(())
                })
                .await
            }
            Work::Broadcast { .. } => self.broadcasts(time).await,
            Work::Majority => {
                let answers = self.links.len() as u64 / 2 + 1;
                Meter::run(time, true, |meter| async move {
                    let mut tally = meter.tally();
                    while !meter.is_stopped() {
                        let begun = tally.begin();
                        link.majority(answers).await?;
                        tally.end(begun);
                    }
                    Ok(())
                })
                .await
            }
            Work::Bulk { mib, payloads } => self.bulk(mib / divisor, payloads).await,
            Work::Items { count } => {
                self.batches(time, count / divisor as u64, |count| async move { link.items(count).await }).await
            }
            Work::Connect { at_once } => self.connects(at_once, time).await,
            Work::Idle => Err("idle connections have no phases".into()),
        }
    }

    async fn calls(&self, call: Call, in_flight: usize, time: Duration, is_timed: bool) -> Outcome<Phase> {
        Meter::run(time, is_timed, |meter| async move {
            let mut links = JoinSet::new();
            for link in &self.links {
                let (link, meter) = (link.clone(), Arc::clone(&meter));
                links.spawn(async move { link.keep_in_flight(call, in_flight, &meter).await });
            }
            while let Some(link) = links.join_next().await {
                link??;
            }
            Ok(())
        })
        .await
    }

    /// Repeats work of a fixed size until the time is up; at least once.
    async fn batches<F>(&self, time: Duration, size: u64, batch: impl Fn(u64) -> F) -> Outcome<Phase>
    where
        F: Future<Output = Outcome<()>>,
    {
        Meter::run(time, false, |meter| async move {
            loop {
                batch(size).await?;
                meter.add(size);
                if meter.is_stopped() {
                    return Ok(());
                }
            }
        })
        .await
    }

    /// Broadcasts until messages to clients that read nothing are dropped, if the peer can drop any. What is measured
    /// then is measured beside queues that are full.
    async fn fill_queues(&self) -> Outcome<()> {
        if !matches!(self.row.work, Work::Broadcast { stalled: 1.. }) {
            return Ok(());
        }
        for _ in 0..MAX_FILLING {
            if self.broadcast().await? != Some(false) {
                return Ok(());
            }
        }
        Err("the queues of clients that read nothing do not become full".into())
    }

    /// One message to each client, until the last one has it. Says whether some were dropped, if the peer can do that.
    async fn broadcast(&self) -> Outcome<Option<bool>> {
        self.host.expect(self.links.len() as u64);
        let dropped = match self.row.work {
            Work::Broadcast { stalled: 1.. } => self.links[0].broadcast_or_drop().await?,
            _ => self.links[0].broadcast().await.map(|()| None)?,
        };
        self.host.all().await;
        Ok(dropped)
    }

    /// The times of the phase are those until the last client has its message; its count is of all messages.
    async fn broadcasts(&self, time: Duration) -> Outcome<Phase> {
        let mut phase = Meter::run(time, true, |meter| async move {
            while !meter.is_stopped() {
                let mut tally = meter.tally();
                let begun = tally.begin();
                self.broadcast().await?;
                tally.end(begun);
            }
            Ok(())
        })
        .await?;
        phase.count *= self.links.len() as u64;
        Ok(phase)
    }

    /// The count of the phase is in MiB.
    async fn bulk(&self, mib: usize, payloads: usize) -> Outcome<Phase> {
        let link = &self.links[0];
        let blocks = (mib.max(1) * MIB / BLOCK) as u64;
        let mut phase = Meter::run(Duration::MAX, false, |meter| async move {
            let echoes = async {
                if P::Link::can_echo_beside_bulk() {
                    link.keep_in_flight(Call::Echo(LARGE), payloads, &meter).await?;
                }
                Outcome::Ok(())
            };
            let streams = async {
                link.bulk(blocks, BLOCK).await?;
                // The echoes end with the streams.
                meter.stop();
                Ok(())
            };
            tokio::try_join!(echoes, streams)?;
            Ok(())
        })
        .await?;
        phase.count = 2 * (phase.count * LARGE as u64 + blocks * BLOCK as u64) / MIB as u64;
        Ok(phase)
    }

    async fn connects(&self, at_once: usize, time: Duration) -> Outcome<Phase> {
        Meter::run(time, false, |meter| async move {
            let mut openers = JoinSet::new();
            for _ in 0..at_once {
                let (meter, addr, host) = (Arc::clone(&meter), self.addr, Arc::clone(&self.host));
                openers.spawn(async move {
                    let mut tally = meter.tally();
                    while !meter.is_stopped() && tally.made() < MAX_CONNECTIONS / at_once as u64 {
                        let link = P::connect(addr, Arc::clone(&host)).await?;
                        one_call(&link).await?;
                        tally.end(None);
                    }
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                });
            }
            while let Some(opener) = openers.join_next().await {
                opener??;
            }
            Ok(())
        })
        .await
    }

    /// The figure of the row.
    fn value(&self, phase: &Phase) -> f64 {
        let rate = phase.count as f64 / phase.elapsed.as_secs_f64();
        match self.row.work {
            Work::Calls { call: Call::Echo(bytes), .. } if bytes >= 64 * 1024 => rate * bytes as f64 / 1e6,
            Work::Latency { .. } | Work::BesideBulk { .. } => phase.percentile(0.99).unwrap_or(f64::NAN),
            Work::Broadcast { .. } | Work::Majority => {
                median(phase.micros.iter().map(|micros| f64::from(*micros)).collect()) / 1e3
            }
            _ => rate,
        }
    }
}
