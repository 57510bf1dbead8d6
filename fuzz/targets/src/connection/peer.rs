//! `Peer`: the other end of the connection, which says what the program chooses, and knows enough to be believed.

use bytes::{Bytes, BytesMut};
use rpc_core::{
    __internals::wire::{
        ErrorBody, Frame, Hello, MetadataPairs, Notify, PacketHeader, Payload, PeerLimits, Request, Streams, Welcome,
        put_frame, put_header, read_packet,
    },
    Code, Status,
};

use super::polite::Begun;
use crate::source::Source;

/// What the peer remembers of numbers, at most.
const MANY: usize = 64;

/// What the other end of a session has said, and what it has heard.
#[derive(Default)]
pub(super) struct Peer {
    /// The last packet that the peer has sent, and the last one that it has got.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Calls that the peer has made, and calls that it serves.
    pub(super) made: Vec<u64>,
    pub(super) serving: Vec<u64>,
    /// Transfers and streams that the peer sends, and those that it gets.
    sending: Vec<u64>,
    pub(super) receiving: Vec<u64>,
    pub(super) last_call: u64,
    pub(super) last_transfer: u64,
    pub(super) begun: Begun,
}

impl Peer {
    /// The number of the next packet.
    pub(super) fn next(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// A counted packet of a few frames, which may keep the rules.
    pub(super) fn packet(&mut self, is_polite: bool, source: &mut Source<'_>) -> Bytes {
        let frames = 1 + source.below(4);
        let frame = |_| if is_polite { self.polite_frame(source) } else { self.frame(source) };
        let frames: Vec<Frame> = (0..frames).map(frame).collect();
        let header = PacketHeader { seq: self.next(), ack: self.received };
        packet(header, &frames)
    }

    /// A packet without a number.
    pub(super) fn packet_apart(&mut self, source: &mut Source<'_>) -> Bytes {
        let frame = match source.below(5) {
            0 => None,
            1 => Some(Frame::Ping { token: source.number() }),
            2 => Some(Frame::Pong { token: source.number() }),
            3 => {
                let (last_seq, message) = (source.number(), String::new());
                Some(Frame::GoAway { last_seq, message, after_ms: source.number() })
            }
            _ => Some(self.frame(source)),
        };
        packet(PacketHeader { seq: 0, ack: self.received }, frame.as_slice())
    }

    /// A packet with any header.
    pub(super) fn packet_out_of_order(&mut self, source: &mut Source<'_>) -> Bytes {
        let step = u64::from(source.byte());
        let seq = self.sent.wrapping_add(step).wrapping_sub(2);
        let ack = self.received.wrapping_add(u64::from(source.byte())).wrapping_sub(4);
        if seq == self.sent + 1 {
            self.sent = seq;
        }
        packet(PacketHeader { seq, ack }, &[])
    }

    /// A counted packet of any bytes.
    pub(super) fn packet_of_bytes(&mut self, source: &mut Source<'_>) -> Bytes {
        let mut out = BytesMut::new();
        put_header(&mut out, PacketHeader { seq: self.next(), ack: self.received });
        let len = source.len();
        out.extend_from_slice(source.bytes(len.min(300)));
        out.freeze()
    }

    fn frame(&mut self, source: &mut Source<'_>) -> Frame {
        match source.below(20) {
            0 | 1 => self.request(source),
            2 => {
                let (method, choices) = (source.small(), source.byte());
                let missed = (choices & 0x80 != 0).then_some(u64::from(choices >> 2));
                let (depth, metadata) = (u32::from(choices % 4), metadata(source));
                Frame::Notify(Notify { method, depth, metadata, payload: self.payload(source), missed })
            }
            3 | 4 => Frame::Response {
                id: source.pick(&self.serving),
                payload: self.payload(source),
                streams: self.streams(source),
            },
            5 => Frame::Error { id: source.pick(&self.serving), error: self.error(source) },
            6 => Frame::Cancel { id: source.pick(&self.made), expired: source.flag() },
            7 | 8 => Frame::Chunk { transfer: source.pick(&self.sending), data: vec![0; source.len()].into() },
            9 => Frame::Abort { transfer: source.pick(&self.sending) },
            10 | 11 => {
                let stream = source.pick(&self.sending);
                let payload = match source.below(4) {
                    0 => Payload::announced(stream, source.number() << source.below(16)),
                    _ => Payload::Inline(vec![0xc0; source.len()].into()),
                };
                Frame::Item { stream, payload }
            }
            12 => {
                let error = if source.flag() { Some(self.error(source)) } else { None };
                Frame::End { stream: source.pick(&self.sending), error }
            }
            13 => {
                let stream = if source.flag() { 0 } else { source.pick(&self.receiving) };
                let (items, bytes) = (source.number(), source.number() << source.below(16));
                Frame::Credit { stream, items, bytes, read: source.number() }
            }
            14 => Frame::Stop { transfer: source.pick(&self.receiving) },
            15 => {
                let choices = source.byte();
                let (depth, marked) = (u32::from(choices % 4), u64::from(choices >> 4));
                Frame::Done { depth, count: source.number(), bytes: source.number(), marked }
            }
            16 => {
                let code = u16::try_from(source.number()).unwrap_or(1000);
                Frame::Bye { code, message: String::new() }
            }
            17 => Frame::Ping { token: source.number() },
            18 => Frame::Hello(Box::new(Hello::new(limits(source), Vec::new()))),
            _ => Frame::Welcome(Box::new(Welcome::new(limits(source), Vec::new(), 1))),
        }
    }

    fn request(&mut self, source: &mut Source<'_>) -> Frame {
        let id = if source.below(8) > 0 {
            self.last_call += 1;
            self.last_call
        } else {
            source.pick(&self.made)
        };
        remember(&mut self.made, id);
        Frame::Request(Request {
            id,
            method: source.small(),
            deadline_ms: source.flag().then(|| source.number() << source.below(16)),
            depth: u32::from(source.byte() % 4),
            parent: source.flag().then(|| source.pick(&self.serving)),
            metadata: metadata(source),
            payload: self.payload(source),
            streams: self.streams(source),
            window: source.small(),
        })
    }

    fn payload(&mut self, source: &mut Source<'_>) -> Payload {
        if source.below(4) > 0 {
            return Payload::Inline(vec![0xc0; source.len()].into());
        }
        let transfer = self.transfer(source);
        Payload::announced(transfer, source.number() << source.below(16))
    }

    fn streams(&mut self, source: &mut Source<'_>) -> Streams {
        let count = source.below(8).saturating_sub(5);
        (0..count).map(|_| self.transfer(source)).collect::<Vec<_>>().into()
    }

    /// The number of a transfer or a stream: mostly a new one.
    fn transfer(&mut self, source: &mut Source<'_>) -> u64 {
        let number = if source.below(8) > 0 {
            self.last_transfer += 1;
            self.last_transfer
        } else {
            source.pick(&self.sending)
        };
        remember(&mut self.sending, number);
        number
    }

    fn error(&mut self, source: &mut Source<'_>) -> ErrorBody {
        if source.flag() {
            return ErrorBody::Fault(self.payload(source));
        }
        ErrorBody::Status(Status::new(Code::from_number(u64::from(source.byte() % 20)), "no"))
    }

    /// Takes a packet of the connection in, which has to be a proper one.
    pub(super) fn hear(&mut self, packet: Bytes, most: u64) {
        assert!(packet.len() as u64 <= most, "a packet of {} bytes goes to an end that takes {most}", packet.len());
        let Ok((header, frames)) = read_packet(packet.clone()) else { panic!("a packet without a header") };
        assert!(header.ack <= self.sent, "it acknowledges {}, and {} was the last", header.ack, self.sent);
        if header.seq > 0 {
            assert_eq!(header.seq, self.received + 1, "packets are numbered one after the other");
            self.received = header.seq;
        }
        for frame in frames {
            let Ok(frame) = frame else { panic!("the connection has sent {packet:02x?}") };
            assert_eq!(frame.is_sequenced(), header.seq > 0, "a {} is misplaced", frame.kind_name());
            self.note(&frame);
        }
    }

    /// The connection goes on over another link, on which packets come again that the peer has not got.
    pub(super) fn go_on(&mut self, received: u64) {
        self.received = received;
    }

    fn note(&mut self, frame: &Frame) {
        match frame {
            Frame::Request(request) => {
                remember(&mut self.serving, request.id);
                self.note_payload(&request.payload);
                request.streams.iter().for_each(|stream| remember(&mut self.receiving, *stream));
            }
            // What was lost with the last link goes again.
            Frame::Welcome(welcome) if welcome.resumed => self.sent = welcome.received,
            Frame::Notify(notify) => self.note_payload(&notify.payload),
            Frame::Response { payload, streams, .. } => {
                self.note_payload(payload);
                streams.iter().for_each(|stream| remember(&mut self.receiving, *stream));
            }
            _ => {}
        }
    }

    fn note_payload(&mut self, payload: &Payload) {
        if let Some((transfer, _)) = payload.announcement() {
            remember(&mut self.receiving, transfer);
        }
    }
}

fn remember(list: &mut Vec<u64>, number: u64) {
    if list.len() == MANY {
        list.remove(0);
    }
    list.push(number);
}

fn metadata(source: &mut Source<'_>) -> MetadataPairs {
    let pairs = source.below(16).saturating_sub(13);
    (0..pairs).map(|_| ("key".to_owned(), "x".repeat(source.len()))).collect()
}

/// What a peer announces: plenty, as little as there is, or any numbers.
pub(super) fn limits(source: &mut Source<'_>) -> PeerLimits {
    let plenty = PeerLimits {
        calls: 1024,
        nested: 4,
        notifies: 1024,
        depth: 16,
        payload: 4 << 20,
        assembly: 16 << 20,
        arguments: 16 << 20,
        packet: 128 << 10,
        ..PeerLimits::all(64, 64 << 10)
    };
    match source.below(4) {
        0 | 1 => plenty,
        2 => PeerLimits { depth: 2, packet: 64 << 10, chunk: 256, ..PeerLimits::all(1, 1000) },
        _ => PeerLimits {
            calls: source.small().max(1),
            notifies: source.small().max(1),
            streams: source.small(),
            stream_items: source.small().max(1),
            stream_bytes: source.number(),
            streams_bytes: source.number(),
            payload: source.number() << source.below(16),
            chunk: source.number() << source.below(16),
            packet: source.number() << source.below(16),
            arguments: source.number(),
            ..plenty
        },
    }
}

/// These frames in one packet.
pub(super) fn packet(header: PacketHeader, frames: &[Frame]) -> Bytes {
    let mut packet = BytesMut::new();
    put_header(&mut packet, header);
    frames.iter().for_each(|frame| put_frame(&mut packet, frame));
    packet.freeze()
}
