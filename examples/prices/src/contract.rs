//! The contract of the ticker.

use std::fmt;

use rpc_server::Streaming;
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

/// Quotes prices.
#[rpc_server::service]
pub trait Prices {
    /// The symbols that are quoted.
    async fn symbols(&self) -> Vec<String>;
    /// Every quote from now on, in order. Ends with [`Missed`] for a reader that does not keep up.
    async fn every(&self) -> Streaming<Quote, Missed>;
    /// The newest quote whenever the reader has room, so that a slow reader skips quotes instead of reading old ones.
    /// The small window bounds the quotes that are read ahead.
    #[rpc(window = 512)]
    async fn latest(&self) -> Streaming<Quote>;
    /// The number of readers.
    async fn readers(&self) -> usize;
}
