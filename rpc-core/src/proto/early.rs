//! `EarlyPackets`: what a client sends between its Hello and the verdict on it.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use super::handshake_bytes::HandshakeBytes;
use crate::{
    error::{HandshakeViolation, ProtocolError},
    wire::read_packet,
};

/// What a packet that has to wait for the end of the handshake counts beside its bytes, for the memory of its entry.
const EARLY_PACKET: usize = 32;

/// At a server: the packets that come between the client's Hello and the verdict on it, which is
/// [`Connection::accept`](super::Connection::accept). The shell keeps them here, because no connection takes packets of
/// a client that may still be refused.
///
/// The packets share the bytes of the handshake with the Hello, and each packet counts 32 bytes beside its own.
#[derive(Debug)]
pub struct EarlyPackets {
    bytes: HandshakeBytes,
    /// The client has to wait for the Welcome.
    none_expected: bool,
    /// The packets, with the times at which they came.
    packets: VecDeque<(Instant, Bytes)>,
}

impl EarlyPackets {
    /// No packets yet, after these bytes of the handshake.
    pub(crate) fn new(bytes: HandshakeBytes, none_expected: bool) -> Self {
        Self { bytes, none_expected, packets: VecDeque::new() }
    }

    /// Keeps a packet that comes now. The bytes are copied: a packet that was read from a socket is part of a long
    /// buffer, which it would keep whole.
    ///
    /// # Errors
    ///
    /// If the client has sent more than it may before the Welcome: a client that wants to be able to resume the session
    /// sends no counted packet. The link must end then.
    pub fn keep(&mut self, now: Instant, packet: Bytes) -> Result<(), ProtocolError> {
        if self.none_expected {
            let (header, _) = read_packet(packet.clone())?;
            if header.seq != 0 {
                return Err(HandshakeViolation::BeforeWelcome.into());
            }
        }
        self.bytes.count(packet.len().saturating_add(EARLY_PACKET))?;
        self.packets.push_back((now, Bytes::copy_from_slice(&packet)));
        Ok(())
    }

    /// The number of bytes that the client may still send before it has the Welcome.
    pub(crate) fn bytes_left(&self) -> usize {
        self.bytes.left()
    }

    /// The packets in their order, with the times at which they came.
    pub(crate) fn into_packets(self) -> VecDeque<(Instant, Bytes)> {
        self.packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_packets_are_bounded_by_their_bytes_and_their_number_together() {
        let early = || EarlyPackets::new(HandshakeBytes::new(100), false);
        let mut one = early();
        one.keep(Instant::now(), vec![0; 100 - EARLY_PACKET].into()).unwrap();
        assert!(one.keep(Instant::now(), Bytes::new()).is_err());
        assert!(early().keep(Instant::now(), vec![0; 101 - EARLY_PACKET].into()).is_err());
        let mut many = early();
        let empty = (0..1000).take_while(|_| many.keep(Instant::now(), Bytes::new()).is_ok());
        assert_eq!(empty.count(), 100 / EARLY_PACKET);
        let mut two = early();
        two.keep(Instant::now(), vec![0; 36].into()).unwrap();
        assert!(two.keep(Instant::now(), vec![0; 1].into()).is_err(), "36 + 32 + 1 + 32 bytes");
    }

    #[test]
    fn an_early_packet_does_not_keep_the_buffer_that_it_was_read_into() {
        let buffer = Bytes::from(vec![7; 32 * 1024]);
        let mut early = EarlyPackets::new(HandshakeBytes::new(100), false);
        early.keep(Instant::now(), buffer.slice(5..10)).unwrap();
        assert!(buffer.is_unique());
        assert_eq!(early.into_packets().pop_front().unwrap().1, vec![7; 5]);
    }

    #[test]
    fn the_bytes_of_the_hello_count_among_those_of_what_follows_it() {
        let mut bytes = HandshakeBytes::new(100);
        bytes.count(60).unwrap();
        let mut early = EarlyPackets::new(bytes, false);
        early.keep(Instant::now(), vec![0; 8].into()).unwrap();
        let error = early.keep(Instant::now(), Bytes::new()).unwrap_err();
        assert!(error.to_string().contains("more than 100 bytes"), "{error}");
        assert_eq!(early.into_packets().pop_front().unwrap().1, vec![0; 8]);
    }
}
