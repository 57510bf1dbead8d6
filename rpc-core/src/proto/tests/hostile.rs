//! A peer that breaks the rules.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    error::{
        CallViolation, CloseCode, ConnectionError, HandshakeViolation, MemoryLimit, Overload, ProtocolError, TimeLimit,
        TransferViolation,
    },
    proto::Completion,
    status::{Code, Status},
    wire::{ErrorBody, Frame, HostedContract, Notify, PacketHeader, Payload, Request, Streams, put_frame, put_header},
};

/// A pair whose client sends what a test says.
pub(super) struct Liar {
    pub(super) pair: Pair,
    seq: u64,
}

impl Liar {
    pub(super) fn new(config: &Config) -> Self {
        Self::at(Pair::open(config))
    }

    /// Takes the client's place after an honest handshake.
    pub(super) fn at(pair: Pair) -> Self {
        Self { pair, seq: 0 }
    }

    /// The number of the next packet that has one.
    pub(super) fn next_seq(&self) -> u64 {
        self.seq + 1
    }

    pub(super) fn packet(seq: u64, ack: u64, frames: &[Frame]) -> Bytes {
        let mut packet = BytesMut::new();
        put_header(&mut packet, PacketHeader { seq, ack });
        frames.iter().for_each(|frame| put_frame(&mut packet, frame));
        packet.freeze()
    }

    /// Sends these frames to the server, in one packet.
    pub(super) fn say(&mut self, frames: &[Frame]) {
        self.seq += 1;
        self.put(Self::packet(self.seq, 0, frames));
    }

    /// As [`Self::say`], in a packet that lies where `place` puts it.
    pub(super) fn say_from(&mut self, frames: &[Frame], place: impl FnOnce(Bytes) -> Bytes) {
        self.seq += 1;
        self.put(place(Self::packet(self.seq, 0, frames)));
    }

    /// As [`Self::say`], without taking the server's events.
    pub(super) fn say_quietly(&mut self, frames: &[Frame]) {
        self.seq += 1;
        let now = self.pair.now;
        self.pair.ends[SERVER].connection.handle_packet(now, Self::packet(self.seq, 0, frames));
    }

    /// Acknowledges the server's packets up to this one.
    pub(super) fn acknowledge(&mut self, ack: u64) {
        self.put(Self::packet(0, ack, &[]));
    }

    /// As [`Self::say`], in a packet that is not sequenced.
    pub(super) fn say_apart(&mut self, frames: &[Frame]) {
        self.put(Self::packet(0, 0, frames));
    }

    /// Makes a call that the server answers with `count` streams. Returns their ids.
    pub(super) fn call_for_streams(&mut self, id: u64, count: usize) -> Streams {
        self.say(&[request_with(id, |_| {})]);
        let arrived = self.pair.ends[SERVER].arrived.pop().unwrap();
        let completion = Completion::Streaming(Bytes::from_static(&[0xc0]).into(), count);
        self.pair.answer(SERVER, &arrived, completion)
    }

    pub(super) fn put(&mut self, packet: Bytes) {
        let now = self.pair.now;
        let server = &mut self.pair.ends[SERVER];
        server.connection.handle_packet(now, packet);
        server.take_events(now);
    }

    /// The code with which the server closed.
    pub(super) fn closed(&self) -> Option<CloseCode> {
        self.pair.check();
        self.pair.ends[SERVER].closed.as_ref().map(ConnectionError::close_code)
    }

    /// Panics unless the server closed with this code because this rule was broken.
    #[track_caller]
    pub(super) fn assert_broken(&self, rule: impl Into<ProtocolError>, code: CloseCode, what: &str) {
        let broken = self.pair.ends[SERVER].broken();
        assert_eq!((self.closed(), broken), (Some(code), Some(rule.into())), "{what}");
    }

    /// All that the server has to send now.
    pub(super) fn heard(&mut self) -> Vec<Frame> {
        let mut heard = Vec::new();
        while let Some(packet) = self.pair.ends[SERVER].connection.poll_transmit(self.pair.now) {
            let (_, frames) = crate::wire::read_packet(packet).unwrap();
            heard.extend(frames.map(Result::unwrap));
        }
        heard
    }

    /// The statuses among all that the server has to send now, each with its call.
    pub(super) fn statuses(&mut self) -> Vec<(u64, Code)> {
        let status = |frame| match frame {
            Frame::Error { id, error: ErrorBody::Status(status) } => Some((id, status.code())),
            _ => None,
        };
        self.heard().into_iter().filter_map(status).collect()
    }
}

