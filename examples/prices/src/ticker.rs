//! The ticker, which makes quotes at its own speed. Each reader reads at its own speed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::stream;
use rpc_server::{Context, Group, Groups, Status, Streaming};
use tokio::sync::broadcast;

use crate::contract::{BoardClient, Missed, Prices, Quote};

/// The number of quotes that are remembered for readers of every quote.
const MEMORY: usize = 64 * 1024;
const SYMBOLS: [&str; 4] = ["ADA", "BOB", "CLU", "FORTH"];

/// Makes quotes for its readers. Clones are the same ticker.
#[derive(Clone, Debug)]
pub struct Ticker {
    every: broadcast::Sender<Quote>,
    /// The newest quote of each symbol.
    latest: Arc<Mutex<BTreeMap<u8, Quote>>>,
    readers: Arc<AtomicUsize>,
    followers: Group<BoardClient>,
}

/// Counts a reader while it lives. It is part of the reader's stream, and is dropped with the stream.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ticker {
    /// A ticker without quotes yet, with the groups of its server.
    pub fn new(groups: &Groups) -> Self {
        Self {
            every: broadcast::Sender::new(MEMORY),
            latest: Arc::default(),
            readers: Arc::default(),
            followers: groups.get("followers"),
        }
    }

    /// Makes this number of quotes, without waiting for a reader. The ticker remembers a bounded number of quotes for
    /// readers of every quote, and one quote of each symbol for each reader that follows.
    pub async fn say(&self, count: u64) {
        for _ in 0..count {
            let number = self.quotes().values().map(|quote| quote.number + 1).max().unwrap_or(0);
            let symbol = u8::try_from(number % SYMBOLS.len() as u64).unwrap_or(0);
            // A walk that looks like a market's.
            let price = 10_000 + u32::try_from(number.wrapping_mul(2_654_435_761) >> 8 & 0xfff).unwrap_or(0);
            let quote = Quote { number, symbol, price };
            // Sending fails if there is no reader.
            let _ = self.every.send(quote);
            self.quotes().insert(symbol, quote);
            // This fails only if the quote does not serialize.
            let _ = self.followers.all().quoted(&quote).await;
        }
    }

    /// Makes this number of quotes a second. Never ends; drop the future.
    pub async fn run(&self, rate: u64) {
        const TICKS: u32 = 100;
        let mut period = tokio::time::interval(Duration::from_secs(1) / TICKS);
        let mut due = 0;
        loop {
            period.tick().await;
            // A fraction of a quote counts in the next tick: a slow ticker makes one quote every few ticks.
            due += rate;
            self.say(due / u64::from(TICKS)).await;
            due %= u64::from(TICKS);
        }
    }

    fn quotes(&self) -> MutexGuard<'_, BTreeMap<u8, Quote>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> Seat {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Seat(self.readers.clone())
    }
}

impl Prices for Ticker {
    async fn symbols(&self) -> Vec<String> {
        SYMBOLS.map(str::to_owned).to_vec()
    }

    async fn every(&self) -> Streaming<Quote, Missed> {
        let state = (self.every.subscribe(), self.seat());
        Streaming::from_results(stream::try_unfold(state, async |(mut quotes, seat)| match quotes.recv().await {
            Ok(quote) => Ok(Some((quote, (quotes, seat)))),
            Err(broadcast::error::RecvError::Lagged(quotes)) => Err(Missed { quotes }),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
        }))
    }

    async fn follow(&self, cx: &Context<Option<BoardClient>>) -> Result<(), Status> {
        self.followers.join(&cx.session())?;
        Ok(())
    }

    async fn latest(&self) -> Vec<Quote> {
        self.quotes().values().copied().collect()
    }

    async fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed) + self.followers.len()
    }
}
