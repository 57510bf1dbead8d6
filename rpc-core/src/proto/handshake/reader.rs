//! `FirstFrameReader`: a link whose other side has yet to say its part of the handshake.

use std::time::Instant;

use bytes::Bytes;

use super::only_frame;
use crate::{
    config::Config,
    error::{ConnectionError, ProtocolError, TimeLimit, Timeout},
    proto::{Role, link::Link, sequence::Sequence, timers::LinkTimer},
    wire::{Frame, Hello, read_packet},
};

/// A link without a session, until the other side has said Hello or Welcome.
#[derive(Debug)]
pub(super) struct FirstFrameReader {
    pub(super) config: Config,
    pub(super) link: Link,
    pub(super) sequence: Sequence,
    /// This side.
    role: Role,
}

impl FirstFrameReader {
    /// A link that begins now. A client says Hello on it.
    pub(super) fn new(config: Config, hello: Option<Box<Hello>>, now: Instant) -> Self {
        let role = if hello.is_some() { Role::Client } else { Role::Server };
        let link = Link::new(&config, hello.map(Frame::Hello), now);
        Self { config, link, sequence: Sequence::new(), role }
    }

    /// Takes a packet in. Gives the Hello or the Welcome, if the packet holds it.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: Bytes) -> Result<Option<Frame>, ProtocolError> {
        let link = &mut self.link;
        link.liveness.note_heard(now);
        let len = packet.len();
        link.handshake_bytes.count(len)?;
        let (header, frames) = read_packet(packet)?;
        let frames = frames.with_max_metadata(self.config.max_metadata());
        let first = only_frame(header, frames, self.role == Role::Server)?;
        link.handle_header(&mut self.sequence, header, len, now)?;
        Ok(first)
    }

    pub(super) fn handle_controls(&mut self, now: Instant, seen: u64) -> Result<(), ProtocolError> {
        self.link.charge_controls(now, seen)
    }

    pub(super) fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
        self.link.handle_activity(now, received, mid_message, self.config.progress_timeout());
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        while let Some(timer) = self.link.timers.pop_due(now) {
            let late = match timer {
                LinkTimer::Handshake => {
                    let limit = if self.role == Role::Server { TimeLimit::Hello } else { TimeLimit::Welcome };
                    let is_late = !self.link.timers.look_again(timer, now);
                    is_late.then_some(Timeout::new(limit, self.config.hello_timeout()))
                }
                LinkTimer::Message => {
                    let period = self.config.progress_timeout();
                    let is_stuck = self.link.is_message_stuck(now, period);
                    is_stuck.then_some(Timeout::new(TimeLimit::Message, period))
                }
                // At most a Hello is sent, and silence is judged by the timer of the handshake.
                LinkTimer::Ping | LinkTimer::Silence | LinkTimer::Write | LinkTimer::Backlog => None,
            };
            if let Some(timeout) = late {
                return Err(ConnectionError::TimedOut(timeout));
            }
        }
        Ok(())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.link.timers.next()
    }
}
