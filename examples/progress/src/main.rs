//! A long job with a progress bar. Run with `cargo run -p progress -- demo`, or `… -- server` and, elsewhere,
//! `… -- client squares.csv`.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{error::Error, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use indicatif::ProgressBar;
use progress::{Answers, Archive, Exporter, ExporterClient, Screen, Watcher, demo};
use rpc_client::{Connect, Stub};
use rpc_server::Server;

/// A server whose jobs drive a progress bar at their client.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server and a client in this process, and prints what happens.
    Demo,
    /// Writes files for its clients.
    Server {
        /// The address to listen at.
        #[arg(long, default_value = "127.0.0.1:9001")]
        listen: SocketAddr,
        /// The directory for the files.
        #[arg(long, default_value = ".")]
        directory: PathBuf,
        /// The least number of milliseconds that a hundredth of a job takes.
        #[arg(long, default_value_t = 50)]
        pace: u64,
    },
    /// Asks the server to write a file. Ctrl-C gives up.
    Client {
        /// The name of the file.
        name: String,
        /// The number of records to write.
        #[arg(long, default_value_t = 100_000)]
        records: u64,
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9001/")]
        url: String,
    },
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Options::parse().command {
        Command::Demo => demo(tempfile::tempdir()?.path(), [false, true], &mut std::io::stdout()).await,
        Command::Server { listen, directory, pace } => server(listen, directory, pace).await,
        Command::Client { name, records, url } => client(&url, &name, records).await,
    }
}

async fn server(listen: SocketAddr, directory: PathBuf, pace: u64) -> Outcome {
    let archive = Archive::new(directory, Duration::from_millis(pace));
    let server = Server::builder().service(archive.serve()).listen(listen).await?;
    println!("Exports are made at ws://{}/ until Ctrl-C.", server.local_addr());
    server.shutdown_on_signal().await;
    Ok(())
}

async fn client(url: &str, name: &str, records: u64) -> Outcome {
    let bar = ProgressBar::new(records).with_message(name.to_owned());
    let screen = Screen::new(bar.clone(), Answers::Typed);
    let exporter = ExporterClient::connect(url).callback(screen.serve()).await?;
    let outcome: Outcome = tokio::select! {
        outcome = exporter.export(1, name, records) => {
            outcome.map(|report| println!("{name}: {} bytes", report.bytes)).map_err(Into::into)
        }
        interrupted = tokio::signal::ctrl_c() => {
            bar.abandon();
            println!("given up: the server stops and leaves no part of the file");
            interrupted.map_err(Into::into)
        }
    };
    // Without this the program may end before its goodbye has been written.
    exporter.session().close().await;
    outcome
}
