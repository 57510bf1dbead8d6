//! Reserving a payload's part of the session's budgets before the payload goes to the outbox.

use std::ops::Deref;

use tokio::sync::{Semaphore, TryAcquireError};

use super::{SessionShared, shared::transfer_budget};
use crate::proto::{Charges, Released};

/// The parts of the budgets that a sender has reserved. They return when this is dropped, unless they were handed over.
///
/// The order of reserving is fixed: argument bytes, then transfers, then room. A sender that holds the earlier ones
/// waits for the later ones. Those return as the driver writes what is queued already, and what is queued needs no
/// further budget. So two senders never wait for each other.
#[derive(Debug)]
pub(crate) struct Reservation<S: Deref<Target = SessionShared>> {
    shared: S,
    held: Charges,
}

/// The budget that is short, and the amount that a sender needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Room in the outbox.
    Room(u32),
    /// Bytes of the budget of transfers.
    Transfers(u32),
    /// Bytes of the budget of arguments.
    Arguments(u32),
}

/// The session is over.
#[derive(Debug)]
pub(crate) struct Over;

impl<S: Deref<Target = SessionShared>> Reservation<S> {
    pub(crate) fn new(shared: S) -> Self {
        Self { shared, held: Charges::default() }
    }

    /// Reserves for a payload of `payload` bytes and a frame of `frame` bytes around it, if the budgets allow that now.
    /// Otherwise the caller drops the encoded payload, waits for the budget that is short, and encodes again: a sender
    /// that waits holds no encoded bytes. `arguments` bytes count against the other side's limit of arguments.
    pub(crate) fn reserve(&mut self, payload: usize, frame: usize, arguments: u32) -> Result<(), Need> {
        let large = payload > self.chunk();
        if arguments > 0 {
            try_more(&self.shared.arguments, &mut self.held.arguments, arguments)
                .map_err(|()| Need::Arguments(arguments))?;
        }
        if large {
            let bytes = self.transfer_charge(payload);
            try_more(&self.shared.transfers, &mut self.held.transfers, bytes).map_err(|()| Need::Transfers(bytes))?;
        }
        let room = to_u32(if large { frame } else { frame + payload });
        try_more(&self.shared.room, &mut self.held.room, room)
            .map_err(|()| Need::Room(to_u32(SessionShared::room_unit(&self.shared.config)).max(room)))?;
        Ok(())
    }

    /// As [`Self::reserve`] for arguments, but reserves all or nothing. This is for a call that may yet have to wait
    /// for its permit.
    pub(crate) fn reserve_whole(&mut self, payload: usize, frame: usize, arguments: u32) -> bool {
        let whole = self.reserve(payload, frame, arguments).is_ok();
        if !whole {
            self.release();
        }
        whole
    }

    /// The bytes that a large payload takes of the budget of transfers. A payload beyond the whole budget goes alone.
    fn transfer_charge(&self, payload: usize) -> u32 {
        let budget = self.shared.limits().map_or(0, |limits| transfer_budget(limits.assembly, &self.shared.config));
        to_u32(payload).min(budget)
    }

    /// Waits until the budget of transfers allows a large payload whose frame needs no room.
    pub(crate) async fn transfer(&mut self, payload: usize) -> Result<(), Over> {
        self.wait(Need::Transfers(self.transfer_charge(payload))).await
    }

    /// As [`Self::transfer`], but false instead of waiting.
    pub(crate) fn try_transfer(&mut self, payload: usize) -> bool {
        let charge = self.transfer_charge(payload);
        try_more(&self.shared.transfers, &mut self.held.transfers, charge).is_ok()
    }

    /// Hands over the reserved bytes of transfers.
    pub(crate) fn take_transfer(&mut self) -> u32 {
        std::mem::take(&mut self.held.transfers)
    }

    /// Waits for the budget that was short. Senders are served in the order in which they came.
    pub(crate) async fn wait(&mut self, need: Need) -> Result<(), Over> {
        let (semaphore, held, want) = match need {
            Need::Room(n) => (&self.shared.room, &mut self.held.room, n),
            Need::Transfers(n) => (&self.shared.transfers, &mut self.held.transfers, n),
            Need::Arguments(n) => (&self.shared.arguments, &mut self.held.arguments, n),
        };
        let permits = semaphore.acquire_many(want.saturating_sub(*held)).await.map_err(|_| Over)?;
        permits.forget();
        *held = want.max(*held);
        Ok(())
    }

    /// Hands over the payload's part of the budgets, and returns the rest.
    pub(crate) fn take(&mut self, payload: usize, frame: usize, arguments: u32) -> Charges {
        self.trim(payload, frame, arguments);
        std::mem::take(&mut self.held)
    }

    /// Hands over all that is reserved.
    #[inline]
    pub(crate) fn into_charges(mut self) -> Charges {
        std::mem::take(&mut self.held)
    }

