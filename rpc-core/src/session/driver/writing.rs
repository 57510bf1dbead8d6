//! How a session's driver writes: packets until there are no more, or the transport takes no more.

use std::{
    mem,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;

use super::{
    super::{
        TransportError,
        ended::{Ended, Produced},
        trace::trace_packet,
    },
    Driver, ROUND_BYTES, Round,
};
use crate::{
    peer::now,
    proto::{Connection, QueueNeed},
};

/// With this many bytes to be written, the driver does not wait for further callers.
pub(super) const ENOUGH_BYTES: usize = 32 * 1024;

/// How a round of writing ended.
pub(super) enum Written {
    /// All that was there.
    All,
    /// There is more; other tasks run first.
    More,
    /// Nothing, for the sake of more callers. The driver has been woken for another poll.
    Later,
    /// The transport takes no more for now.
    Stuck,
    Failed(TransportError),
}

/// What follows from a look at the connection.
enum Move {
    /// A packet is to be written, if there is one, and perhaps another one after it.
    Packet(Option<Bytes>, bool),
    /// Nothing is written before more callers have had their turn.
    Callers,
    /// Events are to be acted on first, in another round.
    Events,
}

/// What the connection leaves to be done after its output. It is asked for together with the output, under one lock:
/// who changes the connection later wakes the driver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outlook {
    /// Events have come up since the last round, or the session is over.
    pub(super) has_events: bool,
    /// A one-way call was not run, which belongs in the log.
    pub(super) has_refused: bool,
    /// When the connection has to act next.
    pub(super) next: Option<Instant>,
    /// What the next call of the queue needs, if that is all it lacks.
    pub(super) queue_need: Option<QueueNeed>,
}

impl Outlook {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            has_events: connection.has_events() || connection.ended().is_some(),
            has_refused: connection.has_refused_oneway(),
            next: connection.poll_timeout(),
            queue_need: connection.queue_need(),
        }
    }
}

impl Driver {
    /// Reports handlers that have ended, and writes all output. `alone` says that nothing came in, so that a caller has
    /// woken the driver.
    pub(super) fn drive_transmit(&mut self, cx: &mut Context<'_>, round: &mut Round, alone: bool) -> Written {
        let mut may_wait = !self.batching && !self.stuck && self.ended.is_empty();
        self.batching = false;
        // A quiet round has done nothing yet that takes time.
        let (now, mut bytes) = (if round.is_quiet { round.now } else { now() }, 0);
        loop {
            let can_write = match self.transport.poll_ready(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(error)) => return Written::Failed(error),
                Poll::Pending => false,
            };
            let Self { shared, ended, produced, outlook, finished, epoch, .. } = self;
            let next = shared.with(|locked| {
                let connection = &mut locked.connection;
                mem::swap(finished, &mut locked.finished);
                let is_detached = connection.detached().is_some();
                if connection.epoch() != *epoch && !is_detached {
                    // There is another link, to which this transport does not belong.
                    *outlook = Outlook::of(connection);
                    return Move::Events;
                }
                if mem::take(&mut round.is_quiet) {
                    connection.handle_round(false);
                    if connection.has_events() || connection.ended().is_some() {
                        *outlook = Outlook::of(connection);
                        return Move::Events;
                    }
                }
                // A call of a caller that was woken carries the ack as well.
                let may_join = |connection: &Connection| {
                    alone && connection.should_batch(ENOUGH_BYTES) || connection.owes_ack_alone(now)
                };
                if may_wait && may_join(connection) {
                    return Move::Callers;
                }
                report(ended, connection, produced);
                // Without a link there is no packet, and yet the session may have to end.
                let packet = if can_write || is_detached { connection.poll_transmit(now) } else { None };
                let more = packet.is_some() && connection.may_transmit(now);
                *outlook = Outlook::of(connection);
                Move::Packet(packet, more)
            });
            may_wait = false;
            self.dispatch.forget(&mut self.finished);
            self.start_produced();
            let (packet, more) = match next {
                Move::Packet(_, _) if self.has_no_link => return Written::All,
                Move::Packet(_, _) if !can_write => return Written::Stuck,
                Move::Packet(Some(packet), more) => (packet, more),
                Move::Packet(None, _) | Move::Events => return self.flush(cx),
                Move::Callers => {
                    // The first of several callers wakes the driver, and the others run right after it: with one more
                    // turn, their calls share a packet. They need not wake the driver again.
                    self.batching = true;
                    self.shared.wake_driver();
                    return Written::Later;
                }
            };
            trace_packet(Some(self.shared.id), "out", &packet);
            bytes += packet.len();
            if let Err(error) = self.transport.start_send(packet) {
                return Written::Failed(error);
            }
            self.dirty = true;
            // A packet goes at once, and the other side works on it while this one fills the next.
            let flushed = self.flush(cx);
            if !more || !matches!(flushed, Written::All) {
                return flushed;
            }
            if bytes >= ROUND_BYTES {
                return Written::More;
            }
        }
    }

    /// Tells the connection whether the last write is stuck, if that has changed.
    pub(super) fn note_stuck(&mut self, written: &Written) {
        let stuck = matches!(written, Written::Stuck);
        if stuck != self.stuck {
            self.stuck = stuck;
            let sent = self.transport.progress().sent;
            self.outlook = self.shared.with(|locked| {
                locked.connection.handle_write(now(), stuck, sent);
                Outlook::of(&locked.connection)
            });
        }
    }

    fn start_produced(&mut self) {
        if self.produced.is_empty() {
            return;
        }
        for produced in self.produced.drain(..) {
            produced.start(&self.shared);
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Written {
        if !self.dirty {
            return Written::All;
        }
        match self.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.dirty = false;
                Written::All
            }
            Poll::Ready(Err(error)) => Written::Failed(error),
            Poll::Pending => Written::Stuck,
        }
    }
}

/// Tells the connection of handlers that have ended.
fn report(ended: &mut Vec<Ended>, connection: &mut Connection, into: &mut Vec<Produced>) {
    // The ends stay where they lie, because they are large to move.
    for ended in &mut *ended {
        if let Some(produced) = ended.report(connection) {
            into.push(produced);
        }
    }
    ended.clear();
}
