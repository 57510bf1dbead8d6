//! `HelloReader`: a link at a server, before its client has said Hello.

use std::time::Instant;

use bytes::Bytes;

use super::{Newcomer, reader::FirstFrameReader};
use crate::{
    config::Config,
    error::{ConnectionError, ProtocolError},
    proto::negotiated::Negotiated,
    wire::{Frame, Hello, VERSION},
};

/// A link at a server whose client has not said Hello, without any IO and without a clock.
///
/// Input: [`Self::handle_packet`] for what came in until it gives the Hello; [`Self::handle_controls`] and
/// [`Self::handle_activity`] for how the transport gets on; [`Self::handle_timeout`] when [`Self::poll_timeout`] has
/// come. After an error the link is to be closed with the code and the reason of that error. There is no output: a
/// server says nothing before it has the Hello.
#[derive(Debug)]
pub struct HelloReader(FirstFrameReader);

impl HelloReader {
    /// A link that begins now.
    pub fn new(config: Config, now: Instant) -> Self {
        Self(FirstFrameReader::new(config, None, now))
    }

    /// Takes a packet in. Gives the Hello if the packet holds it; nothing may follow then but
    /// [`Self::into_newcomer`].
    ///
    /// # Errors
    ///
    /// If the client breaks the protocol: with anything but a Hello that stands alone in its packet, or with too many
    /// bytes.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) -> Result<Option<Box<Hello>>, ProtocolError> {
        let first = self.0.handle_packet(now, packet)?;
        Ok(first.and_then(|frame| if let Frame::Hello(hello) = frame { Some(hello) } else { None }))
    }

    /// Notes that `seen` control frames of the layer below have come in since the link began.
    ///
    /// # Errors
    ///
    /// If they are too many.
    pub fn handle_controls(&mut self, now: Instant, seen: u64) -> Result<(), ProtocolError> {
        self.0.handle_controls(now, seen)
    }

    /// Notes that `received` bytes have come in since the link began. `mid_message` says whether a message has begun
    /// and not ended.
    pub fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool) {
        self.0.handle_activity(now, received, mid_message);
    }

    /// Time has passed. Call it when [`Self::poll_timeout`] has come.
    ///
    /// # Errors
    ///
    /// If the Hello has not come within [`hello_timeout`](crate::Config::hello_timeout), or the message that has begun
    /// does not grow.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.0.handle_timeout(now)
    }

    /// When [`Self::handle_timeout`] should be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// The client that has said this Hello on the link.
    ///
    /// # Errors
    ///
    /// If what the Hello announces contradicts itself.
    pub fn into_newcomer(self, hello: Box<Hello>) -> Result<Newcomer, ProtocolError> {
        let FirstFrameReader { config, link, sequence, .. } = self.0;
        let negotiated = match Negotiated::new(&config, &hello.limits, hello.contracts.clone()) {
            // In another version the limits may mean something else. The client will be told of its version.
            Err(_) if hello.version != VERSION => Negotiated::assumed(&config),
            negotiated => negotiated?,
        };
        Ok(Newcomer { config, link, sequence, negotiated, hello })
    }
}
