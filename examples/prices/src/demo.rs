//! The demo: one ticker, two fast readers and a slow one, over real WebSockets. The cable of one reader is pulled.

use std::{
    error::Error,
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use rpc_client::{Client, ClientEvent, Connect, Reconnect};
use rpc_server::Server;
use tokio::sync::oneshot;

use crate::{
    cable::Cable,
    config::config,
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
    let server = Server::builder()
        .service(ticker.clone().serve())
        .config(config()?)
        .resume_anonymous(true)
        .listen("127.0.0.1:0")
        .await?;
    let url = format!("ws://{}/", server.local_addr());
    let mut view = View::default();
    let [first, second, slow] = ["first", "second", "slow"].map(|name| view.add(name));
    let cable = Cable::new(server.local_addr()).await?;
    let far = format!("ws://{}/", cable.addr());
    let (one, two, three) = (connect(&url).await?, connect(&far).await?, connect(&url).await?);
    writeln!(out, "Quoted: {}. {} quotes a second.", one.symbols().await?.join(", "), BATCH * 1000 / 10)?;

    let (over, stop) = oneshot::channel::<()>();
    let stop = stop.map(drop).shared();
    let (every, too, latest) = (one.every().await?, two.every().await?, three.latest().await?);
    let (mut held, is_back) = (0, AtomicBool::new(false));
    let ticking = async {
        let mut period = tokio::time::interval(PERIOD);
        while !is_over(&slow) || !is_back.load(Ordering::Relaxed) {
            period.tick().await;
            ticker.say(BATCH);
            let sessions = server.sessions().iter().map(|session| session.stats().connection);
            held = held.max(sessions.map(|stats| stats.stream_bytes_queued).sum::<usize>());
        }
        drop(over);
    };
    // The second reader's stream goes on where it was.
    let mut events = Client::of(&two).ok_or("it is no client")?.events();
    let pulling = async {
        while second.read_so_far() == 0 {
            tokio::time::sleep(PERIOD).await;
        }
        cable.pull();
        tokio::time::sleep(10 * PERIOD).await;
        cable.plug_in();
        while !matches!(events.next().await, None | Some(ClientEvent::Resumed { .. })) {}
        is_back.store(true, Ordering::Relaxed);
    };
    let reading = async {
        tokio::join!(
            first.read(every, Duration::ZERO, stop.clone()),
            second.read(too, Duration::ZERO, stop.clone()),
            slow.read(latest, Duration::from_millis(25), stop.clone()),
            async { tokio::join!(ticking, pulling) },
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
    drop((one, two, three, events));
    // When this returns, the sessions and their streams have ended.
    server.shutdown().await;
    writeln!(out, "Readers left at the ticker: {}", ticker.readers().await)?;
    Ok(())
}

async fn connect(url: &str) -> Outcome<PricesClient> {
    let quickly = Reconnect::default().initial_delay(PERIOD);
    Ok(PricesClient::connect(url).config(config()?).reconnect(quickly).await?)
}
