//! `Newcomer`: a client that has said Hello, on its link, and has no session.

use std::time::Instant;

use bytes::Bytes;

use super::{refusal, welcome};
use crate::{
    config::Config,
    error::ConnectionError,
    proto::{link::Link, negotiated::Negotiated, sequence::Sequence, timers::LinkTimer},
    status::Status,
    wire::{Frame, Hello, VERSION},
};

/// A client that has said Hello, on its link, and has no session: [`HelloReader::into_newcomer`](super::HelloReader)
/// gives it. Becomes a session by [`Connection::server`](crate::proto::Connection::server).
#[derive(Debug)]
pub struct Newcomer {
    pub(in crate::proto) config: Config,
    pub(in crate::proto) link: Link,
    pub(in crate::proto) sequence: Sequence,
    pub(in crate::proto) negotiated: Negotiated,
    pub(in crate::proto) hello: Box<Hello>,
}

impl Newcomer {
    /// What the client has said.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// When the time is over that the handshake may take; `None` if it is over already.
    pub fn decide_by(&self) -> Option<Instant> {
        self.link.timers.at(LinkTimer::Handshake)
    }

    /// Whether this server can have a session with the client; the contracts that are hosted here do not matter.
    ///
    /// # Errors
    ///
    /// If the client speaks another version of the protocol. The status is for [`Self::refuse`].
    pub fn check_version(&self) -> Result<(), Status> {
        if self.hello.version == VERSION {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "the client speaks version {} of the protocol, this server speaks version {VERSION}",
            self.hello.version
        )))
    }

    /// Turns the client away. Gives the packet that tells it why, and the reason with which the link is to be closed
    /// after that packet.
    pub fn refuse(mut self, status: Status) -> (Bytes, ConnectionError) {
        let status = refusal(&self.negotiated, status);
        let welcome = welcome(&self.config, 0, Vec::new(), Vec::new(), Some(status.clone()));
        let packet = self.link.write_alone(&Frame::Welcome(welcome));
        (packet, ConnectionError::RefusedPeer(status))
    }
}
