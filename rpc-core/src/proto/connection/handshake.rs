//! How a connection begins and opens. What the ends say to each other is in `proto/handshake`.

use std::{
    mem,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Connection, KeptOutcomes, Lifecycle, Memory, OutgoingCalls, Output, Phase, Resumability, Resumption, Role,
    Schedule, ServedCalls, calls::too_deep, closing::Flush,
};
use crate::{
    config::Config,
    error::{ConnectionError, HandshakeViolation, ProtocolError},
    proto::{
        EarlyPackets, Event,
        handshake::{Newcomer, Welcomed, hello, judge, refusal, welcome},
        link::Link,
        negotiated::{Negotiated, own_limits},
        outbox::Outbox,
        queue::OnewayQueue,
        rare::Rare,
        sequence::Sequence,
        slots::{Slot, SlotState},
        streams::{SendStreams, SendTerms},
    },
    status::Status,
    wire::{Frame, Hello, HostedContract, Welcome, WithheldContract},
};

impl Connection {
    /// A client's end, which begins now. Its first packet, the Hello, is ready to be sent. `id` tells connections of
    /// this process apart.
    pub fn client(id: u64, config: Config, contracts: Vec<HostedContract>, now: Instant) -> Self {
        let windows = windows_of(&contracts);
        let link = Link::new(&config, Some(Frame::Hello(hello(&config, contracts))), now);
        let negotiated = Negotiated::assumed(&config);
        Self { windows, ..Self::new(Role::Client, id, config, link, Sequence::new(), negotiated, now) }
    }

    /// A client's end of a session that the server has begun on this link, in place of the session for which the
    /// client has asked. `contracts` are what the client hosts, as it has said in its Hello.
    pub fn welcomed(
        id: u64,
        welcomed: Welcomed,
        contracts: &[HostedContract],
        resumability: Resumability,
        now: Instant,
    ) -> Self {
        let Welcomed { config, link, negotiated, welcome } = welcomed;
        let mut connection = Self::new(Role::Client, id, config, link, Sequence::new(), negotiated, now);
        connection.windows = windows_of(contracts);
        connection.resumption.ask(&resumability, &welcome.token);
        connection.begin(now, welcome);
        connection
    }

    /// A server's end, for a client that has said Hello. Decide with [`Self::accept`] or [`Self::refuse`], and keep
    /// what comes until then. `id` tells connections of this process apart.
    pub fn server(id: u64, newcomer: Newcomer, now: Instant) -> (Self, EarlyPackets) {
        let Newcomer { config, mut link, sequence, negotiated, hello } = newcomer;
        let early = EarlyPackets::new(mem::take(&mut link.handshake_bytes), hello.resume_window_ms > 0);
        let mut connection = Self::new(Role::Server, id, config, link, sequence, negotiated, now);
        connection.obey_peer();
        (connection, early)
    }

    fn new(
        role: Role,
        id: u64,
        config: Config,
        link: Link,
        sequence: Sequence,
        negotiated: Negotiated,
        now: Instant,
    ) -> Self {
        Self {
            role,
            id,
            life: Lifecycle::new(),
            negotiated,
            windows: Box::default(),
            link: Rare::from(link),
            sequence,
            packet_len: 0,
            outbox: Outbox::default(),
            queue: OnewayQueue::default(),
            calls: OutgoingCalls::new(),
            served: ServedCalls::new(&own_limits(&config)),
            send_streams: Rare::default(),
            recv_streams: Rare::new((config.clone(), 0)),
            assembly: Rare::default(),
            schedule: Schedule::new(),
            memory: Memory::new(&config),
            kept_outcomes: KeptOutcomes::new(&config),
            resumption: Resumption::default(),
            opened_at: now,
            output: Output::default(),
            config,
        }
    }

    /// At a client: puts credentials into the Hello, if it has not gone.
    pub fn show(&mut self, credentials: &[u8]) {
        if let Some(hello) = self.link.hello_mut() {
            hello.credentials = credentials.to_owned();
        }
    }

    /// At a client: the Hello, if it has not gone, which then does not go as a packet. For two ends in one process.
    pub fn take_hello(&mut self) -> Option<Box<Hello>> {
        self.link.take_hello()
    }

