//! A ticker and its readers. `cargo run -p prices -- demo` runs both in one process. With `-- server` the program is
//! the ticker alone, with `-- client` a reader, and with `-- client --slow` a reader that is slow.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{
    error::Error,
    future::pending,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use prices::{Prices, PricesClient, Reader, Ticker, View, demo};
use rpc_client::{Connect, Session, Status, Stub};
use rpc_server::Server;

/// A ticker with thousands of quotes a second, and readers of different speed.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a ticker and three readers in this process, one of them slow.
    Demo {
        /// How many seconds the demo runs.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Quotes prices.
    Server {
        /// The address to listen at.
        #[arg(long, default_value = "127.0.0.1:9003")]
        listen: SocketAddr,
        /// The number of quotes a second.
        #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        rate: u64,
    },
    /// Reads prices until Ctrl-C.
    Client {
        /// Follows the prices with a pause after each, and skips prices that are not the latest by then.
        #[arg(long)]
        slow: bool,
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9003/")]
        url: String,
    },
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Options::parse().command {
        Command::Demo { seconds } => {
            let (began, time) = (Instant::now(), Duration::from_secs(seconds));
            demo(|_| began.elapsed() >= time, &mut std::io::stdout()).await
        }
        Command::Server { listen, rate } => server(listen, rate).await,
        Command::Client { slow, url } => client(slow, &url).await,
    }
}

async fn server(listen: SocketAddr, rate: u64) -> Outcome {
    let builder = Server::builder().resume_anonymous(true);
    let ticker = Ticker::new(&builder.groups());
    let server = builder.service(ticker.clone().serve()).listen(listen).await?;
    println!("Prices are quoted at ws://{}/ until Ctrl-C.", server.local_addr());
    tokio::select! {
        () = ticker.run(rate) => {}
        () = server.server().shutdown_signal() => {}
    }
    server.shutdown().await;
    Ok(())
}

async fn client(slow: bool, url: &str) -> Outcome {
    let mut view = View::default();
    let reader = view.add(if slow { "slow" } else { "fast" });
    // The stream of quotes, and the membership of who follows, go on when the link is lost and found again.
    let connecting = PricesClient::connect(url);
    let prices = if slow {
        let follow = async |session: Session| Ok(session.client::<PricesClient>().follow().await?);
        connecting.callback(reader.board(Duration::from_millis(25))).on_session(follow).await?
    } else {
        connecting.await?
    };
    let outcome = read(&prices, slow, &view, &reader).await;
    // Without this the program may end before its goodbye has been written.
    prices.session().close().await;
    outcome
}

/// Reads and draws quotes until Ctrl-C.
async fn read(prices: &PricesClient, slow: bool, view: &View, reader: &Reader) -> Outcome {
    let reading = async {
        if slow {
            return pending().await;
        }
        let every = prices.every().await?;
        Ok::<_, Status>(reader.read(every, pending()).await.map(|error| error.to_string()))
    };
    tokio::select! {
        ended = reading => println!("{}", ended?.unwrap_or_else(|| "the ticker has ended".to_owned())),
        () = view.draw() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    view.summary().iter().for_each(|line| println!("{line}"));
    Ok(())
}
