//! How a session's driver reads: the packets of a round, up to its bounds.

use std::{
    mem,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;

use super::{
    super::{TransportError, trace::trace_packet, yield_now::yield_now},
    Driver, ROUND_BYTES, Round,
    writing::Outlook,
};
use crate::{peer::now, proto::Event};

/// Frames that one poll takes in before it writes.
const ROUND_FRAMES: usize = 64;
/// A packet up to this length has few frames, and is likely to be alone.
const FEW_BYTES: usize = 256;
/// With this many events waiting for hooks, the driver reads nothing more until the hooks have returned.
const ENOUGH_EVENTS: usize = 4096;

/// What a round has read.
#[derive(Default)]
struct Intake {
    bytes: usize,
    /// How many frames have been taken in.
    frames: usize,
    /// A first packet of few frames, which is taken in with the rest of the round: under one lock. It does not count
    /// among the frames, so that it must be short.
    first: Option<Bytes>,
    /// Why there will be no more.
    lost: Option<TransportError>,
}

impl Intake {
    /// Whether the round has read enough, and writes next.
    fn is_full(&self) -> bool {
        self.bytes >= ROUND_BYTES || self.frames >= ROUND_FRAMES
    }

    fn is_empty(&self) -> bool {
        self.frames == 0 && self.first.is_none() && self.lost.is_none()
    }
}

impl Driver {
    /// Takes packets in, and lets time pass.
    pub(super) fn drive_receive(&mut self, cx: &mut Context<'_>) -> Round {
        let now = now();
        let mut intake = self.take_packets_in(cx, now);
        let (progress, stuck) = (self.transport.progress(), self.stuck);
        let has_read = !intake.is_empty() || !self.told.has_read_as_much_as(progress);
        let is_due = self.outlook.has_events || self.outlook.next.is_none_or(|next| next <= now);
        if !has_read && !is_due && !stuck {
            // Most often a caller has woken the driver, and nothing else has happened.
            return Round { now, is_quiet: true, is_settled: false };
        }
        self.told = progress;
        let has_written = self.ended.is_empty() && !self.dirty && !stuck;
        let may_settle = has_written && self.opening.is_none() && !intake.is_full();
        let Self { shared, wakes, events, finished, epoch, outlook, .. } = self;
        let waiting = events.len();
        let (batch, is_settled) = shared.with_deferred_wakes(wakes, |locked| {
            let connection = &mut locked.connection;
            if connection.epoch() == *epoch {
                if let Some(packet) = intake.first.take() {
                    intake.frames += connection.handle_packet(now, packet);
                }
                connection.handle_round(intake.is_full());
                connection.handle_controls(now, progress.controls);
                connection.handle_activity(now, progress.received, progress.mid_message);
                connection.handle_write(now, stuck, progress.sent);
                if let Some(error) = intake.lost.take() {
                    connection.handle_lost(now, error.into());
                }
            }
            connection.handle_timeout(now);
            connection.take_events(events);
            mem::swap(finished, &mut locked.finished);
            // Most often results have come, and what their callers do next wakes the driver again.
            let is_settled = may_settle && events.is_empty() && connection.is_settled(now);
            if is_settled {
                *outlook = Outlook::of(connection);
            }
            (connection.batch(), is_settled)
        });
        self.batch = batch;
        if self.opening.is_some() {
            // These events wait for hooks.
            self.events.range_mut(waiting..).for_each(Event::detach);
        }
        self.dispatch.forget(&mut self.finished);
        Round { now, is_quiet: false, is_settled }
    }

    /// Takes in what has come, up to the bounds of a round.
    fn take_packets_in(&mut self, cx: &mut Context<'_>, now: Instant) -> Intake {
        let mut intake = Intake::default();
        loop {
            let early = match &mut self.opening {
                None => None,
                Some(_) if self.events.len() >= ENOUGH_EVENTS => return intake,
                Some(opening) => opening.early(),
            };
            if intake.is_full() {
                yield_now(cx);
                return intake;
            }
            let packet = match self.transport.poll_receive(cx) {
                Poll::Pending => return intake,
                Poll::Ready(Err(error)) => return Intake { lost: Some(error), ..intake },
                Poll::Ready(Ok(packet)) => packet,
            };
            trace_packet(Some(self.shared.id), "in", &packet);
            intake.bytes += packet.len();
            if let Some(early) = early {
                intake.frames += 1;
                match early.keep(now, packet) {
                    Ok(()) => continue,
                    Err(error) => return Intake { lost: Some(TransportError::Protocol(error)), ..intake },
                }
            }
            if intake.is_empty() && packet.len() <= FEW_BYTES && self.handshake_done {
                intake.first = Some(packet);
                continue;
            }
            if let Some(first) = intake.first.take() {
                intake.frames += self.take_in(now, first);
            }
            intake.frames += self.take_in(now, packet);
        }
    }

    /// Takes a packet in. Gives the number of its frames, and 1 for an empty packet.
    fn take_in(&mut self, now: Instant, packet: Bytes) -> usize {
        let epoch = self.epoch;
        let (frames, open) = self.shared.with_deferred_wakes(&mut self.wakes, |locked| {
            let connection = &mut locked.connection;
            let frames = if connection.epoch() == epoch { connection.handle_packet(now, packet) } else { 0 };
            (frames, connection.is_open())
        });
        if open {
            self.end_handshake();
        }
        frames.max(1)
    }

    /// The connection is open: packets may have their full length from now on. A client must tell its transport before
    /// it reads anything more, because the server may send long packets right behind its Welcome.
    pub(super) fn end_handshake(&mut self) {
        if !self.handshake_done {
            self.handshake_done = true;
            self.transport.handshake_done();
        }
    }
}
