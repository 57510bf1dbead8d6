//! Hostile input as a list of rows, which the tests of servers and of clients go through alike: what a peer says over a
//! link, and what it has to hear.
//!
//! `docs/testing.md` has the numbers. A test makes the link, runs [`Row::attack`] beside a connection that is served,
//! and looks at counters and memory.

mod calls;
mod claims;
mod damaged;
mod framing;
mod liar;
mod scene;
mod victim;

use std::{fmt, time::Duration};

use futures::future::BoxFuture;
use rpc_core::{Config, ConfigBuilder};

pub use claims::{Claimant, Resumer};
pub use damaged::damaged;
use liar::Liar;
pub use liar::{Side, answer, opening};
pub use scene::{AGAIN, Memory, Scene};
pub use victim::{Card, Guest, GuestClient, Host, HostClient, Muddle, Victim};

use crate::socket::Link;

/// Whether a row waits for a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// No time limit is reached.
    Patient,
    /// The time limits are as short as they may be.
    Hasty,
}

type Script = for<'a> fn(&'a mut Liar) -> BoxFuture<'a, ()>;

/// What a peer says, and what it has to hear.
#[derive(Clone, Copy)]
pub struct Row {
    /// The number in `docs/testing.md`.
    pub number: u8,
    /// What the peer does.
    pub what: &'static str,
    /// Which configuration the victim needs.
    pub pace: Pace,
    /// The most that may be allocated meanwhile, if the row is about that.
    pub allocates: Option<usize>,
    /// How often it is run again, to see what is left of it.
    pub again: usize,
    script: Script,
}

impl Row {
    /// A row that waits for no time limit.
    const fn new(number: u8, what: &'static str, script: Script) -> Self {
        Self { number, what, pace: Pace::Patient, allocates: None, again: AGAIN, script }
    }

    /// As it is where a time limit has to be reached.
    const fn hasty(self) -> Self {
        Self { pace: Pace::Hasty, again: 0, ..self }
    }

    /// A row that takes long without any time limit.
    const fn long(self) -> Self {
        Self { again: 5, ..self }
    }

    const fn allocates(self, most: usize) -> Self {
        Self { allocates: Some(most), ..self }
    }

    /// Runs this row over a link that has just become a WebSocket. `is_gone` says whether the victim has no session
    /// of the link any more.
    ///
    /// # Panics
    ///
    /// When the peer hears anything else than it has to.
    pub async fn attack(&self, link: Link, side: Side, is_gone: impl Fn() -> bool + Send + Sync + 'static) {
        let mut liar = Liar::new(link, side, is_gone);
        (self.script)(&mut liar).await;
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: {}", self.number, self.what)
    }
}

/// All rows.
pub fn rows() -> Vec<Row> {
    framing::rows().into_iter().chain(calls::rows()).collect()
}

/// How many calls the victim takes at once.
pub const CALLS: u64 = 4;

/// What the victim of a row is configured with.
pub fn config(pace: Pace) -> Config {
    let few = Config::builder().max_calls(4).nested_calls(1).nested_wait(Duration::from_millis(200));
    match pace {
        Pace::Patient => patient(few),
        Pace::Hasty => hasty(few),
    }
    .build()
    .unwrap()
}

fn patient(config: ConfigBuilder) -> ConfigBuilder {
    config
        .hello_timeout(Duration::MAX)
        .keepalive_timeout(Duration::MAX)
        .progress_timeout(Duration::MAX)
        .write_timeout(Duration::MAX)
}

fn hasty(config: ConfigBuilder) -> ConfigBuilder {
    let second = Duration::from_secs(1);
    config
        .upgrade_timeout(second)
        .hello_timeout(second)
        .keepalive(second)
        .keepalive_timeout(second * 3)
        .progress_timeout(second)
        .write_timeout(second)
}
