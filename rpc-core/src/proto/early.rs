//! `EarlyPackets`: what a client sends between its Hello and the verdict on it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::handshake_bytes::HandshakeBytes;
use crate::error::ProtocolError;

/// What a packet that waits takes beside its bytes.
const EARLY_PACKET: usize = 32;

/// At a server: the packets that come between the client's Hello and the verdict on it, which is
/// [`Connection::accept`](super::Connection::accept). The shell keeps them here, because no connection takes packets of
/// a client that may still be refused.
///
/// They share the bytes of the handshake with the Hello. Empty packets take memory too, which is beside the bytes that
/// an honest client may send.
#[derive(Debug)]
pub struct EarlyPackets {
    bytes: HandshakeBytes,
    packets: VecDeque<Bytes>,
}

impl EarlyPackets {
    /// None yet, after these bytes of the handshake.
    pub(crate) fn new(bytes: HandshakeBytes) -> Self {
        Self { bytes, packets: VecDeque::new() }
    }

    /// Keeps a packet.
    ///
    /// # Errors
    ///
    /// If the client has sent more than it may before the Welcome. The link must end then.
    pub fn keep(&mut self, packet: Bytes) -> Result<(), ProtocolError> {
        self.bytes.count(packet.len())?;
        self.bytes.check((self.packets.len() + 1) * EARLY_PACKET)?;
        self.packets.push_back(packet);
        Ok(())
    }

    /// The packets, in their order.
    pub(crate) fn into_packets(self) -> VecDeque<Bytes> {
        self.packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_packets_are_bounded_by_their_bytes_and_their_number() {
        let early = || EarlyPackets::new(HandshakeBytes::new(100));
        let mut few = early();
        few.keep(vec![0; 100].into()).unwrap();
        assert!(few.keep(vec![0; 1].into()).is_err());
        let mut many = early();
        let empty = (0..1000).take_while(|_| many.keep(Bytes::new()).is_ok());
        assert_eq!(empty.count(), 100 / EARLY_PACKET);
    }

    #[test]
    fn the_bytes_of_the_hello_count_among_those_of_what_follows_it() {
        let mut bytes = HandshakeBytes::new(100);
        bytes.count(60).unwrap();
        let mut early = EarlyPackets::new(bytes);
        early.keep(vec![0; 40].into()).unwrap();
        let error = early.keep(vec![0; 1].into()).unwrap_err();
        assert!(error.to_string().contains("more than 100 bytes"), "{error}");
        assert_eq!(early.into_packets(), [vec![0; 40]]);
    }
}
