//! A ticker: thousands of quotes a second to readers of different speed, over streams.

mod cable;
mod config;
mod contract;
mod demo;
mod ticker;
mod view;

pub use config::config;
pub use contract::{Missed, Prices, PricesClient, Quote};
pub use demo::demo;
pub use ticker::Ticker;
pub use view::{Reader, View};
