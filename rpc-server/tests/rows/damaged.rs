//! Row 20: damaged packets.

use std::cell::Cell;

use rpc_testing::rows::{Scene, Side, damaged};

use crate::Place;

/// How many links are there at once.
const AT_ONCE: usize = 8;

/// Sends each damaged packet over a link of its own.
pub(crate) async fn run(place: &Place) {
    let (mut nth, mut before, is_over) = (0, None, Cell::new(false));
    while !is_over.get() {
        let peers = (nth..nth + AT_ONCE).map(async |nth| {
            let link = Box::new(place.link(false).await);
            if !damaged(link, Side::Server, nth).await {
                is_over.set(true);
            }
        });
        place.beside("damaged packets", async { drop(futures::future::join_all(peers).await) }).await;
        before.get_or_insert_with(|| place.memory().held);
        nth += AT_ONCE;
    }
    assert!(nth > 1000, "{nth} packets");
    place.freed("damaged packets leave nothing", before.unwrap_or_default()).await;
}
