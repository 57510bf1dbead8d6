//! The options of the program.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;

use crate::patience::QUICK;

/// Measures Duplex RPC beside bare sockets and, with the feature `rivals`, beside other systems.
///
/// Each system runs as a server and a client in processes of their own over loopback. The systems alternate round by
/// round; the figures are medians, and the ratios compare the rounds with those of the bare echo. Use a quiet machine.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Measure these rows only; `--list` names them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// Measure these peers only; `--list` names them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Rounds of each row [default: 5; 1 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Seconds of each measurement [default: 1; 0.15 with --quick].
    #[arg(long)]
    seconds: Option<f64>,
    /// The folder for `compare.jsonl`, `compare.md` and the charts.
    #[arg(long, default_value = "target/compare")]
    pub(crate) output: PathBuf,
    /// One short round, with smaller sizes and fewer connections: shows that everything works, and says little about
    /// speed. It ends within two minutes: after 70 seconds, the remaining rows are measured for this project and the
    /// bare echo only.
    #[arg(long)]
    quick: bool,
    /// Name the rows and the peers, and measure nothing.
    #[arg(long)]
    pub(crate) list: bool,
    /// Used by the program itself: be the server of this peer.
    #[arg(long, hide = true)]
    pub(crate) serve: Option<String>,
    /// Used by the program itself: be the client of this peer.
    #[arg(long, hide = true)]
    pub(crate) measure: Option<String>,
    /// Used by the program itself: the row.
    #[arg(long, hide = true, default_value = "")]
    pub(crate) row: String,
    /// Used by the program itself: where the server is.
    #[arg(long, hide = true)]
    pub(crate) addr: Option<SocketAddr>,
    /// Used by the program itself: where the server tells what it has used.
    #[arg(long, hide = true)]
    pub(crate) control: Option<SocketAddr>,
    /// Used by the program itself: what sizes are divided by.
    #[arg(long, hide = true)]
    divisor: Option<usize>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { 1 } else { 5 }, usize::from)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.15 } else { 1.0 })
    }

    pub(crate) fn divisor(&self) -> usize {
        self.divisor.unwrap_or(if self.quick { 20 } else { 1 })
    }

    /// How long all peers are measured.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.quick.then_some(QUICK)
    }
}
