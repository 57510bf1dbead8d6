//! `Scene`: where rows run, beside a client that is served, with a look at the memory.

use tokio::time::timeout;

use super::{HostClient, Row};
use crate::waiting::{SOON, until};

/// How often what takes no time is run again. What is left each time adds up.
pub const AGAIN: usize = 200;
/// What may be left in all: places in tables, and what the thread keeps for a while.
const LEFT: usize = 40 * 1024;

/// What the process has of the allocator.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The bytes that are allocated now.
    pub held: usize,
    /// The bytes that have ever been asked for.
    pub asked: usize,
}

/// An end that is attacked, and a client that has had a session since before any hostile peer came.
#[expect(async_fn_in_trait, reason = "tests run it in one thread")]
pub trait Scene {
    /// The client that is served.
    fn healthy(&self) -> &HostClient;

    /// What the process has of the allocator.
    fn memory(&self) -> Memory;

    /// Runs a row once.
    async fn attack(&self, row: &Row);

    /// Waits until nothing is left of the hostile peers.
    async fn is_at_rest(&self);

    /// The healthy client calls, and is called back.
    async fn is_served(&self) {
        assert_eq!(self.healthy().echo("hi".to_owned()).await.as_deref(), Ok("hi"));
        assert_eq!(self.healthy().ask().await.as_deref(), Ok("a server asks"));
    }

    /// Runs what a peer does while the healthy client calls without a pause.
    async fn beside<T>(&self, what: &str, peer: impl Future<Output = T>) -> T {
        let calls = async {
            loop {
                self.is_served().await;
            }
        };
        let done = tokio::select! {
            done = timeout(SOON, peer) => done.unwrap_or_else(|_| panic!("{what} does not end")),
            () = calls => unreachable!("the calls go on"),
        };
        self.is_at_rest().await;
        done
    }

    /// Runs a row once, beside the healthy client.
    async fn run(&self, row: &Row) {
        self.beside(&format!("{row:?}"), self.attack(row)).await;
    }

    /// As [`Self::run`], and looks at the memory. The row has been run before if it takes no time.
    async fn measure(&self, row: &Row) {
        // From here on, the thread keeps what a call needs.
        self.is_served().await;
        let before = self.memory();
        self.run(row).await;
        let asked = self.memory().asked - before.asked;
        assert!(row.allocates.is_none_or(|most| asked <= most), "{row:?}: {asked} bytes were allocated");
        self.repeat(&format!("{row:?}"), row.again, async || self.attack(row).await).await;
        self.freed(&format!("{row:?} leaves nothing"), before.held).await;
    }

    /// Runs what a peer does, and then again as often as this; what is left each time adds up.
    async fn leaves_nothing(&self, what: &str, again: usize, mut peer: impl AsyncFnMut()) {
        self.beside(what, peer()).await;
        let before = self.memory().held;
        self.repeat(what, again, peer).await;
        self.freed(&format!("{what} leaves nothing"), before).await;
    }

    /// Runs what a peer does so often, each time beside a call of the healthy client.
    async fn repeat(&self, what: &str, again: usize, mut peer: impl AsyncFnMut()) {
        for _ in 0..again {
            let both = timeout(SOON, async { tokio::join!(peer(), self.is_served()) });
            both.await.unwrap_or_else(|_| panic!("{what} does not end"));
            self.is_at_rest().await;
        }
    }

    /// Waits until there is no more than before. The healthy client is served meanwhile: the thread frees what its
    /// connections have not needed for a while, and keeps what these calls need.
    async fn freed(&self, what: &str, before: usize) {
        let calls = async {
            loop {
                self.is_served().await;
            }
        };
        tokio::select! {
            () = until(what, || self.memory().held <= before + LEFT) => {}
            () = calls => unreachable!("the calls go on"),
        }
    }
}
