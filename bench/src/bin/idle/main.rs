//! How much memory an idle connection takes at its server and at its client, ours beside a bare tokio-tungstenite. Run
//! with `cargo run --release --manifest-path bench/Cargo.toml --bin idle`.
//!
//! Server and client are processes of their own. The client opens connections over loopback, makes one call or has one
//! message echoed on each, and leaves them alone. Both processes say what they hold before and after, so that code and
//! what a process makes once drop out: the resident memory, which the kernel counts, and the bytes that the allocator
//! has given out. Buffers of the kernel are in neither.

mod bare;
mod memory;
mod ours;
mod part;

use std::{alloc::System, fs, thread, time::Duration};

use clap::{Parser, ValueEnum};
use common::{Outcome, worker};
use memory::Taken;
use part::Part;
use rcgen::generate_simple_self_signed;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Connections that are open before anything is counted.
const FIRST: usize = 100;
/// File descriptors of a process beside its connections.
const OTHER_DESCRIPTORS: usize = 50;

/// Measures the memory of idle connections.
#[derive(Debug, Parser)]
struct Options {
    /// How many connections are held.
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// Seconds for which they are idle before they are measured; 20 are longer than a session's `keepalive`, so that
    /// each session has sent a ping.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Used by the program itself: be the server of a system.
    #[arg(long, hide = true)]
    serve: Option<Kind>,
    /// Used by the program itself: be the client of a system.
    #[arg(long, hide = true)]
    call: Option<Kind>,
    /// Used by the program itself: where the server is.
    #[arg(long, hide = true, default_value = "")]
    addr: String,
    /// Used by the program itself: the server's certificate, in PEM. With it everything goes by TLS.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    certificate: Option<String>,
    /// Used by the program itself: the key of the certificate, in PEM.
    #[arg(long, hide = true, allow_hyphen_values = true, default_value = "")]
    key: String,
}

/// What is measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Sessions of Duplex RPC.
    Ours,
    /// A bare tokio-tungstenite echo, with tokio-rustls for TLS.
    Bare,
}

fn main() -> Outcome<()> {
    let Options { connections, seconds, serve, call, addr, certificate, key } = Options::parse();
    if let Some(kind) = serve {
        let identity = certificate.map(|certificate| (certificate, key));
        return worker(0, async move {
            match kind {
                Kind::Ours => ours::serve(identity, connections).await,
                Kind::Bare => bare::serve(identity).await,
            }
        });
    }
    if let Some(kind) = call {
        return worker(1, async move {
            match kind {
                Kind::Ours => ours::call(&addr, certificate).await,
                Kind::Bare => bare::call(&addr, certificate).await,
            }
        });
    }
    raise_descriptors(connections)?;
    compare(connections, Duration::from_secs_f64(seconds))
}

/// Raises the limit of this process, which its server and its client inherit.
fn raise_descriptors(connections: usize) -> Outcome<()> {
    let wanted = u64::try_from(FIRST + connections + OTHER_DESCRIPTORS)?;
    let granted = rlimit::increase_nofile_limit(wanted)?;
    if granted < wanted {
        let advice = format!("raise the hard limit, as root with `ulimit -n {wanted}`, or give fewer --connections");
        return Err(format!("a process may have {granted} file descriptors, and needs {wanted}: {advice}").into());
    }
    Ok(())
}

fn compare(connections: usize, idle: Duration) -> Outcome<()> {
    println!("{connections} connections on {}, idle for {} s", processor(), idle.as_secs_f64());
    println!("{:>24} {:>14} {:>14} {:>7}", "KiB a connection", "bare", "ours", "ratio");
    let certified = generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    for (scheme, identity) in [("ws", None), ("wss", Some([certificate.as_str(), key.as_str()]))] {
        let bare = measure("bare", identity, connections, idle)?;
        let ours = measure("ours", identity, connections, idle)?;
        for (end, bare, ours) in [("server", bare.0, ours.0), ("client", bare.1, ours.1)] {
            for (what, bare, ours) in [("resident", bare.resident, ours.resident), ("heap", bare.heap, ours.heap)] {
                let title = format!("{scheme}, {end}, {what}");
                println!("{title:>24} {bare:>14.1} {ours:>14.1} {:>7.2}", ours / bare);
            }
        }
    }
    Ok(())
}

/// What a connection takes at its server and at its client.
fn measure(kind: &str, identity: Option<[&str; 2]>, connections: usize, idle: Duration) -> Outcome<(Taken, Taken)> {
    let count = connections.to_string();
    let (mut serve, mut call) = (vec!["--serve", kind, "--connections", &count], vec!["--call", kind]);
    if let Some([certificate, key]) = identity {
        serve.extend(["--certificate", certificate, "--key", key]);
        call.extend(["--certificate", certificate]);
    }
    let mut server = Part::start(&serve)?;
    let addr = server.line()?;
    call.extend(["--addr", &addr]);
    let mut client = Part::start(&call)?;
    client.open(FIRST)?;
    let before = (server.memory()?, client.memory()?);
    client.open(connections)?;
    thread::sleep(idle);
    let (at_server, at_client) = (server.memory()?, client.memory()?);
    Ok((at_server.since(before.0, connections), at_client.since(before.1, connections)))
}

/// The name of the processor, where Linux tells it.
fn processor() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("an unknown processor", |(_, name)| name).to_owned()
}
