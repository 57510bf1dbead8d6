//! A client: its `Cargo.toml` has the contract crate and `rpc-client` alone of our crates. `rpc-server` is there for
//! the tests alone, so the library cannot name it.
//!
//! ```
//! #[rpc_client::service]
//! trait Clock {
//!     async fn hour(&self) -> u8;
//! }
//! ```

use std::error::Error;

use one_contract::{GreeterClient, Visitor};
use rpc_client::{Connect, Stub};

/// A visitor.
#[derive(Debug)]
pub struct Ada;

impl Visitor for Ada {
    async fn name(&self) -> String {
        "Ada".to_owned()
    }

    async fn came(&self, _: &str) {}
}

/// A contract that the client has at hand, for instance of a server by another author.
#[rpc_client::service]
pub trait Clock {
    /// How late it is.
    async fn hour(&self) -> u8;
}

/// What the server at `url` says to Ada, and how far it counts.
pub async fn greeted(url: &str) -> Result<(String, u32), Box<dyn Error>> {
    let greeter = GreeterClient::connect(url).callback(Ada.serve()).await?;
    let greeting = greeter.greet("Hello").await?;
    let mut numbers = greeter.count(3).await?;
    let mut counted = 0;
    while let Some(number) = numbers.next().await {
        number?;
        counted += 1;
    }
    greeter.session().close().await;
    Ok((greeting, counted))
}

/// How late it is at `url`.
pub async fn hour(url: &str) -> Result<u8, Box<dyn Error>> {
    Ok(ClockClient::connect(url).callback(Ada.serve()).await?.hour().await?)
}