pub(super) fn request(id: u64) -> Frame {
    request_of(id, Payload::Inline(Bytes::from_static(&[0x90])))
}

pub(super) fn request_of(id: u64, payload: Payload) -> Frame {
    Frame::Request(Request::plain(id, 1, payload))
}

/// A request with one change.
pub(super) fn request_with(id: u64, set: impl FnOnce(&mut Request)) -> Frame {
    let mut frame = request(id);
    if let Frame::Request(request) = &mut frame {
        set(request);
    }
    frame
}

pub(super) fn notify() -> Frame {
    let payload = Payload::Inline(Bytes::from_static(&[0x90]));
    Frame::Notify(Notify { method: 1, depth: 0, metadata: Vec::new(), payload, missed: None })
}

#[test]
fn stray_completions_are_ignored_a_hundred_times() {
    for second in [false, true] {
        let mut liar = Liar::new(&Config::default());
        let id = if second {
            // A completion for a call that has ended.
            let (_, served) = liar.pair.call_and_arrive(SERVER, Call::new());
            let crate::proto::ServedKey::Call(id) = served.key else { unreachable!("it is no one-way call") };
            let payload = Payload::Inline(Bytes::from_static(&[1]));
            liar.say(&[Frame::Response { id, payload, streams: Streams::default() }]);
            id
        } else {
            77
        };
        for count in 1..=101 {
            assert_eq!(liar.closed(), None, "after {count}");
            let status = ErrorBody::Status(Status::internal("x"));
            liar.say(&[Frame::Error { id, error: status }]);
        }
        let rule = CallViolation::TooManyStrayCompletions { ignored: 100, call: id };
        liar.assert_broken(rule, CloseCode::PROTOCOL, "the 101st");
    }
}

#[test]
fn calls_beyond_the_limit_are_refused_and_abuse_closes() {
    let mut liar = Liar::new(&Config::builder().max_calls(1).build().unwrap());
    liar.say(&[request(1), request(2)]);
    assert_eq!(liar.statuses(), [(2, Code::ResourceExhausted)]);
    assert_eq!(liar.pair.ends[SERVER].arrived.len(), 1);
    for id in 3..=1001 {
        liar.say(&[request(id)]);
        liar.statuses();
        assert_eq!(liar.closed(), None, "at {id}");
    }
    liar.say(&[request(2000), request(2001)]);
    let rule = CallViolation::TooMany { oneway: false, limit: 1, refused: 1000 };
    liar.assert_broken(rule, CloseCode::PROTOCOL, "the 1001st");
}

#[test]
fn a_forged_parent_gains_nothing() {
    let mut liar = Liar::new(&Config::builder().max_calls(1).build().unwrap());
    liar.say(&[request_with(1, |forged| forged.parent = Some(12345))]);
    let arrived = liar.pair.ends[SERVER].arrived.pop().unwrap();
    assert!(arrived.call.parent.is_none());
}

#[test]
fn a_declared_depth_beyond_the_limit_is_refused() {
    let mut liar = Liar::new(&Config::default());
    for (id, depth) in [(1, 16), (2, 17), (3, u32::MAX)] {
        liar.say(&[request_with(id, |deep| deep.depth = depth)]);
    }
    assert_eq!(liar.statuses(), [(2, Code::FailedPrecondition), (3, Code::FailedPrecondition)]);
    assert_eq!(liar.closed(), None);
}

#[test]
fn metadata_over_the_limit_fails_that_call_only() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[request_with(1, |large| large.metadata = vec![("k".to_owned(), "v".repeat(9000))])]);
    assert_eq!(liar.statuses(), [(1, Code::InvalidArgument)]);
}

#[test]
fn a_cancel_of_a_completed_or_unknown_call_is_ignored() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[Frame::Cancel { id: 9, expired: false }, request(1)]);
    let arrived = liar.pair.ends[SERVER].arrived.pop().unwrap();
    liar.pair.answer_ok(SERVER, &arrived);
    liar.statuses();
    liar.say(&[Frame::Cancel { id: 1, expired: false }, Frame::Stop { transfer: 3 }]);
    assert_eq!(liar.closed(), None);
}

