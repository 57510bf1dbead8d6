//! `WelcomeReader`: a link at a client, before its server has said whether it resumes a session.

use std::time::Instant;

use bytes::Bytes;

use super::reader::FirstFrameReader;
use crate::{
    config::{Config, MAX_CONTRACTS},
    error::{ConnectionError, HandshakeViolation, ProtocolError},
    proto::{link::Link, negotiated::Negotiated},
    wire::{Frame, Hello, VERSION, Welcome},
};

/// A link at a client that has a session without one, and asks the server to go on with that session; without any IO
/// and without a clock.
///
/// Output: [`Self::poll_transmit`], once. Input: [`Self::handle_packet`] for what came in until it gives the Welcome;
/// [`Self::handle_controls`] and [`Self::handle_activity`] for how the transport gets on; [`Self::handle_timeout`] when
/// [`Self::poll_timeout`] has come. After an error the link is to be closed with the code and the reason of that error.
#[derive(Debug)]
pub struct WelcomeReader(FirstFrameReader);

impl WelcomeReader {
    /// A link that begins now, on which the client says this
    /// [Hello](crate::__internals::proto::Connection::resume_hello).
    pub fn new(config: Config, hello: Box<Hello>, now: Instant) -> Self {
        Self(FirstFrameReader::new(config, Some(hello), now))
    }

    /// The packet with the Hello, if that has not gone.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.0.link.write_handshake()
    }

    /// Takes a packet in. Gives the Welcome if the packet holds it; nothing may follow then but
    /// [`Self::into_welcomed`].
    ///
    /// # Errors
    ///
    /// If the server breaks the protocol: with anything but a Welcome that stands alone in its packet, or with too many
    /// bytes.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) -> Result<Option<Box<Welcome>>, ProtocolError> {
        let first = self.0.handle_packet(now, packet)?;
        Ok(first.and_then(|frame| if let Frame::Welcome(welcome) = frame { Some(welcome) } else { None }))
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
    /// If the Welcome has not come in time, or the message that has begun does not grow.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.0.handle_timeout(now)
    }

    /// When [`Self::handle_timeout`] should be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// The server that has said this Welcome on the link.
    ///
    /// # Errors
    ///
    /// If the server refuses the client, or what the Welcome announces contradicts itself.
    pub fn into_welcomed(self, welcome: Box<Welcome>) -> Result<Welcomed, ConnectionError> {
        let FirstFrameReader { config, link, .. } = self.0;
        let negotiated = judge(&config, &welcome)?;
        Ok(Welcomed { config, link, negotiated, welcome })
    }
}

/// A link at a client on which the server has said Welcome. Either the server
/// [has resumed](crate::wire::Welcome::resumed) the session that it was asked for, which
/// [goes on](crate::proto::Connection::attach_to), or this is the beginning of
/// [another session](crate::proto::Connection::welcomed).
#[derive(Debug)]
pub struct Welcomed {
    pub(in crate::proto) config: Config,
    pub(in crate::proto) link: Link,
    pub(in crate::proto) negotiated: Negotiated,
    pub(in crate::proto) welcome: Box<Welcome>,
}

impl Welcomed {
    /// What the server has said.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }
}

/// What a client has agreed on with the server that says this.
pub(in crate::proto) fn judge(config: &Config, welcome: &Welcome) -> Result<Negotiated, ConnectionError> {
    if let Some(refusal) = &welcome.refusal {
        return Err(ConnectionError::Refused(refusal.clone()));
    }
    let breach = |violation: HandshakeViolation| ConnectionError::Protocol(violation.into());
    if welcome.version != VERSION {
        return Err(breach(HandshakeViolation::OtherVersion { server: welcome.version, client: VERSION }));
    }
    if welcome.resumed {
        // The session has its limits already.
        return Ok(Negotiated::assumed(config));
    }
    let count = welcome.contracts.len() + welcome.withheld.len();
    if count > MAX_CONTRACTS {
        return Err(breach(HandshakeViolation::TooManyContracts { count, max: MAX_CONTRACTS }));
    }
    let negotiated = Negotiated::new(config, &welcome.limits, welcome.contracts.clone())?;
    Ok(Negotiated { withheld: welcome.withheld.clone().into(), ..negotiated })
}
