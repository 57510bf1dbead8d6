//! Row 20 at a client: damaged packets.

use rpc_testing::rows::{Pace, Side, damaged};

use crate::{Place, allocated};

/// Sends each damaged packet over a link of its own.
pub(crate) async fn run(place: &Place) {
    let (mut nth, mut before) = (0, 0);
    loop {
        let mut is_over = false;
        place
            .session("a damaged packet", Pace::Patient, false, async |link, _| {
                is_over = !damaged(link, Side::Client, nth).await;
            })
            .await;
        // What the process keeps is made by the first ones.
        if nth == 8 {
            before = allocated();
        }
        if is_over {
            break;
        }
        nth += 1;
    }
    assert!(nth > 1000, "{nth} packets");
    place.freed("damaged packets leave nothing", before).await;
}
