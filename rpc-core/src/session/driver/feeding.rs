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

/// What a call of the queue needs, and its part of the budgets; `None` if the session is over.
pub(super) type Reserving = BoxFuture<'static, (QueueNeed, Option<Charges>)>;

impl Driver {
    /// Reserves what the next call of the queue needs, if it is large. True if the call can go now, in another round.
    pub(super) fn drive_queue(&mut self, cx: &mut Context<'_>) -> bool {
        let need = self.outlook.queue_need;
        if self.reserving.is_none() && need.is_none() {
            return false;
        }
        let shared = &self.shared;
        let new = || need.map(|need| reserve(shared.clone(), need).boxed());
        let Some(mut reserving) = self.reserving.take().or_else(new) else { return false };
        match reserving.poll_unpin(cx) {
            Poll::Ready((need, Some(charges))) => {
                shared.with(|locked| locked.connection.charge_queue(need, charges));
                true
            }
            Poll::Ready((_, None)) => false,
            Poll::Pending => {
                self.reserving = Some(reserving);
                false
            }
        }
    }
}

async fn reserve(shared: Arc<SessionShared>, need: QueueNeed) -> (QueueNeed, Option<Charges>) {
    let mut reservation = Reservation::new(shared);
    loop {
        match reservation.reserve(need.len, CALL_FRAME, need.arguments) {
            Ok(()) => return (need, Some(reservation.take(need.len, CALL_FRAME, need.arguments))),
            Err(short) => {
                if reservation.wait(short).await.is_err() {
                    return (need, None);
                }
            }
        }
    }
}
