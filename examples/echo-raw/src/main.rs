//! An echo server of raw WebSockets. `cargo run -p echo-raw -- --port 9002` serves at `ws://127.0.0.1:9002/`.
//! With `-- demo`, the program runs server and client in one process. With `-- autobahn-client ws://127.0.0.1:9001`, it
//! is the client that the Autobahn suite examines.

#![allow(clippy::print_stdout, reason = "a program prints")]

mod client;
mod server;

use std::error::Error;

use clap::{Parser, Subcommand};
use rpc_client::raw::RawLimits;

/// Echoes what WebSocket clients send.
#[derive(Debug, Parser)]
struct Options {
    /// The port of this machine at which to serve; 0 takes any free one.
    #[arg(long, default_value_t = 9002)]
    port: u16,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves, and sends a few messages that come back.
    Demo,
    /// Runs all cases that an Autobahn server has for a client.
    AutobahnClient {
        /// Where the server is, for instance ws://127.0.0.1:9001.
        url: String,
        /// The name of this client in the server's report.
        #[arg(long, default_value = "duplex-rpc-client")]
        agent: String,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options::parse();
    match options.command {
        None => server::serve(options.port).await,
        Some(Command::Demo) => client::demo(server::listen(0).await?).await,
        Some(Command::AutobahnClient { url, agent }) => client::autobahn(&url, &agent).await,
    }
}

/// The longest message of the Autobahn suite has 16 MiB.
fn limits() -> RawLimits {
    RawLimits::default().max_message(32 * 1024 * 1024).read_buffer(64 * 1024)
}
