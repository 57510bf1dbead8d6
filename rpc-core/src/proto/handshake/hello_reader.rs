//! `HelloReader`: a link at a server, before its client has said Hello.

use std::time::Instant;

use bytes::Bytes;

use super::{Newcomer, only_frame};
use crate::{
    config::Config,
    error::{ConnectionError, ProtocolError, TimeLimit, Timeout},
    proto::{link::Link, negotiated::Negotiated, sequence::Sequence, timers::LinkTimer},
    wire::{Frame, Hello, VERSION, read_packet},
};

/// A link at a server whose client has not said Hello, without any IO and without a clock.
///
/// Input: [`Self::handle_packet`] for what came in until it gives the Hello; [`Self::handle_controls`] and
/// [`Self::handle_activity`] for how the transport gets on; [`Self::handle_timeout`] when [`Self::poll_timeout`] has
/// come. After an error the link is to be closed with the code and the reason of that error. There is no output: a
/// server says nothing before it has the Hello.
#[derive(Debug)]
pub struct HelloReader {
    config: Config,
    link: Link,
    sequence: Sequence,
}

impl HelloReader {
    /// A link that begins now.
    pub fn new(config: Config, now: Instant) -> Self {
        Self { link: Link::new(&config, None, now), sequence: Sequence::new(), config }
    }

    /// Takes a packet in. Gives the Hello if the packet holds it; nothing may follow then but
    /// [`Self::into_newcomer`].
    ///
    /// # Errors
    ///
    /// If the client breaks the protocol: with anything but a Hello that stands alone in its packet, or with too many
    /// bytes.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) -> Result<Option<Box<Hello>>, ProtocolError> {
        let link = &mut self.link;
        link.liveness.note_heard(now);
        let len = packet.len();
        link.handshake_bytes.count(len)?;
        let (header, frames) = read_packet(packet)?;
        let first = only_frame(header, frames.with_max_metadata(self.config.max_metadata()), true)?;
        link.handle_header(&mut self.sequence, header, len, now)?;
        Ok(first.and_then(|frame| if let Frame::Hello(hello) = frame { Some(hello) } else { None }))
    }

    /// Notes that `seen` control frames of the layer below have come in since the link began.
    ///
    /// # Errors
    ///
    /// If they are too many.
    pub fn handle_controls(&mut self, now: Instant, seen: u64) -> Result<(), ProtocolError> {
        self.link.charge_controls(now, seen)
    }

    /// Notes that `received` bytes have come in since the link began. `mid_message` says whether a message has begun
    /// and not ended.
    pub fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
        self.link.handle_activity(now, received, mid_message, self.config.progress_timeout());
    }

    /// Time has passed. Call it when [`Self::poll_timeout`] has come.
    ///
    /// # Errors
    ///
    /// If the Hello has not come within [`hello_timeout`](crate::Config::hello_timeout), or the message that has begun
    /// does not grow.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        while let Some(timer) = self.link.timers.pop_due(now) {
            let late = match timer {
                LinkTimer::Handshake => (!self.link.timers.look_again(timer, now))
                    .then_some(Timeout::new(TimeLimit::Hello, self.config.hello_timeout())),
                LinkTimer::Message => {
                    let period = self.config.progress_timeout();
                    let is_stuck = self.link.is_message_stuck(now, period);
                    is_stuck.then_some(Timeout::new(TimeLimit::Message, period))
                }
                // Nothing is sent before the Hello, and silence is judged by the timer of the handshake.
                LinkTimer::Ping | LinkTimer::Silence | LinkTimer::Write | LinkTimer::Backlog => None,
            };
            if let Some(timeout) = late {
                return Err(ConnectionError::TimedOut(timeout));
            }
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] should be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.timers.next()
    }

    /// The client that has said this Hello on the link.
    ///
    /// # Errors
    ///
    /// If what the Hello announces contradicts itself.
    pub fn into_newcomer(self, hello: Box<Hello>) -> Result<Newcomer, ProtocolError> {
        let Self { config, link, sequence } = self;
        let negotiated = match Negotiated::new(&config, &hello.limits, hello.contracts.clone()) {
            // In another version the limits may mean something else. The client will be told of its version.
            Err(_) if hello.version != VERSION => Negotiated::assumed(&config),
            negotiated => negotiated?,
        };
        Ok(Newcomer { config, link, sequence, negotiated, hello })
    }
}
