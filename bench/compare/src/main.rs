//! Duplex RPC beside other systems. Run with
//! `cargo run --release --manifest-path bench/compare/Cargo.toml --features rivals`; without the feature, it measures
//! this project and bare sockets only.
//!
//! A row is a kind of load (`rows.rs`); a peer is a system (`peers`), which does what `peer.rs` asks for. The driver
//! starts two processes for each measurement, this same program as a server and as a client.

mod chart;
mod client;
mod counters;
mod detour;
mod driver;
mod host;
mod meter;
mod options;
mod order;
mod patience;
mod peer;
mod peers;
mod report;
mod rows;
mod sample;
mod server;

use std::time::Duration;

use clap::Parser;
use client::Effort;
use common::Outcome;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::Options;
use peers::AnyPeer;
use rows::{ROWS, Row};

#[global_allocator]
static ALLOCATOR: counters::Counting = counters::Counting;

fn main() -> Outcome<()> {
    let options = Options::parse();
    // As many connections as the rows have. Where the hard limit is lower, the rows that need more say so.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    if let Some(peer) = &options.serve {
        return peer_named(peer)?.serve(row_named(&options.row)?);
    }
    if let Some(peer) = &options.measure {
        let (addr, control) =
            options.addr.zip(options.control).ok_or("--measure needs --addr and --control: leave it to the program")?;
        let effort =
            Effort { time: Duration::try_from_secs_f64(options.seconds())?, divisor: options.divisor().max(1) };
        let sample = peer_named(peer)?.measure(row_named(&options.row)?, effort, addr, control)?;
        println!("{}", serde_json::to_string(&sample)?);
        return Ok(());
    }
    if options.list {
        list();
        return Ok(());
    }
    let mut rows: Vec<_> = options.rows.iter().map(|name| row_named(name)).collect::<Outcome<_>>()?;
    if rows.is_empty() {
        rows = ROWS.iter().collect();
    }
    let mut peers: Vec<_> = options.peers.iter().map(|name| peer_named(name)).collect::<Outcome<_>>()?;
    if peers.is_empty() {
        peers = peers::all();
    }
    driver::run(&options, &rows, &peers)
}

fn row_named(name: &str) -> Outcome<&'static Row> {
    Row::named(name).ok_or_else(|| format!("there is no row {name:?}; --list names them").into())
}

fn peer_named(name: &str) -> Outcome<Box<dyn AnyPeer>> {
    let hint = if cfg!(feature = "rivals") { "" } else { "; other systems need the feature `rivals`" };
    peers::named(name).ok_or_else(|| format!("there is no peer {name:?}; --list names them{hint}").into())
}

fn list() {
    println!("rows:");
    for row in ROWS {
        println!("  {:<18} {} ({})", row.name, row.title, row.unit().name);
    }
    println!("peers:");
    for peer in peers::all() {
        println!("  {:<18} {}", peer.name(), peer.about());
    }
}
