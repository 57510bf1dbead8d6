//! A client and a server with the links between them, whose clock stands until it is moved.

use std::{
    mem,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    end::{NewCall, SessionEnd},
    ledger::Ledger,
    network::{NetLink, OnItsWay},
    random::Random,
};
use crate::{
    config::Config,
    error::{CloseCode, ConnectionError},
    proto::{
        Connection, HelloReader, Resumability, WelcomeReader,
        tests::pair::{CLIENT, SERVER},
    },
    wire::{HostedContract, read_packet},
};

/// How long sessions live without a link.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// A client that begins a new session when the old one is over, and a server with every session that it has not
/// forgotten.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) random: Random,
    pub(super) ledger: Ledger,
    pub(super) config: Config,
    pub(super) resumability: Resumability,
    pub(super) client: SessionEnd,
    /// A link on which the client asks for its session.
    greeting: Option<(usize, WelcomeReader)>,
    /// When the client dials next.
    redial: Option<Instant>,
    pub(super) server: Vec<SessionEnd>,
    pub(super) readers: Vec<(usize, HelloReader)>,
    pub(super) links: Vec<NetLink>,
    sessions: u64,
    /// A server that has been restarted gives the same tokens again, if it is told to.
    pub(super) tokens: u64,
    /// The client begins no further session.
    pub(super) is_ending: bool,
    stays_away: bool,
    /// The server takes the next client that comes back for another one, or for a stranger.
    pub(super) next_is_stranger: bool,
    /// Which end has closed which link, and with which code.
    pub(super) closes: Vec<(usize, usize, CloseCode)>,
    /// How many policies one-way calls have; with 0 there are no such calls.
    pub(super) policies: usize,
    pub(super) resumed: usize,
    /// How often a session has forgotten what it kept.
    pub(super) forgotten: usize,
    /// How many resumes were of sessions that had forgotten something before.
    pub(super) resumed_later: usize,
}

pub(super) fn contracts() -> Vec<HostedContract> {
    vec![HostedContract { name: "C".to_owned(), fingerprint: 1, windows: Vec::new() }]
}

