//! Starts servers and clients, round by round, and hands on what they measure.

use std::{process::Command, time::Instant};

use common::{Outcome, Server, measure};
use serde::Serialize;

use crate::{
    options::Options,
    patience::Patience,
    peers::AnyPeer,
    report::{Column, Report},
    rows::Row,
    sample::Sample,
};

/// Measures these peers in these rows. Within a round each peer has its turn, so that a machine that becomes slower
/// favours none.
pub(crate) fn run(options: &Options, rows: &[&'static Row], peers: &[Box<dyn AnyPeer>]) -> Outcome<()> {
    let mut report = Report::begin(options, peers)?;
    let mut patience = Patience::new(options.limit(), Instant::now());
    for row in rows {
        let mut columns: Vec<_> =
            peers.iter().filter(|peer| peer.can(row)).map(|peer| Column::new(peer.name())).collect();
        if columns.is_empty() {
            continue;
        }
        for round in 0..options.rounds() {
            // Each round begins with another peer.
            for turn in 0..columns.len() {
                let at = (turn + round) % columns.len();
                let column = &mut columns[at];
                if column.has_failed() || !patience.allows(row.name, column.peer, Instant::now()) {
                    continue;
                }
                match sample(options, row, column.peer) {
                    Ok(sample) => {
                        report.write_sample(row, column.peer, round, &sample)?;
                        column.samples.push((round, sample));
                    }
                    Err(error) => {
                        report.write_failure(row, column.peer, &error.to_string())?;
                        column.failure = Some(error.to_string());
                    }
                }
            }
        }
        report.end_row(row, columns);
    }
    report.end(patience.note())
}

/// One round in two new processes.
fn sample(options: &Options, row: &Row, peer: &str) -> Outcome<Sample> {
    let server = Server::start(&["--row", row.name, "--serve", peer])?;
    let (addr, control) = server.addr().split_once(' ').ok_or("the server did not start; its error is above")?;
    let (seconds, divisor) = (options.seconds().to_string(), options.divisor().to_string());
    let args = ["--row", row.name, "--measure", peer, "--addr", addr, "--control", control];
    let output = measure(&[&args[..], &["--seconds", &seconds, "--divisor", &divisor]].concat())?;
    Ok(serde_json::from_str(&output)?)
}

/// What a reader must know about the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: &'static str,
    /// Processes that ran or waited in the last minute, on average; on a quiet machine 0 before the first row.
    pub(crate) load: f64,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let processor =
            name.map_or_else(|| format!("unknown {} processor", std::env::consts::ARCH), |(_, name)| name.to_owned());
        let kernel = Command::new("uname").arg("-sr").output().map(|output| output.stdout).unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: String::from_utf8_lossy(&kernel).trim().to_owned(),
            rustc: env!("RUSTC_VERSION"),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN),
        }
    }
}
