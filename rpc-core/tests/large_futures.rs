//! The size of one method's future does not matter to the others of its contract, in a build without optimization too.

use std::hint::black_box;

use rpc_core::{Hosting, session::connect_in_memory};
use tokio::task::yield_now;

const KIB: usize = 1024;

#[rpc_core::service]
trait Warehouse {
    async fn small(&self) -> usize;
    async fn of_64(&self) -> usize;
    async fn of_128(&self) -> usize;
    async fn of_256(&self) -> usize;
    async fn of_384(&self) -> usize;
    async fn of_512(&self) -> usize;
    async fn of_768(&self) -> usize;
}

struct Shelves;

/// Holds `N` bytes while it waits.
async fn hold<const N: usize>() -> usize {
    let bytes = [1_u8; N];
    yield_now().await;
    black_box(&bytes).len()
}

impl Warehouse for Shelves {
    async fn small(&self) -> usize {
        hold::<1>().await
    }
    async fn of_64(&self) -> usize {
        hold::<{ 64 * KIB }>().await
    }
    async fn of_128(&self) -> usize {
        hold::<{ 128 * KIB }>().await
    }
    async fn of_256(&self) -> usize {
        hold::<{ 256 * KIB }>().await
    }
    async fn of_384(&self) -> usize {
        hold::<{ 384 * KIB }>().await
    }
    async fn of_512(&self) -> usize {
        hold::<{ 512 * KIB }>().await
    }
    async fn of_768(&self) -> usize {
        hold::<{ 768 * KIB }>().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_method_beside_methods_with_large_futures_fits_the_stack() {
    let (_server, session) =
        connect_in_memory(&Hosting::builder().service(Shelves.serve()).build().unwrap(), &Hosting::default());
    let warehouse: WarehouseClient = session.client();
    assert_eq!(warehouse.small().await, Ok(1));
    assert_eq!(warehouse.of_64().await, Ok(64 * KIB));
}
