//! A peer that breaks the rules of packets, of the handshake, of calls or of transfers: each breach has its own error.

use super::{
    hostile::{Liar, notify, request, request_of},
    pair::{CLIENT, Pair, SERVER},
};
use crate::{
    Config,
    error::{CallViolation, CloseCode, HandshakeViolation, ProtocolError, TransferViolation},
    wire::{Frame, Hello, Payload, VERSION},
};

#[test]
fn a_breach_of_the_protocol_closes_with_1002() {
    let announced = |transfer, total| Payload::announced(transfer, total);
    let chunk = |transfer, len: usize| Frame::Chunk { transfer, data: vec![0; len].into() };
    let unfit_chunk = |len, left| TransferViolation::UnfitChunk { transfer: 1, len, left }.into();
    let impossible_done = CallViolation::ImpossibleDone { depth: 0, count: 1, bytes: 0, sent: 0, sent_bytes: 0 };
    let cases: Vec<(&str, Vec<Frame>, ProtocolError)> = vec![
        ("a call id that is still live", vec![request(1), request(1)], CallViolation::StillLive { call: 1 }.into()),
        ("a chunk for nothing", vec![chunk(1, 10)], TransferViolation::StrayChunk { transfer: 1 }.into()),
        (
            "a chunk beyond the announced length",
            vec![request_of(1, announced(1, 70_000)), chunk(1, 60_000), chunk(1, 10_001)],
            unfit_chunk(10_001, 10_000),
        ),
        ("an empty chunk", vec![request_of(1, announced(1, 70_000)), chunk(1, 0)], unfit_chunk(0, 70_000)),
        (
            "an abort for nothing",
            vec![Frame::Abort { transfer: 5 }],
            TransferViolation::StrayAbort { transfer: 5 }.into(),
        ),
        (
            "a transfer announced twice",
            vec![request_of(1, announced(3, 70_000)), request_of(2, announced(3, 70_000))],
            TransferViolation::OldNumber { id: 3, last: 3 }.into(),
        ),
        (
            "a transfer of no bytes",
            vec![request_of(1, announced(1, 0))],
            TransferViolation::Empty { transfer: 1 }.into(),
        ),
        (
            "more done than was sent",
            vec![Frame::Done { depth: 0, count: 1, bytes: 0, marked: 0 }],
            impossible_done.into(),
        ),
        (
            "done for a depth that does not exist",
            vec![Frame::Done { depth: 900, count: 1, bytes: 0, marked: 0 }],
            CallViolation::DoneBeyondDepth { depth: 900 }.into(),
        ),
    ];
    for (what, frames, rule) in cases {
        let mut liar = Liar::new(&Config::default());
        liar.say(&frames);
        liar.assert_broken(rule, CloseCode::PROTOCOL, what);
    }
}

#[test]
fn packets_out_of_sequence_close_with_1002() {
    let misplaced = |frame, in_sequenced| ProtocolError::MisplacedFrame { frame, in_sequenced };
    let cases = [
        ("a gap", (2, 0), notify(), ProtocolError::OutOfSequence { seq: 2, expected: 1 }),
        ("an ack of what was not sent", (1, 9), notify(), ProtocolError::AckOfUnsent { ack: 9, last: 0 }),
        ("a sequenced frame in an unsequenced packet", (0, 0), notify(), misplaced("Notify", false)),
        ("an unsequenced frame in a sequenced packet", (1, 0), Frame::Ping { token: 1 }, misplaced("Ping", true)),
    ];
    for (what, (seq, ack), frame, rule) in cases {
        let mut liar = Liar::new(&Config::default());
        liar.put(Liar::packet(seq, ack, &[frame]));
        liar.assert_broken(rule, CloseCode::PROTOCOL, what);
    }
}

#[test]
fn a_second_handshake_closes_with_1002() {
    let mut liar = Liar::new(&Config::default());
    let limits = liar.pair.ends[SERVER].connection.peer_limits().clone();
    let (contracts, credentials) = (Vec::new(), Vec::new());
    let hello =
        Hello { version: VERSION, limits, keepalive_ms: 0, contracts, credentials, resume: None, resume_window_ms: 0 };
    liar.say_apart(&[Frame::Hello(Box::new(hello))]);
    liar.assert_broken(HandshakeViolation::Second, CloseCode::PROTOCOL, "on an open connection");
}

#[test]
fn bytes_that_are_no_frames_close_with_1002() {
    let cut_short = ProtocolError::Malformed { what: "the packet is cut short".into(), at: Some(4) };
    for (frame, rule) in
        [(vec![0x91, 19], ProtocolError::UnknownFrame { kind: 19, at: Some(3) }), (vec![0x92, 7], cut_short)]
    {
        let mut liar = Liar::new(&Config::default());
        liar.put([vec![1, 0], frame].concat().into());
        liar.assert_broken(rule, CloseCode::PROTOCOL, "bytes");
    }
}

#[test]
fn frames_of_unknown_kinds_from_64_up_stand_in_any_packet() {
    let mut liar = Liar::new(&Config::default());
    let unknown = |seq, more: &[u8]| [&[seq, 0, 0x92, 64, 0xc0], more].concat().into();
    // Beside a Ping, beside a Cancel, and alone.
    for packet in [unknown(0, &[0x92, 16, 1]), unknown(1, &[0x92, 7, 1]), unknown(0, &[]), unknown(2, &[])] {
        liar.put(packet);
    }
    assert_eq!(liar.closed(), None);
    // The packet with a number and without a frame that is known has counted.
    liar.put(unknown(2, &[]));
    assert_eq!(liar.closed(), Some(CloseCode::PROTOCOL));
}

#[test]
fn a_packet_over_the_limit_closes_with_1009() {
    let mut liar = Liar::new(&Config::default());
    let max = 128 * 1024;
    liar.put(vec![0; max + 1].into());
    liar.assert_broken(ProtocolError::PacketTooLong { len: max + 1, max }, CloseCode::TOO_BIG, "a byte too many");
}

#[test]
fn before_the_handshake_is_done_16_kib_may_come_and_nothing_but_a_hello() {
    let fresh = || Liar::at(Pair::apart(&Config::default(), &Config::default()));
    let mut liar = fresh();
    liar.put(vec![0; 16 * 1024 + 1].into());
    liar.assert_broken(HandshakeViolation::TooLong { max: 16 * 1024 }, CloseCode::TOO_BIG, "a byte too many");

    let mut liar = fresh();
    liar.say_apart(&[Frame::Ping { token: 1 }]);
    let rule = HandshakeViolation::NoHello { frame: "Ping" };
    liar.assert_broken(rule.clone(), CloseCode::PROTOCOL, "no Hello");

    let mut liar = fresh();
    liar.say(&[Frame::Ping { token: 1 }]);
    liar.assert_broken(rule, CloseCode::PROTOCOL, "no Hello, in a packet with a number");

    let mut liar = fresh();
    let limits = liar.pair.ends[CLIENT].connection.peer_limits().clone();
    let hello = [Frame::Hello(Box::new(Hello::new(limits, Vec::new())))];
    liar.say(&hello);
    liar.assert_broken(HandshakeViolation::NotAlone, CloseCode::PROTOCOL, "a packet with a number");

    // Frames that are passed over may stand beside the Hello.
    let mut liar = fresh();
    liar.put([&Liar::packet(0, 0, &hello)[..], &[0x92, 64, 0xc0]].concat().into());
    assert_eq!(liar.closed(), None);
    liar.say(&[request(1)]);
    assert_eq!(liar.pair.ends[SERVER].arrived.len(), 1, "the session is open");
}
