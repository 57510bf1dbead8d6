//! A server as it runs in production: behind nginx or HAProxy, or with TLS of its own. The folder has the
//! configuration of the proxies, a unit of systemd and a container; the guide's chapter on deploying explains them.
//! `cargo run -p deploying -- serve` serves at `ws://127.0.0.1:9000/rpc`, and
//! `cargo run -p deploying -- call ws://127.0.0.1:9000/rpc` calls it.

#![allow(clippy::print_stdout, reason = "a program prints")]

mod client;
mod contract;
mod server;

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(about = "A server as it runs in production, and a client that tells what it sees.")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Opens a session, prints the address that the server sees, and stays until the server drains.
    Call(Call),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where clients and proxies for HTTP connect.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Where proxies that speak the PROXY protocol connect; by TLS, if there is a certificate.
    #[arg(long)]
    listen_proxy: Option<SocketAddr>,
    /// Where clients connect by TLS.
    #[arg(long, requires = "certificate")]
    listen_tls: Option<SocketAddr>,
    /// A proxy, or a network of proxies, that is believed when it names its clients.
    #[arg(long)]
    trust: Vec<String>,
    /// The PEM file of the certificate with its chain.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The PEM file of the certificate's key.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// The PEM file of the authorities that issue certificates to clients, which then need one.
    #[arg(long, requires = "certificate")]
    client_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Call {
    /// Where the server or its proxy is, for instance wss://localhost/rpc.
    url: String,
    /// The server or its proxy as an address, if the URL has a name.
    #[arg(long)]
    at: SocketAddr,
    /// The address of this machine from which to connect.
    #[arg(long)]
    from: Option<IpAddr>,
    /// The PEM file of the authority that is trusted in place of the system's.
    #[arg(long)]
    ca: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Outcome {
    match Options::parse().command {
        Command::Serve(options) => server::serve(options).await,
        Command::Call(options) => client::call(options).await,
    }
}
