//! A ticker: thousands of quotes a second to readers of different speed, over streams and callbacks.

mod contract;
mod demo;
mod ticker;
mod view;

pub use contract::{Board, BoardClient, BoardGroup, Missed, Prices, PricesClient, Quote};
pub use demo::demo;
pub use ticker::Ticker;
pub use view::{Reader, View};
