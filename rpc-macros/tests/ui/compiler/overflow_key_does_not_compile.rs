use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Quote {
    pub symbol: String,
    pub venue: Venue,
}

#[derive(Serialize, Deserialize)]
pub struct Venue;

pub struct Opaque;

pub fn opaque(_: &Venue) -> Opaque {
    Opaque
}

#[rpc_core::callback(group)]
trait Ticker {
    #[rpc(oneway, overflow = "conflate", key = "quote.sybmol")]
    async fn no_such_field(&self, quote: &Quote);
    #[rpc(oneway, overflow = "conflate", key = "quotes.symbol")]
    async fn no_such_argument(&self, quote: &Quote);
    #[rpc(oneway, overflow = "conflate", key = "opaque(&quote.venue)")]
    async fn no_serde(&self, quote: Quote);
}

fn main() {}
