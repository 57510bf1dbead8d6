//! The demo: one ticker, two fast readers and a slow one, over real WebSockets.

use std::{
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

use rpc_client::Connect;
use rpc_server::Server;

use crate::{
    contract::{Prices, PricesClient},
    ticker::Ticker,
    view::View,
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Quotes in a burst, and the time between bursts: 5,000 quotes a second.
const BATCH: u64 = 50;
const PERIOD: Duration = Duration::from_millis(10);

/// Lets the ticker run for this time, and tells what its readers have seen.
pub async fn demo(time: Duration, out: &mut (impl Write + Send)) -> Outcome {
    let ticker = Ticker::new();
    let server = Server::builder().service(ticker.clone().serve()).listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", server.local_addr());
    let mut view = View::default();
    let [first, second, slow] = ["first", "second", "slow"].map(|name| view.add(name));
    let (one, two, three) = (connect(&url).await?, connect(&url).await?, connect(&url).await?);
    writeln!(out, "Quoted: {}. {} quotes a second.", one.symbols().await?.join(", "), BATCH * 1000 / 10)?;

    let until = Instant::now() + time;
    let (every, too, latest) = (one.every().await?, two.every().await?, three.latest().await?);
    let mut held = 0;
    let ticking = async {
        let mut period = tokio::time::interval(PERIOD);
        while Instant::now() < until {
            period.tick().await;
            ticker.say(BATCH);
            let sessions = server.sessions().iter().map(|session| session.stats().connection);
            held = held.max(sessions.map(|stats| stats.stream_bytes_queued).sum::<usize>());
        }
    };
    let reading = async {
        tokio::join!(
            first.read(every, Duration::ZERO, until),
            second.read(too, Duration::ZERO, until),
            slow.read(latest, Duration::from_millis(25), until),
            ticking,
        )
    };
    tokio::select! {
        _ = reading => {}
        () = view.draw() => {}
    }
    for line in view.summary() {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "At most {held} bytes of quotes waited at the server for the network, of all readers together.")?;
    drop((one, two, three));
    // When this returns, the sessions and their streams have ended.
    server.shutdown().await;
    writeln!(out, "Readers left at the ticker: {}", ticker.readers().await)?;
    Ok(())
}

async fn connect(url: &str) -> Outcome<PricesClient> {
    Ok(PricesClient::connect(url).await?)
}
