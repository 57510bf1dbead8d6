//! Streams beside a bare WebSocket. Run with `cargo run --release --manifest-path bench/Cargo.toml --bin streams`.
//!
//! It prints how many small items a second go through one stream, against the messages of a bare echo; what bulk in
//! both directions at once reaches, against bare messages of the best size, and how long small calls take meanwhile, on
//! the same connection and on an idle one beside it; and how much memory both ends take while a slow reader reads one
//! long stream.

mod bare;
mod ours;

use clap::Parser;
use common::{Outcome, Server, measure, median, worker};

/// What is measured.
#[derive(Debug, Parser)]
struct Options {
    /// Small items of one stream, in thousands.
    #[arg(long, default_value_t = 1000)]
    thousands: u64,
    /// MiB in each direction.
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// Payloads of 4 MiB that are always in flight meanwhile.
    #[arg(long, default_value_t = 2)]
    payloads: usize,
    /// GiB for the slow reader; 0 leaves that out.
    #[arg(long, default_value_t = 10)]
    gib: u64,
    /// Rounds of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Used by the program itself: be this server.
    #[arg(long, hide = true)]
    serve: Option<String>,
    /// Used by the program itself: be this client.
    #[arg(long, hide = true)]
    call: Option<String>,
    /// Used by the program itself: where the server is.
    #[arg(long, hide = true, default_value = "")]
    addr: String,
    /// Used by the program itself: bytes of a message.
    #[arg(long, hide = true, default_value_t = 64 * 1024)]
    size: usize,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    if let Some(system) = options.serve {
        let (size, mib) = (options.size, options.mib);
        return worker(0, async move {
            match system.as_str() {
                "ours" => ours::serve().await,
                "echo" => bare::serve_echo().await,
                _ => bare::serve_bulk(size, mib).await,
            }
        });
    }
    if let Some(system) = options.call {
        let Options { addr, size, mib, gib, thousands, payloads, .. } = options;
        return worker(1, async move {
            let figures = match system.as_str() {
                "items" => vec![ours::items(&addr, thousands * 1000).await?],
                "echo" => vec![bare::echo(&addr, thousands * 1000).await?],
                "bulk" => ours::bulk(&addr, mib, payloads).await?,
                "slow" => ours::slow(&addr, gib).await?,
                _ => vec![bare::bulk(&addr, size, mib).await?],
            };
            println!("{}", figures.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            Ok(())
        });
    }
    small_items(&options)?;
    bulk(&options)?;
    if options.gib > 0 { memory(&options) } else { Ok(()) }
}

/// One round in two new processes.
fn round(options: &Options, serve: &str, call: &str, size: usize) -> Outcome<Vec<f64>> {
    let (size, mib) = (size.to_string(), options.mib.to_string());
    let (gib, thousands, payloads) =
        (options.gib.to_string(), options.thousands.to_string(), options.payloads.to_string());
    let server = Server::start(&["--serve", serve, "--size", &size, "--mib", &mib])?;
    let common = ["--size", &size, "--mib", &mib, "--gib", &gib, "--thousands", &thousands, "--payloads", &payloads];
    let output = measure(&[&["--call", call, "--addr", server.addr()], &common[..]].concat())?;
    Ok(output.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

fn small_items(options: &Options) -> Outcome<()> {
    let (mut echo, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let bare = round(options, "echo", "echo", 0)?[0];
        let items = round(options, "ours", "items", 0)?[0];
        echo.push(bare);
        ours.push(items);
        ratios.push(items / bare);
    }
    println!("{:>26} {:>14} {:>14} {:>7}", "small items", "echo /s", "ours /s", "ratio");
    println!("{:>26} {:>14.0} {:>14.0} {:>7.2}", options.thousands * 1000, median(echo), median(ours), median(ratios));
    Ok(())
}

fn bulk(options: &Options) -> Outcome<()> {
    let mut sizes = Vec::new();
    for size in [16, 32, 64, 128, 256, 1024].map(|kib| kib * 1024) {
        sizes.push((round(options, "bulk", "bare", size)?[0], size));
    }
    let best = sizes.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(64 * 1024, |(_, size)| *size);
    let mut columns: [Vec<f64>; 8] = Default::default();
    for _ in 0..options.rounds {
        let bare = round(options, "bulk", "bare", best)?[0];
        let ours = round(options, "ours", "bulk", 0)?;
        let [rate, all, loaded, idle] = ours[..] else { return Err("four figures were expected".into()) };
        for (column, value) in
            columns.iter_mut().zip([bare, rate, rate / bare, loaded, idle, loaded / idle, all, all / bare])
        {
            column.push(value);
        }
    }
    let [bare, rate, ratio, loaded, idle, slower, all, ratio_of_all] = columns.map(median);
    let title = format!("{} MiB each way", options.mib);
    println!("{title:>26} {:>14} {:>14} {:>7}", "bare MiB/s", "ours MiB/s", "ratio");
    println!("{:>26} {bare:>14.0} {rate:>14.0} {ratio:>7.2}", format!("messages of {} KiB", best / 1024));
    let title = format!("with {} payloads", options.payloads);
    println!("{title:>26} {bare:>14.0} {all:>14.0} {ratio_of_all:>7.2}");
    println!("{:>26} {:>14} {:>14} {:>7}", "small calls meanwhile", "idle p99 us", "loaded p99 us", "ratio");
    println!("{:>26} {idle:>14.0} {loaded:>14.0} {slower:>7.2}", "");
    Ok(())
}

fn memory(options: &Options) -> Outcome<()> {
    let figures = round(options, "ours", "slow", 0)?;
    let [seconds, reader, producer] = figures[..] else { return Err("three figures were expected".into()) };
    let title = format!("{} GiB, slow reader", options.gib);
    println!("{title:>26} {:>14} {:>14} {:>7}", "reader + MiB", "producer + MiB", "s");
    println!("{:>26} {reader:>14.1} {producer:>14.1} {seconds:>7.1}", "resident memory at most");
    Ok(())
}
