//! A web application. `cargo run -p web-app` serves at `http://localhost:9004/`; `… -- --self-signed ca.pem` and
//! `… -- --cert cert.pem --key key.pem` serve by TLS; `… -- demo` runs server and clients in one process.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use tokio::fs;
use web_app::{App, Authority, Door, Outcome, Users, acceptor, demo};

/// Serves a board to browsers and to programs.
#[derive(Debug, Parser)]
struct Options {
    /// The port of this machine at which to serve; 0 takes any free one.
    #[arg(long, default_value_t = 9004)]
    port: u16,
    /// Serves by TLS, with a new authority, whose certificate goes into this file.
    #[arg(long, conflicts_with = "cert")]
    self_signed: Option<PathBuf>,
    /// Serves by TLS, with the certificate and its chain in this PEM file.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The key of the certificate.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// The number of seconds after a signal in which the server is not ready, and takes clients still.
    #[arg(long, default_value_t = 0)]
    drain_delay: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server and its clients in this process, first by HTTP and then by HTTPS, and prints what happens.
    Demo,
}

#[tokio::main]
async fn main() -> Outcome {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let options = Options::parse();
    match options.command {
        Some(Command::Demo) => demo(&mut std::io::stdout()).await,
        None => serve(options).await,
    }
}

async fn serve(options: Options) -> Outcome {
    let tls = match (options.self_signed, options.cert, options.key) {
        (Some(ca), ..) => {
            let authority = Authority::new()?;
            fs::write(&ca, authority.pem()).await?;
            println!("The certificate of the authority is in {}.", ca.display());
            Some(authority.local()?)
        }
        (None, Some(cert), Some(key)) => Some(acceptor(&fs::read(cert).await?, &fs::read(key).await?)?),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let app = App::new(Users::default(), Duration::from_secs(options.drain_delay))?;
    let door = Door::open((Ipv4Addr::LOCALHOST, options.port).into(), tls).await?;
    println!(
        "Log in as ada (lovelace) or ben (franklin), at {scheme}://localhost:{}/, until Ctrl-C.",
        door.addr().port()
    );
    app.serve(door).await?;
    println!("All connections have ended.");
    Ok(())
}
