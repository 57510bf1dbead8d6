//! `Liar`: a peer that speaks bytes over a link that is a WebSocket.

use std::{collections::VecDeque, fmt, time::Duration};

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{ErrorBody, Frame, PacketHeader, Payload, PeerLimits, Streams, read_packet},
    Code, Stub,
    contract::method_id,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    time::{sleep, timeout},
};

use super::victim::{GuestClient, HostClient};
use crate::{
    frames::{LIMITS, hello, hosted, packet, request, welcome},
    socket::Link,
    waiting::SOON,
};

/// Which end is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The liar is a client, and hosts `Guest`.
    Server,
    /// The liar is a server, and hosts `Host`.
    Client,
}

/// What the liar takes: one call, and one nested one of each depth.
pub(super) const FEW: PeerLimits = PeerLimits { calls: 1, nested: 1, ..LIMITS };
/// The parts of a first byte of a frame (RFC 6455 §5.2).
pub(super) const FIN: u8 = 0x80;
pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
/// The number of the call that asks whether the session lives.
const LAST_CALL: u64 = 1 << 40;

/// A peer that says what a row wants.
pub(super) struct Liar {
    pub(super) side: Side,
    reader: ReadHalf<Link>,
    writer: WriteHalf<Link>,
    seq: u64,
    pub(super) received: u64,
    heard: VecDeque<Frame>,
    is_gone: Box<dyn Fn() -> bool + Send + Sync>,
}

/// What has come in one frame of the WebSocket.
pub(super) enum Heard {
    Packet,
    Closed(u16),
    /// The end of the link.
    Over,
}

impl fmt::Debug for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Liar").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Liar {
    pub(super) fn new(link: Link, side: Side, is_gone: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let (reader, writer) = split(link);
        let (seq, received, heard) = (0, 0, VecDeque::new());
        Self { side, reader, writer, seq, received, heard, is_gone: Box::new(is_gone) }
    }

    /// A frame of the WebSocket as this liar's role has to send it: a client's is masked, here with zeroes.
    pub(super) fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        [&self.header(first, payload.len() as u64)[..], payload].concat()
    }

    /// The header of such a frame.
    pub(super) fn header(&self, first: u8, length: u64) -> Vec<u8> {
        header(first, length, self.side == Side::Server)
    }

    /// Writes bytes. A victim that has closed may not take them all.
    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    /// Does its part of the handshake, and hears the victim do its own.
    pub(super) async fn greet(&mut self) {
        let own = match self.side {
            Side::Server => hello(FEW, hosted(GuestClient::CONTRACT)),
            Side::Client => welcome(FEW, hosted(HostClient::CONTRACT)),
        };
        if self.side == Side::Client {
            assert!(matches!(self.next().await, Frame::Hello(_)));
        }
        self.say_apart(&[own]).await;
        if self.side == Side::Server {
            assert!(matches!(self.next().await, Frame::Welcome(_)));
        }
    }

    /// Sends these frames in one packet with a number.
    pub(super) async fn say(&mut self, frames: &[Frame]) {
        self.seq += 1;
        self.put(PacketHeader { seq: self.seq, ack: self.received }, frames).await;
    }

    /// Sends these frames in one packet without a number.
    pub(super) async fn say_apart(&mut self, frames: &[Frame]) {
        self.put(PacketHeader { seq: 0, ack: self.received }, frames).await;
    }

    async fn put(&mut self, header: PacketHeader, frames: &[Frame]) {
        let bytes = self.frame(FIN | BINARY, &packet(header, frames));
        self.raw(&bytes).await;
    }

    /// A call of a method of the victim's contract, with these arguments.
    pub(super) fn call(&self, id: u64, method: &str, arguments: &[u8]) -> Frame {
        let payload = Payload::Inline(Bytes::copy_from_slice(arguments));
        request(id, self.method(method), payload, Streams::default())
    }

    /// The number of a method of the victim's contract.
    pub(super) fn method(&self, name: &str) -> u32 {
        method_id(if self.side == Side::Server { "Host" } else { "Guest" }, name)
    }

    /// The next frame that the victim has to say, but for acknowledgements and pings.
    pub(super) async fn next(&mut self) -> Frame {
        self.next_or_code().await.unwrap_or_else(|code| panic!("the victim has closed with {code}"))
    }

    /// The next frame that the victim says, but for acknowledgements and pings, or the code with which it closes.
    pub(super) async fn next_or_code(&mut self) -> Result<Frame, u16> {
        loop {
            if let Some(frame) = self.heard.pop_front() {
                return Ok(frame);
            }
            match self.hear().await {
                Heard::Packet => {}
                Heard::Closed(code) => return Err(code),
                Heard::Over => panic!("the victim has hung up"),
            }
        }
    }

    /// Goes on with a session whose victim has taken in the packets up to `said`, and said those up to `received`.
    pub(super) fn go_on(&mut self, said: u64, received: u64) {
        (self.seq, self.received) = (said, received);
    }

    /// The code with which the victim ends call `id`, which has to be the next to end.
    pub(super) async fn refused(&mut self, id: u64) -> Code {
        match self.next().await {
            Frame::Error { id: of, error: ErrorBody::Status(status) } if of == id => status.code(),
            other => panic!("call {id}: {other:?}"),
        }
    }

    /// Calls with these arguments, one call after the other, and asserts that each fails with this code.
    pub(super) async fn fails(&mut self, method: &str, arguments: &[Vec<u8>], code: Code) {
        for (id, arguments) in (self.seq + 1000..).zip(arguments) {
            let call = self.call(id, method, arguments);
            self.say(&[call]).await;
            assert_eq!(self.refused(id).await, code, "{method}, {} bytes", arguments.len());
        }
    }

    /// Asserts that the session goes on, and ends it in order.
    pub(super) async fn lives(&mut self) {
        let echo = self.call(LAST_CALL, "echo", &[0x91, 0xa2, b'h', b'i']);
        self.say(&[echo]).await;
        match self.next().await {
            Frame::Response { id: LAST_CALL, payload: Payload::Inline(text), .. } => {
                assert_eq!(&text[..], b"\xa2hi");
            }
            other => panic!("{other:?}"),
        }
        let goodbye = self.frame(FIN | CLOSE, &1000_u16.to_be_bytes());
        self.raw(&goodbye).await;
        self.hears_the_end(1000).await;
    }

    /// Asserts that the victim closes with this code.
    pub(super) async fn closed(&mut self, code: u16) {
        self.hears_the_end(code).await;
    }

    /// Sends these bytes while it listens, and asserts that the victim closes with this code.
    pub(super) async fn floods(&mut self, bytes: &[u8], code: u16) {
        let Self { reader, writer, received, heard, .. } = self;
        let write = async {
            // A victim that has closed does not take all of it.
            let _ = writer.write_all(bytes).await;
            let _ = writer.flush().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = write => {}
            () = end_of(reader, received, heard, code) => {}
        }
    }

    async fn hears_the_end(&mut self, code: u16) {
        end_of(&mut self.reader, &mut self.received, &mut self.heard, code).await;
    }

    /// Waits until the victim has given this link up, and reads a byte of it now and then if `reads`.
    pub(super) async fn is_given_up(&mut self, reads: bool) {
        let gone = async {
            while !(self.is_gone)() {
                if reads {
                    let _ = timeout(Duration::from_millis(10), self.reader.read_u8()).await;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(SOON, gone).await.expect("the victim gives the link up");
    }

    pub(super) async fn hear(&mut self) -> Heard {
        hear(&mut self.reader, &mut self.received, &mut self.heard).await
    }
}

/// Reads on until the victim closes, which has to be with this code.
async fn end_of(reader: &mut ReadHalf<Link>, received: &mut u64, heard: &mut VecDeque<Frame>, code: u16) {
    loop {
        match hear(reader, received, heard).await {
            Heard::Packet => {}
            Heard::Closed(said) => return assert_eq!(said, code, "heard before: {heard:?}"),
            Heard::Over => panic!("the victim has hung up without a code; heard before: {heard:?}"),
        }
    }
}

/// Reads one frame of the WebSocket.
async fn hear(reader: &mut ReadHalf<Link>, received: &mut u64, heard: &mut VecDeque<Frame>) -> Heard {
    let Ok((opcode, payload)) = timeout(SOON, read_frame(reader)).await.expect("the victim says something") else {
        return Heard::Over;
    };
    match opcode {
        CLOSE => Heard::Closed(payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]))),
        BINARY => {
            let (header, frames) = read_packet(payload.into()).unwrap();
            *received = header.seq.max(*received);
            heard.extend(
                frames.map(Result::unwrap).filter(|frame| !matches!(frame, Frame::Ping { .. } | Frame::Pong { .. })),
            );
            Heard::Packet
        }
        _ => Heard::Packet,
    }
}

