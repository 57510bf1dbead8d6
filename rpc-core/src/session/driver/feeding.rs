//! How a session's driver reserves what a large call of the queue needs.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};

use super::Driver;
use crate::{
    peer::{CALL_FRAME, Reservation, SessionShared},
    proto::{Charges, QueueNeed},
};

/// What a call of the queue needs, and what gives its part of the budgets; `None` if the session is over.
pub(super) type Reserving = (QueueNeed, BoxFuture<'static, Option<Charges>>);

impl Driver {
    /// Reserves what the next call of the queue needs, if it is large. True if the call can go now, in another round.
    pub(super) fn drive_queue(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(need) = self.outlook.queue_need else {
            self.reserving = None;
            return false;
        };
        // Another call may have taken the place of the one for which this was to be reserved.
        let kept = self.reserving.take().filter(|reserving| reserving.0 == need);
        let mut reserving = kept.unwrap_or_else(|| Box::new((need, reserve(self.shared.clone(), need).boxed())));
        match reserving.1.poll_unpin(cx) {
            Poll::Ready(Some(charges)) => {
                self.shared.with(|locked| locked.connection.charge_queue(need, charges));
                true
            }
            Poll::Ready(None) => false,
            Poll::Pending => {
                self.reserving = Some(reserving);
                false
            }
        }
    }
}

async fn reserve(shared: Arc<SessionShared>, need: QueueNeed) -> Option<Charges> {
    let mut reservation = Reservation::new(shared);
    loop {
        match reservation.reserve(need.len, CALL_FRAME, need.arguments) {
            Ok(()) => return Some(reservation.take(need.len, CALL_FRAME, need.arguments)),
            Err(short) => {
                if reservation.wait(short).await.is_err() {
                    return None;
                }
            }
        }
    }
}
