//! The demo: one ticker, two fast readers and a slow one, over real WebSockets.

use std::{error::Error, io::Write, time::Duration};

use futures::FutureExt;
use rpc_client::Connect;
use rpc_server::Server;
use tokio::sync::oneshot;

use crate::{
    contract::{Prices, PricesClient},
    ticker::Ticker,
    view::{Reader, View},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Quotes in a burst, and the time between bursts: 5,000 quotes a second.
const BATCH: u64 = 50;
const PERIOD: Duration = Duration::from_millis(10);

/// Lets the ticker run until `is_over`, which is asked about the slow reader after each burst, and tells what all
/// readers have seen.
pub async fn demo(is_over: impl Fn(&Reader) -> bool + Send, out: &mut (impl Write + Send)) -> Outcome {
    let ticker = Ticker::new();
    let server = Server::builder().service(ticker.clone().serve()).listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", server.local_addr());
    let mut view = View::default();
    let [first, second, slow] = ["first", "second", "slow"].map(|name| view.add(name));
    let (one, two, three) = (connect(&url).await?, connect(&url).await?, connect(&url).await?);
    writeln!(out, "Quoted: {}. {} quotes a second.", one.symbols().await?.join(", "), BATCH * 1000 / 10)?;

    let (over, stop) = oneshot::channel::<()>();
    let stop = stop.map(drop).shared();
    let (every, too, latest) = (one.every().await?, two.every().await?, three.latest().await?);
    let mut held = 0;
    let ticking = async {
        let mut period = tokio::time::interval(PERIOD);
        while !is_over(&slow) {
            period.tick().await;
            ticker.say(BATCH);
            let sessions = server.sessions().iter().map(|session| session.stats().connection);
            held = held.max(sessions.map(|stats| stats.stream_bytes_queued).sum::<usize>());
        }
        drop(over);
    };
    let reading = async {
        tokio::join!(
            first.read(every, Duration::ZERO, stop.clone()),
            second.read(too, Duration::ZERO, stop.clone()),
            slow.read(latest, Duration::from_millis(25), stop.clone()),
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
