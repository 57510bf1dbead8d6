//! The demo: one ticker, two readers of every quote and a slow one that follows the prices, over real WebSockets. The
//! cable of one reader is pulled.

use std::{
    error::Error,
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use cable::Cable;
use futures::{FutureExt, StreamExt};
use rpc_client::{Client, ClientEvent, Connect, Reconnect};
use rpc_server::Server;
use tokio::sync::oneshot;

use crate::{
    contract::{Prices, PricesClient, Quote},
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
    let builder = Server::builder().resume_anonymous(true);
    let ticker = Ticker::new(&builder.groups());
    let server = builder.service(ticker.clone().serve()).listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", server.local_addr());
    let mut view = View::default();
    let [first, second, slow] = ["first", "second", "slow"].map(|name| view.add(name));
    let cable = Cable::new(server.local_addr()).await?;
    let far = format!("ws://{}/", cable.addr());
    let (one, two) = (PricesClient::connect(&url).await?, PricesClient::connect(&far).reconnect(quickly()).await?);
    let three = PricesClient::connect(&url).callback(slow.board(Duration::from_millis(25))).await?;
    let symbols = one.symbols().await?;
    writeln!(out, "Quoted: {}. {} quotes a second.", symbols.join(", "), BATCH * 1000 / 10)?;

    let (over, stop) = oneshot::channel::<()>();
    let stop = stop.map(drop).shared();
    let (every, too) = (one.every().await?, two.every().await?);
    three.follow().await?;
    let (mut held, is_back) = (0, AtomicBool::new(false));
    let ticking = async {
        let mut period = tokio::time::interval(PERIOD);
        while !is_over(&slow) || !is_back.load(Ordering::Relaxed) {
            period.tick().await;
            ticker.say(BATCH).await;
            let sessions = server.sessions().iter().map(|session| session.stats().connection);
            held = held.max(sessions.map(|stats| stats.stream_bytes_queued + stats.queued_bytes).sum::<usize>());
        }
        slow.catches_up(&ticker.latest().await).await;
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
        tokio::join!(first.read(every, stop.clone()), second.read(too, stop.clone()), async {
            tokio::join!(ticking, pulling)
        },)
    };
    tokio::select! {
        _ = reading => {}
        () = view.draw() => {}
    }
    for line in view.summary() {
        writeln!(out, "{line}")?;
    }
    let prices: Vec<_> = ticker.latest().await.iter().map(|quote| price(&symbols, quote)).collect();
    writeln!(out, "The slow reader has the latest prices: {}.", prices.join(", "))?;
    writeln!(out, "At most {held} bytes of quotes waited at the server for the network, of all readers together.")?;
    drop((one, two, three, events));
    // When this returns, the sessions and their streams have ended.
    server.shutdown().await;
    writeln!(out, "Readers left at the ticker: {}", ticker.readers().await)?;
    Ok(())
}

fn quickly() -> Reconnect {
    Reconnect::default().initial_delay(PERIOD)
}

fn price(symbols: &[String], quote: &Quote) -> String {
    let symbol = symbols.get(usize::from(quote.symbol)).map_or("?", String::as_str);
    format!("{symbol} {}.{:02}", quote.price / 100, quote.price % 100)
}