pub(super) fn token(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

impl World {
    pub(super) fn new(seed: u64, config: Config, replay_buffer: usize) -> Self {
        let now = Instant::now();
        let resumability = Resumability { window: WINDOW, replay_buffer };
        let client = Connection::client(1, config.clone(), contracts(), now);
        let mut world = Self {
            now,
            random: Random::new(seed),
            ledger: Ledger::default(),
            config,
            resumability,
            client: SessionEnd::new(client, 0, None),
            greeting: None,
            redial: None,
            server: Vec::new(),
            readers: Vec::new(),
            links: Vec::new(),
            sessions: 0,
            tokens: 0,
            is_ending: false,
            stays_away: false,
            next_is_stranger: false,
            closes: Vec::new(),
            policies: 0,
            resumed: 0,
            forgotten: 0,
            resumed_later: 0,
        };
        world.begin_session();
        world
    }

    /// The client dials for a new session.
    fn begin_session(&mut self) {
        self.hang_up();
        self.sessions += 1;
        let mut connection = Connection::client(1, self.config.clone(), contracts(), self.now);
        connection.make_resumable(self.resumability.clone(), &[]);
        let link = self.dial();
        self.client = SessionEnd::new(connection, self.sessions, Some(link));
        self.redial = None;
    }

    fn dial(&mut self) -> usize {
        self.links.push(NetLink::default());
        let link = self.links.len() - 1;
        self.readers.push((link, HelloReader::new(self.config.clone(), self.now)));
        link
    }

    /// The client asks for its session on a new link, if it has let go of the old one.
    pub(super) fn dial_again(&mut self) -> bool {
        if self.client.link.is_some() {
            return false;
        }
        let Some(hello) = self.client.connection.resume_hello(contracts()) else { return false };
        self.hang_up();
        let link = self.dial();
        self.greeting = Some((link, WelcomeReader::new(self.config.clone(), hello, self.now)));
        self.redial = None;
        true
    }

    /// The client gives up a link on which it has asked for its session.
    fn hang_up(&mut self) {
        if let Some((link, _)) = self.greeting.take() {
            self.close(CLIENT, link, CloseCode::NORMAL);
        }
    }

    /// The client does not dial by itself.
    pub(super) fn stay_away(&mut self) {
        self.stays_away = true;
        self.redial = None;
    }

    pub(super) fn close(&mut self, from: usize, link: usize, code: CloseCode) {
        self.closes.push((from, link, code));
        self.links[link].to[1 - from].push(OnItsWay::Close(code));
        self.links[link].to[from].queue.clear();
        if from == SERVER {
            self.readers.retain(|(of, _)| *of != link);
        }
    }

    /// Everything that follows from what has happened at an end.
    pub(super) fn settle(&mut self) {
        self.settle_client();
        for index in 0..self.server.len() {
            self.settle_server(index);
        }
        self.server.retain(|session| !(session.is_done() && session.link.is_none()));
    }

    fn settle_client(&mut self) {
        let now = self.now;
        let lost = self.client.act(&mut self.ledger);
        if let Some((error, link)) = lost.and_then(|error| Some((error, self.client.link.take()?))) {
            self.close(CLIENT, link, error.close_code());
        }
        if self.client.is_done() {
            if let Some(link) = self.client.link.take() {
                let code = self.client.close_code();
                self.close(CLIENT, link, code);
            }
            if self.client.is_quiet() && self.redial.is_none() && !self.is_ending {
                self.redial = Some(now + Duration::from_millis(self.random.between(0, 2000)));
            }
        } else if self.client.connection.detached().is_some()
            && self.redial.is_none()
            && self.greeting.is_none()
            && !self.stays_away
        {
            self.redial = Some(now + Duration::from_millis(self.random.between(0, 2000)));
        }
    }

    fn settle_server(&mut self, index: usize) {
        let session = &mut self.server[index];
        let lost = session.act(&mut self.ledger);
        let mut close = lost.map(|error| error.close_code());
        if session.is_done() {
            close = Some(session.close_code());
        }
        if let (Some(code), Some(link)) = (close, session.link) {
            session.link = None;
            self.close(SERVER, link, code);
        }
    }

    /// An end writes up to this many packets.
    pub(super) fn transmit(&mut self, side: usize, most: usize) {
        let now = self.now;
        let Self { client, server, links, ledger, greeting, .. } = self;
        if side == CLIENT {
            if let Some((link, reader)) = greeting {
                if let Some(packet) = reader.poll_transmit() {
                    links[*link].to[SERVER].push(OnItsWay::Packet(packet));
                }
            }
        }
        let ends = if side == CLIENT { std::slice::from_mut(client) } else { server };
        for end in ends {
            let Some(link) = end.link else { continue };
            for _ in 0..most {
                let Some(packet) = end.connection.poll_transmit(now) else { break };
                ledger.send(end.session, side, &packet);
                links[link].to[1 - side].push(OnItsWay::Packet(packet));
            }
        }
        self.settle();
    }

    /// One thing arrives over a link. False if there is nothing.
    pub(super) fn deliver(&mut self, to: usize, link: usize) -> bool {
        let Some(item) = self.links[link].to[to].queue.pop_front() else { return false };
        if to == CLIENT {
            self.deliver_to_client(link, item);
        } else {
            self.deliver_to_server(link, item);
        }
        self.settle();
        true
    }

    fn deliver_to_client(&mut self, link: usize, item: OnItsWay) {
        let now = self.now;
        if self.client.link == Some(link) {
            take(&mut self.client, now, item);
            return;
        }
        if self.greeting.as_ref().is_none_or(|(of, _)| *of != link) {
            // What an older link still delivers.
            return;
        }
        let Some((_, mut reader)) = self.greeting.take() else { return };
        match item {
            OnItsWay::Packet(packet) => match reader.handle_packet(now, packet).expect("an honest server") {
                None => self.greeting = Some((link, reader)),
                Some(welcome) => {
                    let welcomed = reader.into_welcomed(welcome).expect("an honest server");
                    if welcomed.welcome().resumed {
                        let connection = &mut self.client.connection;
                        assert!(connection.forgotten() <= welcomed.welcome().received, "it misses what was forgotten");
                        let is_over = connection.ended().is_some() && !connection.is_lingering();
                        match connection.attach_to(now, welcomed) {
                            Ok(()) => {
                                self.client.link = Some(link);
                                self.resumed += 1;
                            }
                            Err(error) => {
                                assert!(is_over, "an honest server: {error}");
                                self.close(CLIENT, link, CloseCode::NORMAL);
                            }
                        }
                    } else {
                        self.client.connection.give_up_links();
                        self.settle_client();
                        self.redial = None;
                        let resumability = self.resumability.clone();
                        let connection = Connection::welcomed(1, welcomed, &contracts(), resumability, now);
                        self.sessions += 1;
                        let old =
                            mem::replace(&mut self.client, SessionEnd::new(connection, self.sessions, Some(link)));
                        assert!(old.is_quiet(), "every call of the old session has an outcome");
                    }
                }
            },
            // The server has nothing to go on with: there were only last words left.
            OnItsWay::Close(_) if self.client.connection.ended().is_some() => {
                self.client.connection.give_up_links();
            }
            OnItsWay::Close(_) | OnItsWay::Lost => {}
        }
    }

    /// Lets time pass, stopping at every timer on the way.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for rounds in 0.. {
            assert!(rounds < 100_000, "time stands still: {:?} {:?}", self.client, self.server);
            let next = self.next_timer().filter(|next| *next <= until);
            self.now = next.map_or(until, |next| next.max(self.now));
            self.handle_timeouts();
            if next.is_none() {
                break;
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let ends = self.server.iter().chain([&self.client]).filter_map(|end| end.connection.poll_timeout());
        let greeting = self.greeting.as_ref().and_then(|(_, reader)| reader.poll_timeout());
        let readers = self.readers.iter().filter_map(|(_, reader)| reader.poll_timeout());
        ends.chain(greeting).chain(readers).chain(self.redial).min()
    }

    pub(super) fn handle_timeouts(&mut self) {
        let now = self.now;
        self.client.connection.handle_timeout(now);
        self.server.iter_mut().for_each(|session| session.connection.handle_timeout(now));
        self.settle();
        self.transmit(CLIENT, 100_000);
        self.transmit(SERVER, 100_000);
        for end in self.server.iter().chain([&self.client]) {
            if end.connection.detached().is_some() || end.link.is_some() {
                let next = end.connection.poll_timeout();
                let connection = &end.connection;
                assert!(
                    next.is_none_or(|next| next > now),
                    "a timer is still due, of link {:?}: {connection:?}",
                    end.link
                );
            }
        }
        if let Some((link, mut reader)) = self.greeting.take() {
            match reader.handle_timeout(now) {
                Ok(()) => self.greeting = Some((link, reader)),
                Err(error) => self.close(CLIENT, link, error.close_code()),
            }
        }
        let late: Vec<usize> = {
            let readers = self.readers.iter_mut();
            readers.filter_map(|(link, reader)| reader.handle_timeout(now).is_err().then_some(*link)).collect()
        };
        for link in late {
            self.close(SERVER, link, CloseCode::TIMEOUT);
        }
        if self.redial.is_some_and(|at| at <= now) {
            self.redial = None;
            if self.client.is_done() {
                self.begin_session();
            } else {
                self.dial_again();
            }
        }
        self.settle();
    }

    /// Everything that is on its way arrives, and everything that is to be sent goes, until nothing happens any more.
    pub(super) fn exchange(&mut self) {
        for rounds in 0.. {
            assert!(rounds < 100_000, "there is no end: {:?} {:?}", self.client, self.server);
            self.handle_timeouts();
            let mut has_moved = false;
            for link in 0..self.links.len() {
                for to in [CLIENT, SERVER] {
                    while self.deliver(to, link) {
                        has_moved = true;
                    }
                }
            }
            if !has_moved {
                return;
            }
        }
    }

    /// What must be true at any time.
    pub(super) fn check(&self) {
        self.client.connection.check();
        for session in &self.server {
            session.connection.check();
        }
        let Some(server) = self.server.iter().find(|session| is_same(session, &self.client)) else { return };
        let (client, server) = (&self.client.connection, &server.connection);
        if client.is_open() && server.is_open() {
            for (sender, receiver) in [(client, server), (server, client)] {
                let ((_, acked, next), (received, ..)) = (sender.positions(), receiver.positions());
                assert!(acked <= received && received < next, "{acked} {received} {next}");
            }
        }
    }

    pub(super) fn call(&mut self, from: usize, call: NewCall) {
        let (now, ledger) = (self.now, &mut self.ledger);
        if from == CLIENT {
            self.client.call(now, ledger, call);
        } else if let Some(session) = self.server.last_mut() {
            session.call(now, ledger, call);
        }
        self.settle();
    }

    /// An end has to forget what it keeps, because all sessions together keep too much.
    pub(super) fn forget(&mut self, side: usize) {
        let Some(end) = self.end_mut(side) else { return };
        let keeps_some = end.connection.stats().replay_bytes > 0;
        let is_whole = end.connection.detached().is_none() && !end.connection.has_again();
        let is_open = end.connection.is_open();
        end.connection.forget();
        assert_eq!(end.connection.stats().replay_bytes, 0);
        if is_open {
            assert_eq!(end.connection.is_open(), is_whole, "it ends without a link, and goes on with one");
        }
        self.forgotten += usize::from(is_open && is_whole && keeps_some);
        self.settle();
    }

    /// The session of the server that the client has; the newest, if there are several.
    pub(super) fn end_mut(&mut self, side: usize) -> Option<&mut SessionEnd> {
        self.parts(side).0
    }

    /// The same, with what it needs to act.
    pub(super) fn parts(&mut self, side: usize) -> (Option<&mut SessionEnd>, &mut Ledger, &mut Random) {
        let Self { client, server, ledger, random, .. } = self;
        (if side == CLIENT { Some(client) } else { server.last_mut() }, ledger, random)
    }
}

/// An end takes in what has come over its link.
pub(super) fn take(end: &mut SessionEnd, now: Instant, item: OnItsWay) {
    let error = match item {
        OnItsWay::Packet(packet) => {
            let (before, ..) = end.connection.positions();
            let (header, _) = read_packet(packet.clone()).unwrap();
            end.connection.handle_packet(now, packet);
            let (after, ..) = end.connection.positions();
            assert!(header.seq == 0 || after == before || after == before + 1 && after == header.seq);
            end.connection.handle_timeout(now);
            return;
        }
        OnItsWay::Close(code) => ConnectionError::ClosedByPeer { code, reason: "".into() },
        OnItsWay::Lost => ConnectionError::Lost("cut".to_owned()),
    };
    end.link = None;
    end.connection.handle_lost(now, error);
}

/// Whether both are ends of one session.
pub(super) fn is_same(server: &SessionEnd, client: &SessionEnd) -> bool {
    let token = client.connection.token();
    token.is_some() && token == server.connection.token()
}
