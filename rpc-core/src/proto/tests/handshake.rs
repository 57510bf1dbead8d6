//! What the ends announce, and announcements that contradict each other.

use super::{
    hostile::Liar,
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ConnectionError, HandshakeViolation},
    status::{Code, Execution},
    wire::{Frame, Hello, HostedContract, PeerLimits, VERSION, Welcome, WithheldContract, read_packet},
};

fn hello(version: u64, limits: PeerLimits) -> Frame {
    Frame::Hello(Box::new(Hello { version, ..Hello::new(limits, Vec::new()) }))
}

/// A server whose client sends this Hello first.
fn greeted(first: impl FnOnce(PeerLimits) -> Frame) -> Pair {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    // Before the handshake, an end assumes the limits that an end of the same configuration announces.
    let announced = pair.ends[CLIENT].connection.peer_limits().clone();
    pair.ends[SERVER].inbox.push_back(Liar::packet(0, 0, &[first(announced)]));
    pair.receive(SERVER);
    pair
}

fn close_code(pair: &Pair, at: usize) -> Option<CloseCode> {
    pair.ends[at].closed.as_ref().map(ConnectionError::close_code)
}

#[test]
fn a_client_of_another_version_is_refused_with_the_reason() {
    let mut pair = greeted(|limits| hello(VERSION + 1, limits));
    assert_eq!(close_code(&pair, SERVER), Some(CloseCode::REFUSED));
    pair.transmit(SERVER);
    let packet = pair.ends[CLIENT].inbox.pop_front().expect("there is a Welcome");
    let (_, mut frames) = read_packet(packet).unwrap();
    let Some(Ok(Frame::Welcome(welcome))) = frames.next() else { panic!("the first frame is a Welcome") };
    let refusal = welcome.refusal.expect("it refuses");
    assert_eq!((refusal.code(), refusal.execution()), (Code::FailedPrecondition, Execution::NotExecuted));
    assert!(refusal.message().contains("version 2") && refusal.message().contains("version 1"), "{refusal}");
}

#[test]
fn a_client_leaves_a_server_of_another_version() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    let limits = pair.ends[CLIENT].connection.peer_limits().clone();
    let welcome = Welcome { version: VERSION + 1, ..Welcome::new(limits, Vec::new(), 1) };
    pair.ends[CLIENT].inbox.push_back(Liar::packet(0, 0, &[Frame::Welcome(Box::new(welcome))]));
    pair.receive(CLIENT);
    assert_eq!(close_code(&pair, CLIENT), Some(CloseCode::PROTOCOL));
    let rule = HandshakeViolation::OtherVersion { server: VERSION + 1, client: VERSION };
    assert_eq!(pair.ends[CLIENT].broken(), Some(rule.into()));
}

/// A client that gets these frames first, in a packet of this number.
fn welcomed(seq: u64, frames: impl FnOnce(Frame) -> Vec<Frame>) -> Pair {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    let limits = pair.ends[CLIENT].connection.peer_limits().clone();
    let frames = frames(Frame::Welcome(Box::new(Welcome::new(limits, Vec::new(), 1))));
    pair.ends[CLIENT].inbox.push_back(Liar::packet(seq, 0, &frames));
    pair.receive(CLIENT);
    pair
}

#[test]
fn a_welcome_must_come_alone() {
    let ping = || Frame::Ping { token: 1 };
    let expected = || HandshakeViolation::NoWelcome { frame: "Ping" };
    let cases = [
        (welcomed(0, |welcome| vec![welcome, ping()]), HandshakeViolation::NotAlone),
        (welcomed(0, |welcome| vec![welcome.clone(), welcome]), HandshakeViolation::NotAlone),
        (welcomed(1, |welcome| vec![welcome]), HandshakeViolation::NotAlone),
        (welcomed(0, |welcome| vec![ping(), welcome]), expected()),
        (welcomed(1, |_| vec![ping()]), expected()),
    ];
    for (pair, rule) in cases {
        assert_eq!(pair.ends[CLIENT].broken(), Some(rule.into()));
        assert_eq!(close_code(&pair, CLIENT), Some(CloseCode::PROTOCOL));
        assert!(!pair.ends[CLIENT].connection.is_open());
    }
    assert!(welcomed(0, |welcome| vec![welcome]).ends[CLIENT].connection.is_open());
}

