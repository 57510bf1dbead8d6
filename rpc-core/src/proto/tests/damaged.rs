//! Each part of a valid packet of each kind, and the packet with each bit flipped, in each state of a connection: no
//! panic and no hang, and what cannot be read is a breach.

use bytes::{Bytes, BytesMut};

use super::{
    hostile::{Liar, notify, request, request_of, request_with},
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::ConnectionError,
    proto::{CallKey, ConnectionStats, Outcome},
    status::Status,
    wire::{ErrorBody, Frame, Hello, Notify, Payload, Streams, Welcome, read_packet},
};

/// A state of the end that gets the packet. It is a server's, but for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The Hello has not come.
    Silent,
    /// The Hello has come, and there is no verdict on the client.
    Undecided,
    /// At a client: the Welcome has not come.
    Greeting,
    Open,
    /// Calls, transfers and streams are under way in both directions.
    Busy,
    /// As before, while this side drains.
    Draining,
    /// As before, while the other side drains.
    Drained,
    /// As before, and this side has been closed; what waits has not been written.
    Closing,
    /// The link was lost.
    Ended,
}

const STATES: [State; 9] = [
    State::Silent,
    State::Undecided,
    State::Greeting,
    State::Open,
    State::Busy,
    State::Draining,
    State::Drained,
    State::Closing,
    State::Ended,
];

/// What the frames of a test are about.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// A call that the end serves, and one that it has made.
    pub(super) served: u64,
    pub(super) made: u64,
    /// A payload that arrives, a stream that the end reads, and one that it produces.
    pub(super) arriving: u64,
    pub(super) read: u64,
    pub(super) produced: u64,
}

/// A pair of which an end is in this state.
fn prepared(state: State) -> (Liar, Known) {
    let apart = || Pair::apart(&Config::default(), &Config::default());
    match state {
        State::Silent | State::Greeting => {
            let mut pair = apart();
            if state == State::Greeting {
                let now = pair.now;
                pair.ends[CLIENT].connection.poll_transmit(now).expect("it says Hello");
            }
            (Liar::at(pair), Known::default())
        }
        State::Undecided => {
            let mut pair = apart();
            let now = pair.now;
            let hello = pair.ends[CLIENT].connection.poll_transmit(now).expect("it says Hello");
            pair.ends[SERVER].connection.handle_packet(now, hello);
            assert!(pair.ends[SERVER].connection.is_undecided());
            (Liar::at(pair), Known::default())
        }
        State::Open => (Liar::new(&Config::default()), Known::default()),
        _ => {
            let (mut liar, known) = busy();
            let now = liar.pair.now;
            match state {
                State::Draining => liar.pair.ends[SERVER].connection.drain(now, "bye"),
                State::Drained => {
                    liar.say_apart(&[Frame::GoAway { last_seq: 0, message: "bye".to_owned(), after_ms: 0 }]);
                }
                State::Closing => liar.pair.ends[SERVER].connection.close(),
                State::Ended => {
                    let lost = ConnectionError::Lost("cut".to_owned());
                    liar.pair.ends[SERVER].connection.handle_lost(now, lost);
                }
                _ => {}
            }
            liar.pair.ends[SERVER].take_events(now);
            (liar, known)
        }
    }
}

fn busy() -> (Liar, Known) {
    let mut liar = Liar::new(&Config::default());
    let (served, arriving, read) = (1, 2, 3);
    liar.say(&[request(served), notify()]);
    let made = liar.pair.call(SERVER, Call::new()).unwrap().id();
    liar.pair.call(SERVER, Call::new().oneway()).unwrap();
    liar.say(&[request_of(2, Payload::announced(arriving, 70_000))]);
    liar.say(&[request_with(3, |request| request.streams = vec![read].into())]);
    let produced = liar.call_for_streams(4, 1)[0];
    liar.pair.produce(SERVER, produced, [vec![7; 10].into()]);
    liar.heard();
    liar.pair.check();
    (liar, Known { served, made, arriving, read, produced })
}