/// The peer does not read what answers its pings.
#[test]
fn a_flood_of_pings_closes_and_leaves_one_pong_pending() {
    let mut liar = Liar::new(&Config::default());
    let before = liar.pair.ends[SERVER].connection.stats();
    for token in 0..10 {
        liar.say_apart(&[Frame::Ping { token }]);
    }
    assert_eq!(liar.closed(), None);
    assert_eq!(liar.pair.ends[SERVER].connection.stats(), before, "nothing waits in the outbox");
    assert_eq!(liar.heard(), [Frame::Pong { token: 9 }]);
    liar.pair.now += Duration::from_secs(1);
    liar.say_apart(&[Frame::Ping { token: 10 }]);
    assert_eq!(liar.closed(), None);
    liar.say_apart(&[Frame::Ping { token: 11 }]);
    liar.assert_broken(ProtocolError::TooManyPings { burst: 10 }, CloseCode::PROTOCOL, "the 11th");
    assert_eq!(liar.heard(), [], "the link is over");
}

#[test]
fn a_peer_that_causes_answers_and_does_not_read_them_is_closed() {
    let small = Config::builder().chunk(256).max_metadata(256).outbox_soft(1024).outbox_hard(10_000).build().unwrap();
    let mut liar = Liar::new(&small.to_builder().max_calls(1).build().unwrap());
    liar.say(&[request(1)]);
    for id in 2..1000 {
        liar.say(&[request(id)]);
        if liar.closed().is_some() {
            break;
        }
    }
    assert_eq!(liar.closed(), Some(CloseCode::TRY_AGAIN_LATER));
    let closed = &liar.pair.ends[SERVER].closed;
    let Some(ConnectionError::Overloaded(Overload { limit, max, held })) = closed else { panic!("{closed:?}") };
    assert!((*limit, *max) == (MemoryLimit::Outbox, 10_000) && held > max, "{closed:?}");
    assert_eq!(liar.pair.ends[SERVER].connection.stats(), Default::default());
}

#[test]
fn calls_that_are_cancelled_hold_their_permits_until_they_have_ended() {
    let mut liar = Liar::new(&Config::builder().max_calls(2).build().unwrap());
    liar.say(&[
        request(1),
        Frame::Cancel { id: 1, expired: false },
        request(2),
        Frame::Cancel { id: 2, expired: false },
        request(3),
    ]);
    assert_eq!(liar.statuses(), [(3, Code::ResourceExhausted)]);
}

#[test]
fn a_client_is_protected_as_a_server_is() {
    let mut pair = Pair::open(&Config::builder().max_calls(1).build().unwrap());
    let now = pair.now;
    let client = &mut pair.ends[CLIENT];
    client.connection.handle_packet(now, Liar::packet(1, 0, &[request(1), request(2), request(1)]));
    client.take_events(now);
    assert_eq!(client.arrived.len(), 1);
    assert_eq!(client.closed.as_ref().map(ConnectionError::close_code), Some(CloseCode::PROTOCOL));
    assert_eq!(client.broken(), Some(CallViolation::StillLive { call: 1 }.into()));
}

#[test]
fn empty_pairs_of_metadata_count() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[request_with(1, |many| many.metadata = vec![(String::new(), String::new()); 513])]);
    assert_eq!(liar.statuses(), [(1, Code::InvalidArgument)]);
}

#[test]
fn transfers_that_are_discarded_count_until_they_have_ended() {
    let mut liar = Liar::new(&Config::default());
    // Each transfer is too large, and is discarded. An honest sender has at most one such transfer under way.
    let large = |id| request_of(id, Payload::announced(id, 5 << 20));
    liar.say(&[large(1), large(2), large(3)]);
    assert_eq!(liar.closed(), None);
    liar.say(&[large(4)]);
    let rule = TransferViolation::TooLong { transfer: 4, len: 5 << 20, max: Config::default().max_assembly() };
    liar.assert_broken(rule, CloseCode::TOO_BIG, "the fourth");
}

#[test]
fn empty_packets_that_wait_for_the_end_of_the_handshake_count() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    let now = pair.now;
    let hello = pair.ends[CLIENT].connection.poll_transmit(now).unwrap();
    let server = &mut pair.ends[SERVER];
    server.connection.handle_packet(now, hello);
    for seq in 1..1000 {
        server.connection.handle_packet(now, Liar::packet(seq, 0, &[]));
    }
    server.take_events(now);
    assert_eq!(server.closed.as_ref().map(ConnectionError::close_code), Some(CloseCode::TOO_BIG));
    assert_eq!(server.broken(), Some(HandshakeViolation::TooLong { max: 16 * 1024 }.into()));
}

