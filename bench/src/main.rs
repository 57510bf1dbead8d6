//! Calls a second, ours beside a bare WebSocket echo. Run with `cargo run --release --manifest-path bench/Cargo.toml`.
//!
//! Each system runs as two processes over loopback with one worker thread each, server and client on cores of their
//! own: left alone, the kernel puts both on one core now and then, and that is another measurement. Rounds of the
//! systems alternate, and medians are printed, because machines are noisy; what counts is the ratio.

mod echo;
mod ours;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::{Outcome, Server, measure, median, worker};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum System {
    /// Typed calls through Duplex RPC, in a session that ends with its link.
    Ours,
    /// The same, in a session that outlives its link.
    Resumable,
    /// Messages through a bare tokio-tungstenite echo: all that is ready is fed, then flushed once.
    Echo,
}

#[derive(Debug, Parser)]
struct Options {
    /// Calls in flight at a time, one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    in_flight: Vec<usize>,
    /// Seconds of each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds of each system.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Used by the program itself: be the server of a system.
    #[arg(long, hide = true)]
    serve: Option<System>,
    /// Used by the program itself: be the client of a system.
    #[arg(long, hide = true)]
    call: Option<System>,
    /// Used by the program itself: where the server is.
    #[arg(long, hide = true, default_value = "")]
    addr: String,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    if let Some(system) = options.serve {
        return worker(0, async move {
            match system {
                System::Ours => ours::serve(false).await,
                System::Resumable => ours::serve(true).await,
                System::Echo => echo::serve().await,
            }
        });
    }
    if let Some(system) = options.call {
        let (addr, in_flight) = (options.addr, options.in_flight[0]);
        let time = Duration::from_secs_f64(options.seconds);
        return worker(1, async move {
            let rate = match system {
                System::Ours => ours::call(&addr, in_flight, time, false).await?,
                System::Resumable => ours::call(&addr, in_flight, time, true).await?,
                System::Echo => echo::call(&addr, in_flight, time).await?,
            };
            println!("{rate}");
            Ok(())
        });
    }
    compare(&options)
}

fn compare(options: &Options) -> Outcome<()> {
    let systems = [System::Echo, System::Ours, System::Resumable];
    println!(
        "{:>9} {:>14} {:>14} {:>7} {:>14} {:>7}",
        "in flight", "echo /s", "ours /s", "ratio", "resumable /s", "to ours"
    );
    for &in_flight in &options.in_flight {
        let mut rates = systems.map(|_| Vec::new());
        for _ in 0..options.rounds {
            for (system, rates) in systems.into_iter().zip(&mut rates) {
                rates.push(round(system, in_flight, options.seconds)?);
            }
        }
        let ratio =
            |one: &[f64], other: &[f64]| median(one.iter().zip(other).map(|(one, other)| other / one).collect());
        let (to_echo, to_ours) = (ratio(&rates[0], &rates[1]), ratio(&rates[1], &rates[2]));
        let [echo, ours, resumable] = rates.map(median);
        println!("{in_flight:>9} {echo:>14.0} {ours:>14.0} {to_echo:>7.2} {resumable:>14.0} {to_ours:>7.2}");
    }
    Ok(())
}

fn round(system: System, in_flight: usize, seconds: f64) -> Outcome<f64> {
    let name = format!("{system:?}").to_lowercase();
    let server = Server::start(&["--serve", &name])?;
    let (in_flight, seconds) = (in_flight.to_string(), seconds.to_string());
    let args = ["--call", &name, "--addr", server.addr(), "--in-flight", &in_flight, "--seconds", &seconds];
    Ok(measure(&args)?.trim().parse()?)
}
