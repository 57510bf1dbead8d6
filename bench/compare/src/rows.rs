//! What is measured: each row is one kind of load, on one number of connections and of worker threads.

use crate::peer::{Ability, Call};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// One row of the tables.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) group: Group,
    /// Worker threads of each process.
    pub(crate) workers: usize,
    pub(crate) connections: usize,
    pub(crate) work: Work,
}

/// Rows that share a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Calls,
    Bulk,
    Callbacks,
    Connections,
}

/// What the client does on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Keeps calls in flight, and counts them.
    Calls { call: Call, in_flight: usize },
    /// The same; what counts is how long the calls take.
    Latency { call: Call, in_flight: usize },
    /// How long small calls take, made one at a time beside payloads of 1 MiB that are always being echoed.
    BesideBulk { payloads: usize },
    /// One-way messages of 64 bytes from the server.
    OneWay,
    /// Calls that the server makes to the client.
    CallBack { in_flight: usize },
    /// Calls in both directions at once.
    BothWays { in_flight: usize },
    /// One message of 64 bytes to the clients of all connections, of which one in `stalled` reads nothing; 0 stands for
    /// none.
    Broadcast { stalled: usize },
    /// Calls that the server makes to the clients of all connections, until the majority has answered.
    Majority,
    /// Bytes as streams in both directions at once, with payloads of 4 MiB always being echoed beside them.
    Bulk { mib: usize, payloads: usize },
    /// One stream of numbers from the server.
    Items { count: u64 },
    /// Memory of connections that do nothing.
    Idle,
    /// Connections opened, used for one call and closed.
    Connect { at_once: usize },
}

/// What a row's figure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) more_is_better: bool,
}

pub(crate) const ROWS: &[Row] = &[
    calls("sequential", "one call at a time", 1, 1, Call::Small, 1),
    calls("in-flight-64", "64 calls in flight", 1, 1, Call::Small, 64),
    calls("in-flight-256", "256 calls in flight", 1, 1, Call::Small, 256),
    calls("connections-32x16", "32 connections x 16 calls", 1, 32, Call::Small, 16),
    calls("order-64", "a struct of ten fields each way x 64", 1, 1, Call::Order, 64),
    calls("wait-256", "a handler that waits 1 ms x 256", 1, 1, Call::Wait, 256),
    calls("two-workers-64", "two workers a side, 64 in flight", 2, 1, Call::Small, 64),
    calls("two-workers-32x16", "two workers a side, 32 x 16", 2, 32, Call::Small, 16),
    row(
        "p99-32x8",
        "99th percentile, 32 connections x 8",
        Group::Calls,
        32,
        Work::Latency { call: Call::Small, in_flight: 8 },
    ),
    bulk("kib-64", "echo of 1 KiB x 64", Call::Echo(KIB), 64),
    bulk("64-kib-8", "echo of 64 KiB x 8", Call::Echo(64 * KIB), 8),
    bulk("mib-4", "echo of 1 MiB x 4", Call::Echo(MIB), 4),
    row(
        "streams",
        "256 MiB each way as streams, beside two payloads of 4 MiB",
        Group::Bulk,
        1,
        Work::Bulk { mib: 256, payloads: 2 },
    ),
    row("items", "one million small items of one stream", Group::Bulk, 1, Work::Items { count: 1_000_000 }),
    row(
        "beside-bulk",
        "99th percentile of small calls beside two echoes of 1 MiB",
        Group::Bulk,
        1,
        Work::BesideBulk { payloads: 2 },
    ),
    row("one-way", "one-way callbacks of 64 B", Group::Callbacks, 1, Work::OneWay),
    row("callback-64", "callbacks with a reply x 64", Group::Callbacks, 1, Work::CallBack { in_flight: 64 }),
    row(
        "both-ways-64",
        "calls and callbacks at once, 64 each way",
        Group::Callbacks,
        1,
        Work::BothWays { in_flight: 64 },
    ),
    row("broadcast", "64 B to 1,000 clients", Group::Callbacks, 1000, Work::Broadcast { stalled: 0 }),
    row(
        "broadcast-stalled",
        "64 B to 1,000 clients, of which 10 read nothing, and may miss some",
        Group::Callbacks,
        1000,
        Work::Broadcast { stalled: 100 },
    ),
    row("broadcast-10k", "64 B to 10,000 clients", Group::Callbacks, 10_000, Work::Broadcast { stalled: 0 }),
    row("majority", "the first 501 answers of 1,000 clients", Group::Callbacks, 1000, Work::Majority),
    row("idle", "memory of an idle connection, both ends", Group::Connections, 1000, Work::Idle),
    row(
        "connect",
        "connections opened, 8 at a time, with one call each",
        Group::Connections,
        1,
        Work::Connect { at_once: 8 },
    ),
];

const fn calls(
    name: &'static str,
    title: &'static str,
    workers: usize,
    connections: usize,
    call: Call,
    in_flight: usize,
) -> Row {
    Row { name, title, group: Group::Calls, workers, connections, work: Work::Calls { call, in_flight } }
}

const fn bulk(name: &'static str, title: &'static str, call: Call, in_flight: usize) -> Row {
    row(name, title, Group::Bulk, 1, Work::Calls { call, in_flight })
}

const fn row(name: &'static str, title: &'static str, group: Group, connections: usize, work: Work) -> Row {
    Row { name, title, group, workers: 1, connections, work }
}

impl Row {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.name == name)
    }

    /// What a peer must be able to do.
    pub(crate) fn needs(&self) -> &'static [Ability] {
        match self.work {
            Work::Calls { call: Call::Order, .. } => &[Ability::Order],
            Work::Calls { call: Call::Wait, .. } => &[Ability::Wait],
            Work::Calls { .. } | Work::Latency { .. } | Work::Idle | Work::Connect { .. } => &[Ability::Calls],
            Work::BesideBulk { .. } => &[Ability::Calls, Ability::Overtaking],
            Work::OneWay => &[Ability::OneWay],
            Work::CallBack { .. } => &[Ability::CallBack],
            Work::BothWays { .. } => &[Ability::Calls, Ability::CallBack],
            Work::Broadcast { .. } => &[Ability::Broadcast],
            Work::Majority => &[Ability::Majority],
            Work::Bulk { .. } => &[Ability::Bulk],
            Work::Items { .. } => &[Ability::Items],
        }
    }

    pub(crate) fn unit(&self) -> Unit {
        let (name, more_is_better) = match self.work {
            Work::Calls { call: Call::Echo(bytes), .. } if bytes >= 64 * KIB => ("MB/s each way", true),
            Work::Calls { .. } | Work::CallBack { .. } | Work::BothWays { .. } => ("calls/s", true),
            Work::Latency { .. } | Work::BesideBulk { .. } => ("us", false),
            Work::OneWay => ("messages/s", true),
            Work::Broadcast { .. } | Work::Majority => ("ms", false),
            Work::Bulk { .. } => ("MiB/s in all", true),
            Work::Items { .. } => ("items/s", true),
            Work::Idle => ("KiB", false),
            Work::Connect { .. } => ("connections/s", true),
        };
        Unit { name, more_is_better }
    }
}