#[test]
fn a_client_takes_a_welcome_that_is_longer_than_a_packet_may_be() {
    let small = Config::builder().max_packet(1024).chunk(256).max_metadata(256).build().unwrap();
    let mut pair = Pair::apart(&small, &small);
    let limits = pair.ends[CLIENT].connection.peer_limits().clone();
    let contracts = vec![HostedContract { name: "x".repeat(2000), fingerprint: 1, windows: Vec::new() }];
    let welcome = Frame::Welcome(Box::new(Welcome::new(limits, contracts, 1)));
    pair.ends[CLIENT].inbox.push_back(Liar::packet(0, 0, &[welcome]));
    pair.receive(CLIENT);
    assert!(pair.ends[CLIENT].connection.is_open());
}

#[test]
fn contracts_that_are_not_offered_count_among_those_that_a_server_may_host() {
    for (withheld, is_fine) in [(255, true), (256, false)] {
        let mut pair = Pair::apart(&Config::default(), &Config::default());
        let limits = pair.ends[CLIENT].connection.peer_limits().clone();
        let offered = vec![HostedContract { name: "A".to_owned(), fingerprint: 1, windows: Vec::new() }];
        let withheld = vec![WithheldContract { name: "B".to_owned(), callback: "C".to_owned() }; withheld];
        let welcome = Welcome { withheld, ..Welcome::new(limits, offered, 1) };
        pair.ends[CLIENT].inbox.push_back(Liar::packet(0, 0, &[Frame::Welcome(Box::new(welcome))]));
        pair.receive(CLIENT);
        assert_eq!(pair.ends[CLIENT].connection.is_open(), is_fine);
        let rule = (!is_fine).then(|| HandshakeViolation::TooManyContracts { count: 257, max: 256 }.into());
        assert_eq!(pair.ends[CLIENT].broken(), rule);
    }
}

#[test]
fn a_client_of_another_version_is_refused_for_its_version_whatever_it_announces() {
    let pair = greeted(|limits| hello(VERSION + 1, PeerLimits { chunk: 1, packet: 1, ..limits }));
    assert_eq!(close_code(&pair, SERVER), Some(CloseCode::REFUSED));
}

#[test]
fn chunks_and_packets_that_do_not_go_together_close_with_1002() {
    for (chunk, packet, is_fine) in [
        (256, 768, true),
        (255, 128 * 1024, false),
        (65_536, 66_048, true),
        (65_536, 66_047, false),
        (u64::MAX, 0, false),
    ] {
        let pair = greeted(|limits| hello(VERSION, PeerLimits { chunk, packet, ..limits }));
        let expected = (!is_fine).then_some(CloseCode::PROTOCOL);
        assert_eq!(close_code(&pair, SERVER), expected, "chunks of {chunk} in packets of {packet}");
        let rule = HandshakeViolation::UnfitChunk { chunk, packet };
        assert_eq!(pair.ends[SERVER].broken(), expected.map(|_| rule.into()));
    }
}

#[test]
fn a_depth_counts_as_255_at_most() {
    let pair = greeted(|limits| hello(VERSION, PeerLimits { depth: 1000, ..limits }));
    assert_eq!(pair.ends[SERVER].connection.peer_limits().depth, 255);
}

#[test]
fn a_second_goaway_is_ignored() {
    let mut liar = Liar::new(&Config::default());
    let goaway = |message: &str| Frame::GoAway { last_seq: 0, message: message.to_owned(), after_ms: 0 };
    liar.say_apart(&[goaway("first"), goaway("second")]);
    assert_eq!(liar.closed(), None);
    let refused = liar.pair.call(SERVER, Call::new()).expect_err("a side that leaves takes no new calls");
    assert_eq!((refused.code(), refused.execution()), (Code::Unavailable, Execution::NotExecuted));
}

#[test]
fn of_several_waiting_pings_the_last_is_answered() {
    let mut liar = Liar::new(&Config::default());
    liar.say_apart(&[Frame::Ping { token: 7 }, Frame::Ping { token: u64::MAX }]);
    let packet = liar.pair.ends[SERVER].connection.poll_transmit(liar.pair.now).expect("there is an answer");
    let (header, frames) = read_packet(packet).unwrap();
    assert_eq!(header.seq, 0);
    assert_eq!(frames.map(Result::unwrap).collect::<Vec<_>>(), [Frame::Pong { token: u64::MAX }]);
}
