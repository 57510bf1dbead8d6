//! A fleet of devices. Run with `cargo run -p fleet -- demo`, or `… -- server` and, elsewhere,
//! `… -- device --name pump-1 --site north --model P3` and `… -- operator site/north status`.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{error::Error, net::SocketAddr, time::Instant};

use clap::{Parser, Subcommand};
use fleet::{Card, ControlClient, Depot, Machine, Operator, Terminal, demo, enroll, run, watch};
use rpc_client::{Connect, Stub};

/// A server that knows devices, and operators who run commands on groups of them.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server, four devices and an operator in this process, and prints what the operator sees.
    Demo,
    /// Lets devices and operators come together.
    Server {
        /// The address to listen at.
        #[arg(long, default_value = "127.0.0.1:9004")]
        listen: SocketAddr,
    },
    /// Is a device until Ctrl-C. It knows the commands `status` and `test`.
    Device {
        /// The name of the device.
        #[arg(long)]
        name: String,
        /// Where it stands.
        #[arg(long)]
        site: String,
        /// What it is.
        #[arg(long)]
        model: String,
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9004/")]
        url: String,
    },
    /// Runs a command on a group of devices. Without a command, shows who comes and goes until Ctrl-C.
    Operator {
        /// The group: `all`, `site/NAME` or `model/NAME`.
        group: String,
        /// The command.
        command: Option<String>,
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9004/")]
        url: String,
    },
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Options::parse().command {
        Command::Demo => demo(&mut std::io::stdout()).await,
        Command::Server { listen } => {
            let server = Depot::server().listen(listen).await?;
            println!("Devices and operators meet at ws://{}/ until Ctrl-C.", server.local_addr());
            server.shutdown_on_signal().await;
            Ok(())
        }
        Command::Device { name, site, model, url } => {
            let card = Card { name, site, model };
            let device = enroll(&url, card, Machine { since: Instant::now() }).await?;
            tokio::signal::ctrl_c().await?;
            // Without this the program may end before its goodbye has been written.
            device.close().await;
            Ok(())
        }
        Command::Operator { group, command, url } => operator(&url, &group, command.as_deref()).await,
    }
}

async fn operator(url: &str, group: &str, command: Option<&str>) -> Outcome {
    let terminal = Terminal { show: |question: &str| println!("{question}") };
    let control = ControlClient::connect(url).callback(terminal.serve()).await?;
    let shown = async {
        match command {
            Some(command) => run(&control, group, command, |line| println!("{line}")).await,
            None => watch(&control, group, |change| println!("{change}")).await,
        }
    };
    let outcome = tokio::select! {
        shown = shown => shown.map_err(Into::into),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    control.session().close().await;
    outcome
}
