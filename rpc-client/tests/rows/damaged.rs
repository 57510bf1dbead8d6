//! Row 20 at a client: damaged packets.

use std::cell::Cell;

use futures::future::join_all;
use rpc_testing::rows::{Pace, Scene, Side, damaged};

use crate::Place;

/// How many links are there at once.
const AT_ONCE: usize = 8;

/// Sends each damaged packet over a link of its own.
pub(crate) async fn run(place: &Place) {
    let (mut nth, mut before, is_over) = (0, None, Cell::new(false));
    while !is_over.get() {
        let ends = &is_over;
        let servers = (nth..nth + AT_ONCE).map(|nth| {
            place.session(Pace::Patient, false, async move |link, _| {
                if !damaged(link, Side::Client, nth).await {
                    ends.set(true);
                }
            })
        });
        // They are as large as futures of tests are.
        place.beside("damaged packets", Box::pin(join_all(servers))).await;
        // What the process keeps is made by the first ones.
        before.get_or_insert_with(|| place.memory().held);
        nth += AT_ONCE;
    }
    assert!(nth > 1000, "{nth} packets");
    place.freed("damaged packets leave nothing", before.unwrap_or_default()).await;
}