    /// The first frame of a server must be its Welcome.
    pub(super) fn handle_welcome(&mut self, now: Instant, frame: Frame) -> Result<(), ProtocolError> {
        let Frame::Welcome(welcome) = frame else {
            return Err(HandshakeViolation::NoWelcome { frame: frame.kind_name() }.into());
        };
        if welcome.resumed {
            return Err(HandshakeViolation::UnexpectedResume.into());
        }
        match judge(&self.config, &welcome) {
            Ok(negotiated) => {
                self.negotiated = negotiated;
                self.begin(now, welcome);
            }
            Err(error) => self.end(error, Flush::Nothing),
        }
        Ok(())
    }

    /// At a client: the server has said Welcome, and what it says is agreed on.
    fn begin(&mut self, now: Instant, welcome: Box<Welcome>) {
        self.obey_peer();
        self.resumption.grant(welcome.resume_window_ms);
        if let Some(links) = self.resumption.granted_mut() {
            links.set_token(&welcome.token);
            // The server keeps the session only once it knows that the client has its Welcome.
            self.link.acks.owe(now);
        }
        self.open(now);
        self.output.emit(Event::Welcome(welcome));
    }

    /// At a server: takes the client in, and then the packets that it has sent since its Hello. `session` is the
    /// session's number for the client. `contracts` are offered to the client, and `withheld` are not.
    pub fn accept(
        &mut self,
        now: Instant,
        session: u64,
        contracts: Vec<HostedContract>,
        withheld: Vec<WithheldContract>,
        early: EarlyPackets,
    ) {
        if self.role != Role::Server || self.life.phase != Phase::Handshake {
            return;
        }
        self.windows = windows_of(&contracts);
        let mut welcome = welcome(&self.config, session, contracts, withheld, None);
        let window_ms = self.resumption.asked_ms();
        self.resumption.grant(window_ms);
        if let Some(token) = self.resumption.token() {
            (welcome.token, welcome.resume_window_ms) = (Bytes::copy_from_slice(token), window_ms);
        }
        self.link.handshake = Some(Box::new(Frame::Welcome(welcome)));
        self.open(now);
        let left = early.bytes_left();
        for (came, packet) in early.into_packets() {
            self.link.waited = now.saturating_duration_since(came);
            self.link.early_left = packet.len();
            self.handle_packet(now, packet);
        }
        self.link.waited = Duration::ZERO;
        // What came before the Welcome does not say that the client has it.
        if let Some(links) = self.resumption.granted_mut() {
            links.is_known = false;
        }
        // The client may have sent more before it gets the Welcome.
        self.link.early_left = left;
        // A call whose deadline has passed meanwhile is not begun.
        self.expire_deadlines(now);
    }

    /// Turns the other side away, and tells it why. A client learns it from the answer to its Hello; a server, which
    /// has taken this side in, learns it from the close.
    pub fn refuse(&mut self, status: Status) {
        let status = refusal(&self.negotiated, status);
        match (self.life.phase, self.role) {
            (Phase::Handshake, Role::Server) => {
                let welcome = welcome(&self.config, 0, Vec::new(), Vec::new(), Some(status.clone()));
                self.link.handshake = Some(Box::new(Frame::Welcome(welcome)));
            }
            (Phase::Open, _) => {}
            (Phase::Handshake, Role::Client) | (Phase::Ended, _) => return,
        }
        self.end(ConnectionError::RefusedPeer(status), Flush::Output);
    }

    /// The other side has said what it takes.
    fn obey_peer(&mut self) {
        self.calls.count_depths(&self.negotiated.limits);
        self.send_streams.set_terms(SendTerms::new(&self.negotiated.limits, &self.config), SendStreams::obey);
    }

    fn open(&mut self, now: Instant) {
        self.life.phase = Phase::Open;
        self.opened_at = now;
        self.link.open(&self.config, now);
        self.bound_bulk();
        let depth = self.negotiated.limits.depth;
        self.calls.open(&self.negotiated.limits);
        // Calls that were begun before the other side announced its limit, and for which no permit will ever be free.
        for key in self.calls.slots.keys() {
            let deep = |slot: &Slot| slot.state == SlotState::Waiting && slot.depth > depth;
            if self.calls.slots.find(key).is_some_and(deep) {
                self.fail(key, too_deep(depth));
            }
        }
        self.calls.grant(false, &mut self.output.wakes);
        self.calls.grant(true, &mut self.output.wakes);
    }
}

fn windows_of(contracts: &[HostedContract]) -> Box<[(u32, u32)]> {
    contracts.iter().flat_map(|contract| contract.windows.iter().copied()).collect()
}
