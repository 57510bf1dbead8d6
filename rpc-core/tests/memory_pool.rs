//! Sessions of one hosting share its pool, and give back what they held however they end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{future::pending, time::Duration};

use rpc_core::{Hosting, MemoryPool, Session, session::connect_in_memory};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

const LEN: usize = 200_000;

#[rpc_core::service]
trait Depot {
    async fn park(&self, load: &str);
    async fn weigh(&self, load: &str) -> usize;
}

struct Yard;

impl Depot for Yard {
    async fn park(&self, _load: &str) {
        pending::<()>().await;
    }
    async fn weigh(&self, load: &str) -> usize {
        load.len()
    }
}

/// Two sessions, each with a call that does not end.
fn park(runtime: &Runtime, pool: &MemoryPool) -> Vec<Session> {
    let server = Hosting::builder().service(Yard.serve()).memory(pool.clone()).build().unwrap();
    runtime.block_on(async {
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (server, client) = connect_in_memory(&server, &Hosting::default());
            let depot: DepotClient = client.client();
            tokio::spawn(async move { depot.park(&"x".repeat(LEN)).await });
            let depot: DepotClient = client.client();
            // It is behind the other one, and small enough not to count.
            assert_eq!(depot.weigh("x").await, Ok(1));
            ends.push(server);
        }
        let arrived = async {
            while pool.held() < 2 * LEN {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), arrived).await.unwrap();
        ends
    })
}

#[test]
fn sessions_whose_drivers_are_dropped_give_all_back() {
    let pool = MemoryPool::new(1 << 30);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ends = park(&runtime, &pool);
    assert_eq!(pool.sessions(), 2);
    drop(runtime);
    assert_eq!((pool.held(), pool.sessions()), (0, 0), "although the handles are still there");
    drop(ends);
}

#[test]
fn sessions_that_are_closed_give_all_back() {
    let pool = MemoryPool::new(1 << 30);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ends = park(&runtime, &pool);
    for end in &ends {
        drop(end.close());
    }
    assert_eq!((pool.held(), pool.sessions()), (0, 0));
}