async fn read_frame(reader: &mut ReadHalf<Link>) -> std::io::Result<(u8, Vec<u8>)> {
    let (first, second) = (reader.read_u8().await?, reader.read_u8().await?);
    let len = match second & 0x7f {
        126 => u64::from(reader.read_u16().await?),
        127 => reader.read_u64().await?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        reader.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    reader.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first & 0xf, payload))
}

/// The header of a frame, with a mask of zeroes if it is masked.
pub(super) fn header(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut header = vec![first];
    match length {
        0..126 => header.push(mask_bit | u8::try_from(length).unwrap()),
        126..0x1_0000 => {
            header.push(mask_bit | 126);
            header.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend(if masked { &[0; 4][..] } else { &[] });
    header
}

/// What a client says that calls `echo` with the text `hi`: its handshake, and the call behind it.
pub fn opening() -> Vec<u8> {
    let payload = Payload::Inline(Bytes::from_static(&[0x91, 0xa2, b'h', b'i']));
    let echo = request(1, method_id("Host", "echo"), payload, Streams::default());
    let hello = packet(PacketHeader { seq: 0, ack: 0 }, &[hello(FEW, hosted(GuestClient::CONTRACT))]);
    let call = packet(PacketHeader { seq: 1, ack: 0 }, &[echo]);
    let framed =
        [hello, call].map(|packet| [header(FIN | BINARY, packet.len() as u64, true), packet.to_vec()].concat());
    framed.concat()
}

/// Serves a client's first call, which has to be `echo`, and hangs up after `cut` bytes of the answer. True if the
/// answer was whole.
pub async fn answer(link: Link, cut: usize) -> bool {
    let mut liar = Liar::new(link, Side::Client, || true);
    liar.greet().await;
    let Frame::Request(call) = liar.next().await else { panic!("the client calls") };
    let payload = Payload::Inline(Bytes::from_static(b"\xa2hi"));
    let answer = Frame::Response { id: call.id, payload, streams: Streams::default() };
    let whole = liar.frame(FIN | BINARY, &packet(PacketHeader { seq: 1, ack: 0 }, &[answer]));
    liar.raw(&whole[..cut.min(whole.len())]).await;
    cut >= whole.len()
}
