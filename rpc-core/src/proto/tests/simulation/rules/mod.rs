//! The rules of sessions that outlive their links, one by one.

mod bye;
mod calls;
mod damaged;
mod forgetting;
mod hostile;
mod links;
mod replay;
mod timers;
mod turns;

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{
    end::NewCall,
    network::OnItsWay,
    world::{WINDOW, World},
};
use crate::{
    config::Config,
    error::ConnectionError,
    proto::{
        CallProgress, CallStart, Charges, Connection, Event, HelloReader, Newcomer, Outgoing, Resumability,
        ResumeVerdict, WelcomeReader, Welcomed,
        tests::pair::{CLIENT, SERVER},
    },
    wire::{
        Frame, Hello, PacketHeader, Payload, PeerLimits, Request, Resume, Welcome, put_frame, put_header, read_packet,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    let mut world = World::new(1, Config::default(), 1 << 20);
    world.exchange();
    assert_eq!(world.server.len(), 1);
    world
}

fn call() -> NewCall {
    NewCall { len: 8, ..NewCall::default() }
}

impl World {
    /// Drops all that is on its way over the newest link, and tells both ends.
    fn lose(&mut self) {
        self.lose_silently();
        let link = self.links.len() - 1;
        for to in [CLIENT, SERVER] {
            self.links[link].to[to].push(OnItsWay::Lost);
            self.deliver(to, link);
        }
    }

    fn lose_silently(&mut self) {
        let link = self.links.len() - 1;
        for to in [CLIENT, SERVER] {
            self.links[link].to[to].queue.clear();
        }
    }

    /// Gives the client the time to come back.
    fn come_back(&mut self) {
        let before = self.resumed;
        self.pass(6 * SECOND);
        self.exchange();
        assert_eq!(self.resumed, before + 1);
    }

    fn answer(&mut self) {
        self.server[0].answer_all(&mut self.ledger);
        self.exchange();
    }
}

/// A server's end, to which the test says what it wants.
struct Server {
    connection: Connection,
    now: Instant,
    seq: u64,
}

fn token() -> Bytes {
    Bytes::from_static(b"token")
}

fn hello(resume: Option<Resume>) -> Box<Hello> {
    let limits = PeerLimits { packet: 128 * 1024, chunk: 64 * 1024, ..PeerLimits::all(100, 1 << 30) };
    Box::new(Hello { resume, resume_window_ms: 60_000, ..Hello::new(limits, Vec::new()) })
}

fn newcomer(now: Instant, resume: Option<Resume>) -> Newcomer {
    HelloReader::new(Config::default(), now).into_newcomer(hello(resume)).unwrap()
}

fn packet(seq: u64, ack: u64, frames: &[Frame]) -> Bytes {
    let mut out = BytesMut::new();
    put_header(&mut out, PacketHeader { seq, ack });
    frames.iter().for_each(|frame| put_frame(&mut out, frame));
    out.freeze()
}

fn request(id: u64) -> Frame {
    Frame::Request(Request::plain(id, 1, Payload::Inline(Bytes::from_static(&[0x90]))))
}

fn outgoing(len: usize, streams: usize) -> Outgoing {
    let (payload, charges) = (Bytes::from(vec![7; len]).into(), Charges::default());
    Outgoing { method: 1, metadata: Vec::new(), payload, streams, charges }
}

/// A client's end that has said Hello.
fn greeting_client(now: Instant) -> Connection {
    let mut client = Connection::client(1, Config::default(), Vec::new(), now);
    client.make_resumable(Resumability { window: WINDOW, replay_buffer: 1 << 20 }, &[]);
    client.poll_transmit(now).unwrap();
    client
}

fn welcome(resume_window_ms: u64) -> Bytes {
    let limits = PeerLimits { packet: 128 * 1024, chunk: 64 * 1024, ..PeerLimits::all(100, 1 << 30) };
    let welcome = Welcome { token: token(), resume_window_ms, ..Welcome::new(limits, Vec::new(), 1) };
    packet(0, 0, &[Frame::Welcome(Box::new(welcome))])
}

/// A client's end whose session can be resumed, and whose server knows that it has the Welcome.
fn client(now: Instant) -> Connection {
    let mut client = greeting_client(now);
    client.handle_packet(now, welcome(60_000));
    assert_eq!(client.poll_transmit(now), Some(packet(0, 0, &[])), "the server has to learn that it came");
    client
}

fn lost() -> ConnectionError {
    ConnectionError::Lost("cut".to_owned())
}

impl Server {
    /// A client that has got its Welcome.
    fn new(replay_buffer: usize) -> Self {
        let mut server = Self::unknown(replay_buffer);
        server.say(0, &[]);
        server
    }

    /// The client may not have got its Welcome.
    fn unknown(replay_buffer: usize) -> Self {
        let now = Instant::now();
        let (mut connection, early) = Connection::server(1, newcomer(now, None), now);
        connection.make_resumable(Resumability { window: WINDOW, replay_buffer }, &token());
        connection.accept(now, 1, Vec::new(), Vec::new(), early);
        let mut server = Self { connection, now, seq: 0 };
        server.written();
        server
    }

    fn say(&mut self, ack: u64, frames: &[Frame]) {
        self.seq += u64::from(frames.iter().any(Frame::is_sequenced));
        let seq = if frames.iter().any(Frame::is_sequenced) { self.seq } else { 0 };
        self.connection.handle_packet(self.now, packet(seq, ack, frames));
    }

    fn written(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.connection.poll_transmit(self.now)).collect()
    }

    fn frames(&mut self) -> Vec<Frame> {
        let packets = self.written().into_iter();
        packets.flat_map(|packet| read_packet(packet).unwrap().1.map(Result::unwrap).collect::<Vec<_>>()).collect()
    }

    /// Time passes; the peer lives.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += SECOND;
            if self.connection.detached().is_none() {
                self.connection.handle_packet(self.now, packet(0, 0, &[]));
            }
            self.connection.handle_timeout(self.now);
            self.connection.handle_timeout(self.now + SECOND / 2);
        }
    }

    fn resume(&mut self, received: u64) -> Vec<Frame> {
        let resume = Resume { token: token(), epoch: self.connection.epoch() + 1, received };
        assert_eq!(self.connection.judge_resume(&resume), ResumeVerdict::Possible);
        self.connection.attach(self.now, newcomer(self.now, Some(resume))).unwrap();
        self.frames()
    }

    fn call(&mut self, timeout: Option<Duration>) -> crate::proto::CallKey {
        let deadline = timeout.map(|timeout| self.now + timeout);
        let mut start = CallStart { deadline, ..CallStart::default() };
        let (key, progress) = self.connection.begin_call(self.now, &mut start, Waker::noop()).unwrap();
        assert_eq!(progress, CallProgress::Admitted);
        assert!(self.connection.send_call(key, &mut outgoing(1, 0), Waker::noop()));
        key
    }

    fn lose(&mut self) {
        self.connection.handle_lost(self.now, lost());
    }

    fn closed(&mut self) -> Option<ConnectionError> {
        std::iter::from_fn(|| self.connection.poll_event()).find_map(|event| match event {
            Event::Closed(error) => Some(error),
            _ => None,
        })
    }
}

fn welcomed(now: Instant, hello: Box<Hello>, received: u64) -> Welcomed {
    let mut reader = WelcomeReader::new(Config::default(), hello, now);
    reader.poll_transmit().unwrap();
    let welcome = Frame::Welcome(Box::new(Welcome::resume(received)));
    let welcome = reader.handle_packet(now, packet(0, 0, &[welcome])).unwrap().unwrap();
    reader.into_welcomed(welcome).unwrap()
}