/// A frame of each kind that fits what is under way.
pub(super) fn frames(known: Known) -> Vec<Frame> {
    let Known { served, made, arriving, read, produced } = known;
    let text = || Payload::Inline(Bytes::from_static(&[0xa1, b'x']));
    let status = || ErrorBody::Status(Status::internal("x").with_details(vec![1]));
    let limits = Pair::with_defaults().ends[CLIENT].connection.peer_limits().clone();
    let with_all = |mut request: crate::wire::Request| {
        request.parent = Some(made);
        request.deadline_ms = Some(1000);
        request.metadata = vec![("k".to_owned(), "v".to_owned())];
        request
    };
    let Frame::Request(call) = request(9) else { unreachable!("it is one") };
    vec![
        Frame::Hello(Box::new(Hello::new(limits.clone(), Vec::new()))),
        Frame::Welcome(Box::new(Welcome::new(limits, Vec::new(), 1))),
        request(9),
        Frame::Request(with_all(call)),
        request_of(9, Payload::announced(9, 70_000)),
        request_with(9, |request| request.streams = vec![9].into()),
        notify(),
        Frame::Response { id: made, payload: text(), streams: Streams::default() },
        Frame::Response { id: made, payload: Payload::announced(9, 70_000), streams: vec![10].into() },
        Frame::Error { id: made, error: status() },
        Frame::Error { id: made, error: ErrorBody::Fault(text()) },
        Frame::Cancel { id: served, expired: true },
        Frame::Chunk { transfer: arriving, data: vec![7; 20].into() },
        Frame::Abort { transfer: arriving },
        Frame::Item { stream: read, payload: text() },
        Frame::Item { stream: read, payload: Payload::announced(read, 70_000) },
        Frame::End { stream: read, error: None },
        Frame::End { stream: read, error: Some(status()) },
        Frame::Credit { stream: produced, items: 3, bytes: 300, read: 1 },
        Frame::Credit { stream: 0, items: 0, bytes: 300, read: 0 },
        Frame::Stop { transfer: produced },
        Frame::Done { depth: 0, count: 1, bytes: 0, marked: 0 },
        Frame::Done { depth: 0, count: 1, bytes: 0, marked: 1 },
        Frame::Notify(Notify { depth: 1, missed: Some(300), ..Notify::plain(1, text()) }),
        Frame::Bye { code: 1000, message: "x".to_owned() },
        Frame::Ping { token: 300 },
        Frame::Pong { token: 1 },
        Frame::GoAway { last_seq: 1, message: "x".to_owned(), after_ms: 1 },
    ]
}

/// Gives this packet to an end in this state, and looks at what has become of the end.
fn take(state: State, packet: Bytes, what: &str) {
    let (mut liar, known) = prepared(state);
    let at = if state == State::Greeting { CLIENT } else { SERVER };
    let before = liar.pair.ends[at].closed.clone();
    let is_whole = read_packet(packet.clone()).is_ok_and(|(_, mut frames)| frames.all(|frame| frame.is_ok()));
    let now = liar.pair.now;
    let end = &mut liar.pair.ends[at];
    end.connection.handle_packet(now, packet);
    end.take_events(now);
    match state {
        State::Closing | State::Ended => assert_eq!(end.closed, before, "{what}: it has ended already"),
        _ if !is_whole => assert!(end.broken().is_some(), "{what}: it cannot be read, and {:?}", end.closed),
        _ => {}
    }
    // What is to be said comes to an end.
    let mut packets = 0;
    while end.connection.poll_transmit(now).is_some() {
        packets += 1;
        assert!(packets < 100, "{what}: it says more and more");
    }
    end.connection.handle_timeout(now);
    end.take_events(now);
    end.connection.check();
    if end.closed.is_some() && end.connection.failed().is_none() {
        nothing_is_left(&mut liar.pair, at, known, what);
    }
}

/// The shell takes what has come for it, and then the end holds nothing.
fn nothing_is_left(pair: &mut Pair, at: usize, known: Known, what: &str) {
    let mut streams: Vec<_> = pair.ends[at].arrived.iter().flat_map(|arrived| arrived.streams.to_vec()).collect();
    if known.made > 0 {
        match pair.outcome(at, CallKey::from_id(known.made)) {
            Some(Outcome::Streaming(_, more)) => streams.extend(more.iter()),
            outcome => assert!(outcome.is_some(), "{what}: the call has not ended"),
        }
    }
    for stream in streams {
        pair.ends[at].connection.leave_stream(stream);
    }
    let left = pair.ends[at].connection.stats();
    let nothing = ConnectionStats { unacked_bulk: left.unacked_bulk, ..ConnectionStats::default() };
    assert_eq!(left, nothing, "{what}: something is left");
}

#[test]
fn every_part_and_every_flipped_bit_of_each_packet_in_each_state() {
    for state in STATES {
        let (liar, known) = prepared(state);
        for frame in frames(known) {
            let seq = if frame.is_sequenced() { liar.next_seq() } else { 0 };
            let packet = Liar::packet(seq, 0, std::slice::from_ref(&frame));
            for len in 0..=packet.len() {
                take(state, packet.slice(..len), &format!("{state:?}: {len} bytes of {frame:?}"));
            }
            for bit in 0..packet.len() * 8 {
                let mut flipped = BytesMut::from(&packet[..]);
                flipped[bit / 8] ^= 1 << (bit % 8);
                take(state, flipped.freeze(), &format!("{state:?}: {frame:?} with bit {bit} flipped"));
            }
        }
    }
}