    /// Returns what is reserved beyond the payload's part of the budgets, as after a wait.
    pub(crate) fn trim(&mut self, payload: usize, frame: usize, arguments: u32) {
        let mut charges = std::mem::take(&mut self.held);
        let large = payload > self.chunk();
        let room = to_u32(if large { frame } else { frame + payload });
        let mut rest = Released::default();
        if charges.room > room {
            rest.room = (charges.room - room) as usize;
            charges.room = room;
        }
        if !large {
            rest.transfers = std::mem::take(&mut charges.transfers) as usize;
        }
        if charges.arguments > arguments {
            rest.arguments = (charges.arguments - arguments) as usize;
            charges.arguments = arguments;
        }
        self.shared.give_back(rest);
        self.held = charges;
    }

    fn release(&mut self) {
        let Charges { room, transfers, arguments } = std::mem::take(&mut self.held);
        self.shared.give_back(Released {
            room: room as usize,
            transfers: transfers as usize,
            arguments: arguments as usize,
        });
    }

    fn chunk(&self) -> usize {
        self.shared.chunk()
    }
}

impl<S: Deref<Target = SessionShared>> Drop for Reservation<S> {
    #[inline]
    fn drop(&mut self) {
        if self.held != Charges::default() {
            self.release();
        }
    }
}

/// A result, or a long item of a stream, that waits for a budget or for credit as the value that users' code has made.
/// During the wait ([`Reservation::wait`]) the value counts in the memory pool of all sessions.
#[derive(Debug)]
pub(crate) struct WaitingValue<'a> {
    shared: &'a SessionShared,
    len: usize,
}

impl<'a> WaitingValue<'a> {
    /// `len` is the length of the encoded value.
    pub(crate) fn new(shared: &'a SessionShared, len: usize) -> Self {
        // If all sessions together hold too much now, the driver acts on it.
        shared.act(|connection| connection.value_waits(len));
        Self { shared, len }
    }
}

impl Drop for WaitingValue<'_> {
    fn drop(&mut self) {
        self.shared.with(|locked| locked.connection.value_goes(self.len));
    }
}

fn try_more(semaphore: &Semaphore, held: &mut u32, want: u32) -> Result<(), ()> {
    let more = want.saturating_sub(*held);
    if more > 0 {
        match semaphore.try_acquire_many(more) {
            Ok(permits) => permits.forget(),
            // After the end of the session nothing is short: the session discards what is sent, and calls resolve.
            Err(TryAcquireError::Closed) => return Ok(()),
            Err(TryAcquireError::NoPermits) => return Err(()),
        }
        *held = want;
    }
    Ok(())
}

fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use futures::FutureExt;

    use super::*;
    use crate::{
        config::Config,
        peer::{ConnectionInfo, Facts, SessionId},
        proto::Connection,
    };

    fn shared(config: &Config) -> SessionShared {
        let connection = Connection::client(1, config.clone(), Vec::new(), Instant::now());
        let facts = Facts::new(SessionId::next(), ConnectionInfo::default());
        SessionShared::new(connection, config.clone(), facts, Arc::default())
    }

    #[test]
    fn what_cannot_be_reserved_whole_holds_nothing() {
        let config = Config::default();
        let shared = shared(&config);
        let (payload, frame) = (100_000, 64);
        shared.arguments.add_permits(payload);
        let mut reservation = Reservation::new(&shared);
        let full = shared.room.try_acquire_many(to_u32(config.outbox_soft())).unwrap();
        let arguments = to_u32(payload);
        assert!(!reservation.reserve_whole(payload, frame, arguments), "there is no room");
        assert_eq!(shared.arguments.available_permits(), payload);
        drop(full);
        assert!(reservation.reserve_whole(payload, frame, arguments));
        assert_eq!(shared.arguments.available_permits(), 0);
        drop(reservation);
        assert_eq!(shared.arguments.available_permits(), payload);
    }

    /// A sender that needs little does not pass one that has come before it and needs more.
    #[tokio::test(start_paused = true)]
    async fn room_goes_to_the_sender_that_came_first() {
        let config = Config::default();
        let shared = shared(&config);
        let unit = to_u32(SessionShared::room_unit(&config));
        let full = shared.room.try_acquire_many(to_u32(config.outbox_soft())).unwrap();
        let (mut first, mut second, mut late) =
            (Reservation::new(&shared), Reservation::new(&shared), Reservation::new(&shared));
        {
            let mut waits = [&mut first, &mut second].map(|sender| Box::pin(sender.wait(Need::Room(unit))));
            for wait in &mut waits {
                assert!(wait.now_or_never().is_none());
            }
            full.forget();
            // Not enough for the first.
            shared.room.add_permits(unit as usize - 1);
            assert_eq!(late.reserve(10, 10, 0), Err(Need::Room(unit)), "two wait already");
            assert!(waits.iter_mut().all(|wait| wait.now_or_never().is_none()));
            shared.room.add_permits(1);
            let [first, second] = waits.each_mut().map(FutureExt::now_or_never);
            assert!(first.is_some_and(|waited| waited.is_ok()) && second.is_none());
            assert_eq!(late.reserve(10, 10, 0), Err(Need::Room(unit)), "one waits still");
        }
        drop((first, second));
        assert_eq!(late.reserve(10, 10, 0), Ok(()));
    }
}
