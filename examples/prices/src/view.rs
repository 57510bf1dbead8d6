//! Shows the readers on a terminal, with one line for each.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rpc_client::{Concurrency, Service};
use tokio::sync::watch;

use crate::contract::{Board, Quote};

/// What a reader has seen.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    seen: Arc<watch::Sender<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    read: u64,
    first: Option<u64>,
    newest: u64,
    /// The newest quote of each symbol.
    latest: BTreeMap<u8, Quote>,
}

/// Hears of prices for a reader, with a pause after each.
struct ReaderBoard {
    reader: Reader,
    pause: Duration,
}

impl Board for ReaderBoard {
    async fn quoted(&self, quote: &Quote) {
        self.reader.see(*quote);
        tokio::time::sleep(self.pause).await;
    }
}

/// Lines of readers on a terminal. Without a terminal, indicatif draws nothing.
#[derive(Debug, Default)]
pub struct View {
    lines: MultiProgress,
    readers: Vec<(String, Reader, ProgressBar)>,
}

impl Reader {
    /// Reads quotes until they end, fail or `stop` has come. Returns the error that ended them.
    pub async fn read<E>(
        &self,
        quotes: impl Stream<Item = Result<Quote, E>>,
        stop: impl Future<Output = ()>,
    ) -> Option<E> {
        let mut quotes = pin!(quotes.take_until(stop));
        while let Some(quote) = quotes.next().await {
            match quote {
                Ok(quote) => self.see(quote),
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// What a client hosts so that this reader hears of prices, one after the other, with a pause after each.
    pub fn board(&self, pause: Duration) -> Service {
        ReaderBoard { reader: self.clone(), pause }.serve().concurrency(Concurrency::Single)
    }

    /// Waits until the reader has these quotes as the newest of their symbols.
    pub async fn catches_up(&self, latest: &[Quote]) {
        let is_up = |seen: &Seen| latest.iter().all(|quote| seen.latest.get(&quote.symbol) == Some(quote));
        // The sender is here.
        let _ = self.seen.subscribe().wait_for(is_up).await;
    }

    fn see(&self, quote: Quote) {
        self.seen.send_modify(|seen| {
            seen.read += 1;
            seen.first.get_or_insert(quote.number);
            seen.newest = seen.newest.max(quote.number);
            seen.latest.insert(quote.symbol, quote);
        });
    }

    /// The number of quotes that the reader has read.
    pub fn read_so_far(&self) -> u64 {
        self.seen.borrow().read
    }

    /// The number of quotes that newer quotes replaced before the reader could read them.
    pub fn skipped(&self) -> u64 {
        let seen = self.seen.borrow();
        seen.first.map_or(0, |first| (seen.newest + 1 - first).saturating_sub(seen.read))
    }

    /// The number of the newest quote that the reader has seen.
    pub fn newest(&self) -> u64 {
        self.seen.borrow().newest
    }
}

impl View {
    /// Adds a line.
    pub fn add(&mut self, name: impl Into<String>) -> Reader {
        let (name, reader) = (name.into(), Reader::default());
        let style = ProgressStyle::with_template("{prefix:>12} {spinner} {msg}");
        let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let bar = self.lines.add(bar.with_prefix(name.clone()));
        self.readers.push((name, reader.clone(), bar));
        reader
    }

    /// Draws all lines again and again. Never ends; drop the future.
    pub async fn draw(&self) {
        const EVERY: Duration = Duration::from_millis(100);
        let mut before: Vec<_> = self.readers.iter().map(|(_, reader, _)| reader.read_so_far()).collect();
        loop {
            tokio::time::sleep(EVERY).await;
            let first = self.readers.iter().map(|(_, reader, _)| reader.newest()).max().unwrap_or(0);
            for ((_, reader, bar), before) in self.readers.iter().zip(&mut before) {
                // The reader reads on meanwhile, and may have passed `first`.
                let (read, behind) = (reader.read_so_far(), first.saturating_sub(reader.newest()));
                let rate = (read - *before) * 10;
                *before = read;
                let skipped = reader.skipped();
                bar.set_message(format!("{rate:>7} quotes/s, {behind:>6} behind the first, {skipped:>7} skipped"));
                bar.tick();
            }
        }
    }

    /// What each reader has seen, for the end of the program.
    pub fn summary(&self) -> Vec<String> {
        let line = |(name, reader, _): &(String, Reader, ProgressBar)| {
            let (read, skipped) = (reader.read_so_far(), reader.skipped());
            format!("{name:>12}: {read} quotes read, {skipped} skipped, the last one was number {}", reader.newest())
        };
        self.readers.iter().map(line).collect()
    }
}
