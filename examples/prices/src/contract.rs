//! The contract of the ticker.

use std::fmt;

use rpc_server::{Context, Status, Streaming};
use serde::{Deserialize, Serialize};

/// A price at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The number of the quote; the ticker counts its quotes from 0.
    pub number: u64,
    /// The index of the symbol in [`Prices::symbols`].
    pub symbol: u8,
    /// The price, in hundredths.
    pub price: u32,
}

/// A reader of every quote was further behind than the ticker remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The number of quotes that the reader would have missed.
    pub quotes: u64,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reader is too slow for every quote: it would have missed {}", self.quotes)
    }
}

/// Hosted by a reader who wants to hear of prices, called by the ticker.
#[rpc_server::callback(group)]
pub trait Board {
    /// A new price. It replaces an older one of its symbol which the reader has not taken yet: a slow reader skips
    /// quotes, and always hears the latest price in the end.
    #[rpc(oneway, overflow = "conflate", key = "quote.symbol")]
    async fn quoted(&self, quote: &Quote);
}

/// Quotes prices.
#[rpc_server::service(callback = Board, optional)]
pub trait Prices {
    /// The symbols that are quoted.
    async fn symbols(&self) -> Vec<String>;
    /// Every quote from now on, in order. Ends with [`Missed`] for a reader that does not keep up.
    async fn every(&self) -> Streaming<Quote, Missed>;
    /// From now on the caller's [`Board`] hears of prices.
    async fn follow(&self, cx: &Context<Option<BoardClient>>) -> Result<(), Status>;
    /// The newest quote of each symbol.
    async fn latest(&self) -> Vec<Quote>;
    /// The number of readers.
    async fn readers(&self) -> usize;
}
