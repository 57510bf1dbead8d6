//! Row 20: packets that are cut, and packets of which a bit is flipped.

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{Frame, PacketHeader, Payload, Streams},
    Stub,
};

use super::{
    liar::{BINARY, CLOSE, FEW, FIN, Heard, Liar, Side},
    victim::{GuestClient, HostClient},
};
use crate::{
    frames::{hello, hosted, packet, welcome},
    socket::Link,
};

/// The number of damaged forms of a packet: each part of it, and the whole with each bit flipped.
fn forms(packet: &[u8]) -> usize {
    packet.len() * 9
}

/// One of them.
fn form(packet: &[u8], nth: usize) -> Vec<u8> {
    let len = packet.len();
    if nth < len {
        return packet[..nth].to_vec();
    }
    let mut flipped = packet.to_vec();
    flipped[(nth - len) / 8] ^= 1 << (nth % 8);
    flipped
}

/// Says a damaged packet, and ends the link in order; the victim must close it: because of the
/// damage, or because the liar has. The numbers
/// count the damaged forms of the packet of the handshake, and then those of a packet with several frames behind it.
/// False if there are fewer forms.
pub async fn damaged(link: Link, side: Side, nth: usize) -> bool {
    let mut liar = Liar::new(link, side, || true);
    let own = match side {
        Side::Server => hello(FEW, hosted(GuestClient::CONTRACT)),
        Side::Client => welcome(FEW, hosted(HostClient::CONTRACT)),
    };
    let greeting = packet(PacketHeader { seq: 0, ack: 0 }, &[own]);
    if let Some(first) = (nth < forms(&greeting)).then(|| form(&greeting, nth)) {
        liar.ends_with(&first).await;
        return true;
    }
    liar.greet().await;
    let callback = liar.asked(1).await;
    let text = |text: &'static [u8]| Payload::Inline(Bytes::from_static(text));
    let mut announced = liar.call(3, "echo", &[]);
    if let Frame::Request(call) = &mut announced {
        call.payload = Payload::announced(3, 4);
    }
    let frames = [
        liar.call(2, "hold", &[0x90]),
        Frame::Cancel { id: 2, expired: false },
        announced,
        Frame::Chunk { transfer: 3, data: Bytes::from_static(&[0x91, 0xa2, b'h', b'i']).into() },
        Frame::Response { id: callback, payload: text(b"\xa2ok"), streams: Streams::default() },
        Frame::Ping { token: 7 },
    ];
    let whole = packet(PacketHeader { seq: 2, ack: liar.received }, &frames);
    let nth = nth - forms(&greeting);
    if nth >= forms(&whole) {
        return false;
    }
    liar.ends_with(&form(&whole, nth)).await;
    true
}

impl Liar {
    /// Says this packet and closes, and hears the victim close.
    async fn ends_with(&mut self, packet: &[u8]) {
        let bytes = [self.frame(FIN | BINARY, packet), self.frame(FIN | CLOSE, &1000_u16.to_be_bytes())].concat();
        self.raw(&bytes).await;
        let code = loop {
            match self.hear().await {
                Heard::Packet => {}
                Heard::Closed(code) => break code,
                Heard::Over => panic!("the victim has hung up without a code"),
            }
        };
        // 1009 for more than it takes; 1002 for what is not read; 4400 for a handshake of another kind.
        assert!([1000, 1002, 1009, 4400].contains(&code), "{code}");
    }
}