#[test]
fn tiny_transfers_that_were_given_up_are_bounded() {
    let mut liar = Liar::new(&Config::builder().max_assembly(2560).build().unwrap());
    for id in 1..=10 {
        liar.say(&[request_of(id, Payload::announced(id, 1)), Frame::Cancel { id, expired: false }]);
    }
    liar.statuses();
    assert_eq!(liar.closed(), None);
    liar.say(&[request_of(11, Payload::announced(11, 1))]);
    let rule = TransferViolation::TooLong { transfer: 11, len: 1, max: 2560 };
    liar.assert_broken(rule, CloseCode::TOO_BIG, "the eleventh");
}

#[test]
fn results_do_not_wait_for_ever_for_acks_that_never_come() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[request(1)]);
    let arrived = liar.pair.ends[SERVER].arrived.pop().unwrap();
    liar.pair.answer(SERVER, &arrived, Completion::Value(Bytes::from(vec![7; 3 << 20]).into()));
    liar.statuses();
    let held = |liar: &Liar| liar.pair.ends[SERVER].connection.stats().transfer_bytes;
    assert!(held(&liar) > 0);
    // The peer sends all the time, and reads what it gets.
    for second in 1..100 {
        liar.pair.now += Duration::from_secs(1);
        let now = liar.pair.now;
        let server = &mut liar.pair.ends[SERVER].connection;
        server.handle_activity(now, second, false);
        server.handle_timeout(now);
        liar.pair.ends[SERVER].take_events(now);
        if liar.closed().is_some() {
            break;
        }
        liar.statuses();
    }
    assert_eq!(liar.pair.ends[SERVER].ran_out(), Some(TimeLimit::Acks { least: 64 * 1024 }));
    assert_eq!(held(&liar), 0);
}

#[test]
fn a_nested_call_has_no_more_time_than_its_parent() {
    let mut pair = Pair::with_defaults();
    let (callback, _) = pair.call_and_arrive(SERVER, Call::new().timeout(10));
    let now = pair.now;
    let nested = |id, parent, deadline_ms| {
        request_with(id, |nested| (nested.parent, nested.deadline_ms) = (parent, deadline_ms))
    };
    let parent = Some(callback.id());
    let frames = [(1, parent, None), (2, parent, Some(60_000)), (3, parent, Some(1000)), (4, None, None)];
    let frames = frames.map(|(id, parent, deadline_ms)| nested(id, parent, deadline_ms));
    let server = &mut pair.ends[SERVER];
    server.connection.handle_packet(now, Liar::packet(1, 0, &frames));
    server.take_events(now);
    let deadlines: Vec<_> = server.arrived.iter().map(|arrived| arrived.call.deadline).collect();
    assert_eq!(deadlines, [Some(10), Some(10), Some(1), None].map(|s| s.map(|s| now + Duration::from_secs(s))));
}

#[test]
fn nothing_is_served_after_a_method_that_ends_the_session() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[request(1), request(2)]);
    let [two, one] = [(); 2].map(|()| liar.pair.ends[SERVER].arrived.pop().unwrap());
    liar.pair.ends[SERVER].connection.end_after(one.key);
    liar.pair.answer_ok(SERVER, &one);
    // The reply has not gone, because the peer does not read.
    liar.say(&[request(3), notify()]);
    assert!(liar.pair.ends[SERVER].arrived.is_empty());
    liar.pair.answer_ok(SERVER, &two);
    assert_eq!(liar.statuses(), [(3, Code::Unavailable)]);
    liar.pair.ends[SERVER].take_events(liar.pair.now);
    assert!(liar.closed().is_some());
}

#[test]
fn more_contracts_than_a_side_may_host_are_refused() {
    for (contracts, closed) in [(256, None), (257, Some(CloseCode::PROTOCOL))] {
        let mut pair = Pair::apart(&Config::default(), &Config::default());
        let now = pair.now;
        let hello = pair.ends[CLIENT].connection.poll_transmit(now).unwrap();
        let mut frames: Vec<_> = crate::wire::read_packet(hello).unwrap().1.flatten().collect();
        let Frame::Hello(hello) = &mut frames[0] else { unreachable!("a client begins with it") };
        hello.contracts = vec![HostedContract { name: String::new(), fingerprint: 0, windows: Vec::new() }; contracts];
        let server = &mut pair.ends[SERVER];
        server.connection.handle_packet(now, Liar::packet(0, 0, &frames));
        server.take_events(now);
        assert_eq!(server.closed.as_ref().map(ConnectionError::close_code), closed);
        let rule = HandshakeViolation::TooManyContracts { count: contracts, max: 256 };
        assert_eq!(server.broken(), closed.map(|_| rule.into()));
    }
}
